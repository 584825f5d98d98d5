"""The first check of `gpu_exact`: fastai's recorded numbers, computed on any device without TF32.

Repeats those parts of tests/parity that need pytest. Rows named "our …" are not recordings: they compare this library's losses with
the CPU's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.gpu_time import Line, Row
from benchmarks.record import ROOT
from tests.parity.fastai_names import renamed
from tests.parity.fastai_reader import pool, read, resize_state
from ulmfit.config import (
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    NO_DROPOUT,
    PAD_ID,
    Dropout,
    ModelConfig,
    RuntimeConfig,
)
from ulmfit.nn.dropout import dropout_mask
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import Loss, ar_loss, classifier_loss, in_range, lm_loss, tar_loss
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatch, LMBatch

VOCAB, CONFIG = 100, ModelConfig(embedding_size=12, hidden_size=20, layers=3)
BPTT, MAX_LEN = 8, 32
BOUND = 1e-4  # of a tensor's largest value
BATCHNORM_BOUND = 2e-4  # where BatchNorm is trained on a few rows, see tests/parity/golden.py
EVAL = ("single_chunk", "two_chunks", "exact_multiple", "multi_chunk", "over_max_len", "one_doc")
TRAIN = ("two_chunks", "multi_chunk", "over_max_len")
HEADS: dict[str, dict[str, Any]] = {  # heads of the recordings that have their own weights
    "clas_custom_head": {"head_sizes": (30, 20), "head_dropouts": (0.2, 0.2, 0.3)},
    "clas_y_range": {"n_classes": 1},
}
MASK = "ulmfit.nn.dropout.dropout_mask"

Pairs = list[tuple[str, Tensor, Tensor]]  # (name, actual, expected)


def goldens(device: str) -> Iterator[Row]:
    """A row for each recording, then for each of our losses, all without TF32."""
    cases: dict[str, Callable[[str, str], Pairs]] = {
        "lm_eval_carry": carried,
        "lm_grads_ce": partial(language_model, ar=0.0, tar=0.0),
        "lm_grads_ce_ar2_tar1": language_model,
        "lm_train_masks": language_model,
        **{f"clas_eval_{name}": classifier for name in (*EVAL, "no_pad")},
        **{f"clas_train_nodrop_{name}": classifier for name in TRAIN},
        **dict.fromkeys(("clas_train_masks", *HEADS), classifier),
        "our sampled softmax": partial(beside_cpu, sampled),
        **{
            f"our documents, {name}": partial(beside_cpu, partial(documents, name))
            for name in TRAIN
        },
    }
    for name, measure in cases.items():
        yield name, partial(compared, name, partial(measure, device, name))


def compared(name: str, measure: Callable[[], Pairs]) -> list[Line]:
    """The largest difference of each pair, as a share of the largest expected value, as a result line."""
    bound = BATCHNORM_BOUND if name.startswith(("clas_train", "our documents")) else BOUND
    with without_tf32():
        apart = {what: difference(found, wanted) for what, found, wanted in measure()}
    worst = max(apart, key=lambda what: apart[what])
    gradients = {what for what in apart if what.startswith("grad ")}
    kinds = {"outputs": apart.keys() - gradients, "gradients": gradients}
    figures = {kind: max(apart[what] for what in names) for kind, names in kinds.items() if names}
    said = ", ".join(f"{kind} {far:.1e}" for kind, far in figures.items())
    said += f" apart without TF32, bound {bound:.0e}, worst {worst}"
    details = {"precision": "fp32", "worst": worst, "bound": bound}
    return [verdict(name, apart[worst] <= bound, said) | details | figures]


def verdict(name: str, agrees: bool, said: str) -> Line:
    said = f"{'agrees' if agrees else 'DISAGREES'}: {said}"
    return {"name": name, "agrees": agrees, "said": said}


def difference(found: Tensor, wanted: Tensor) -> float:
    """The largest difference as a share of the largest expected value; infinite for other shapes or NaN."""
    if found.shape != wanted.shape:
        return float("inf")
    found, wanted = found.detach().cpu().double(), wanted.detach().cpu().double()
    apart = (found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-9)
    return float(apart.nan_to_num(nan=float("inf")))


@contextmanager
def without_tf32() -> Iterator[None]:
    """Without TF32: factors keep their 24-bit mantissas, which cuDNN may otherwise round to 11 bits."""
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, cudnn.allow_tf32
    products.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, cudnn.allow_tf32 = before


# Recordings


def load(name: str, device: str = "cpu") -> dict[str, Tensor]:
    saved = load_file(ROOT / "tests" / "goldens" / f"{name}.safetensors")
    return {key: tensor.to(device) for key, tensor in saved.items()}


@contextmanager
def replayed(golden: dict[str, Tensor]) -> Iterator[None]:
    """Replaces dropout masks by the recorded ones, in order. ValueError: a mask of another shape is drawn, or some are left."""
    masks = [golden[name] for name in sorted(golden) if name.startswith("mask") and name != "mask"]

    def recorded(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
        if not masks or tuple(masks[0].shape) != shape:
            raise ValueError(f"a mask of {shape} is drawn, which is not the next one recorded")
        return masks.pop(0)

    with patch(MASK, recorded):
        yield
    if masks:
        raise ValueError(f"{len(masks)} of the recorded masks were not drawn")


def pairs(found: dict[str, Tensor], golden: dict[str, Tensor], of: str = "") -> Pairs:
    """(name, actual, expected) of the computed tensors that the recording also has."""
    return [(of + what, x, golden[of + what]) for what, x in found.items() if of + what in golden]


def gradients(net: nn.Module, golden: dict[str, Tensor], prefix: str = "grad.") -> Pairs:
    wanted = renamed(golden, prefix)
    found = {name: parameter.grad for name, parameter in net.named_parameters()}
    if found.keys() != wanted.keys() or None in found.values():
        raise ValueError(f"gradients of {sorted(found)}, recorded are {sorted(wanted)}")
    return [(f"grad {name}", found[name], wanted[name]) for name in wanted]


def lm_net(device: str, dropout: Dropout = LM_DROPOUT) -> LMNet:
    net = LMNet(VOCAB, CONFIG, dropout)
    net.load_state_dict(renamed(load("lm_weights")))
    return net.to(device)


def carried(device: str, name: str) -> Pairs:
    """The state is carried through four batches of different size."""
    golden, net, state, compared = load(name, device), lm_net(device).eval(), None, Pairs()
    for call in (f"call{number}." for number in range(4)):
        tokens = golden[f"{call}input"]
        out = net(tokens, state and resize_state(state, len(tokens)))
        found = {"raw_out": out.raw, "logits": net.logits(out.dropped)}
        for layer, (h, c) in enumerate(out.state):
            found |= {f"hidden{layer}.h": h, f"hidden{layer}.c": c}
        compared, state = compared + pairs(found, golden, call), out.state
    return compared


def language_model(device: str, name: str, *, ar: float = 2.0, tar: float = 1.0) -> Pairs:
    """A training step's outputs, loss and gradients, without dropout or with recorded masks."""
    golden, dropout = load(name, device), LM_DROPOUT if "masks" in name else NO_DROPOUT
    net, batch = lm_net(device, dropout).train(), LMBatch(golden["input"], golden["target"])
    with replayed(golden):
        out = net(batch.tokens, None)
    with replayed(golden):
        loss, _ = lm_loss(net, batch, None, ar=ar, tar=tar)
    loss.total.backward()
    found = {"raw_out": out.raw, "dropped_out": out.dropped, "logits": net.logits(out.dropped)}
    found |= {"loss_ce": loss.main, "loss_total": loss.total, "loss": loss.total}
    return pairs(found, golden) + gradients(net, golden)


def classifier_net(device: str, name: str) -> ClassifierNet:
    own, dropout = name in HEADS, CLASSIFIER_DROPOUT.scaled(0.5)
    options: dict[str, Any] = {"n_classes": 3, "bptt": BPTT, "max_len": MAX_LEN}
    if "nodrop" in name:
        dropout, options = NO_DROPOUT, options | {"head_dropouts": (0.0, 0.0)}
    net = ClassifierNet(VOCAB, CONFIG, dropout, **options | HEADS.get(name, {}))
    net.load_state_dict(renamed(load(name if own else "clas_weights"), "w." if own else ""))
    return net.to(device)


def classifier(device: str, name: str) -> Pairs:
    """The classifier's outputs and gradients on padded documents, read in fastai's order."""
    golden, net = load(name, device), classifier_net(device, name).train("train" in name)
    net.encoder.lstms.train()  # cuDNN needs it for gradients; these LSTMs have no dropout themselves
    with replayed(golden):
        output, padding = read(net.encoder, golden["input"], BPTT, MAX_LEN)
        pooled = pool(output, padding, BPTT)
        logits = net.head(pooled)
    found = {"enc_out": output, "mask": padding, "pooled": pooled, "logits": logits}
    if name == "clas_y_range":
        found["logits"] = in_range(logits, 1, 10)
    if "target" not in golden:
        return pairs(found, golden)
    main = F.cross_entropy(logits, golden["target"])
    total = main + ar_loss(output) + tar_loss(output) if "nodrop" in name else main
    total.backward()
    found |= {"loss": main, "loss_ce": main, "loss_total_alpha2_beta1": total}
    grads = gradients(net, golden, "grad_total." if "nodrop" in name else "grad.")
    averages = renamed(golden, "buffer_after.")
    return pairs(found, golden) + pairs(dict(net.named_buffers()), averages) + grads


# Our own losses


def beside_cpu(loss_of: Callable[[str], tuple[nn.Module, Loss]], device: str, name: str) -> Pairs:
    """Loss and gradients on the device and on the CPU, with masks and words drawn on the CPU for both."""

    def drawn(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
        return dropout_mask(shape, p, torch.empty(0)).to(like)

    sides = []
    for where in (device, "cpu"):
        torch.manual_seed(0)
        with patch(MASK, drawn):
            net, loss = loss_of(where)
        loss.total.backward()
        found = {f"grad {name}": p.grad for name, p in net.named_parameters()}
        sides.append(found | {"loss": loss.main, "total": loss.total})
    here, there = sides
    return [(what, here[what], there[what]) for what in here]


def sampled(where: str) -> tuple[nn.Module, Loss]:
    golden, net = load("lm_grads_ce", where), lm_net(where).train()
    sampler = NegativeSampler(torch.arange(VOCAB), VOCAB // 3).to(where)
    return net, lm_loss(net, LMBatch(golden["input"], golden["target"]), None, sampler=sampler)[0]


def documents(name: str, where: str) -> tuple[nn.Module, Loss]:
    """The documents as this library reads them, each by its own length. Between two training steps the net is used in evaluation
    mode, since cuDNN moves the LSTMs' weights in memory after a step with weight dropout."""
    golden, runtime = load(f"clas_eval_{name}"), Runtime.choose(RuntimeConfig(where, "fp32"))
    rows = [row[row != PAD_ID] for row in golden["input"]]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD_ID)
    batch = DocumentBatch(tokens, golden["lens"], golden["target"], torch.arange(len(rows)))
    net, batch = classifier_net(where, name).train(), runtime.move(batch)
    classifier_loss(net, batch, None)
    with torch.inference_mode():
        net.eval()(batch.tokens, batch.lengths)
    return net, classifier_loss(net.train(), batch, None)[0]
