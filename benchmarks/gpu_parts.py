"""The parts of a language model's training step, each alone: LSTMs, decoder with loss, embedding, update, clipping."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.gpu_stages import Size, lm_stage, zipfian
from benchmarks.gpu_time import Line, Row, Work, in_turn, repeated
from ulmfit.config import LM_DROPOUT, PAD_ID
from ulmfit.nn.dropout import embedding_dropout
from ulmfit.nn.kernels import linear_cross_entropy as kernel
from ulmfit.runtime import Runtime
from ulmfit.training.loop import build_optimizer, set_rates
from ulmfit.training.stage import Stage

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def parts(size: Size, runtimes: list[Runtime]) -> Iterator[Row]:
    """A row for each part, forward and (if it has one) backward."""
    inner, outer = size.model.hidden_size, size.model.embedding_size
    shapes = list(pairwise([outer, *[inner] * (size.model.layers - 1), outer]))
    for runtime in runtimes:
        for rows in size.lstm_rows:
            for size_in, units in shapes:
                name = f"lstm {size_in} → {units}, {rows} rows"
                yield name, partial(lstm, size, runtime, name, (rows, size_in, units))
            name = f"lstm {size_in} → {units} in {size.filled_up}, {rows} rows"
            yield name, partial(lstm, size, runtime, name, (rows, size_in, units), size.filled_up)
        for at_once in (*size.logit_rows, None):
            name = f"cross-entropy, {f'{at_once:,} rows' if at_once else 'eager'}"
            make = partial(cross_entropy, size, runtime, at_once)
            yield name, partial(part, size, runtime, name, make)
    for name, of_net in (("embedding", embedding), ("update", update), ("clipping", clipping)):
        make = partial(of_net, size, runtimes[-1])  # in full precision, whatever the step's is
        yield name, partial(part, size, runtimes[-1], name, make)


def part(size: Size, runtime: Runtime, name: str, make: Callable[[], Work]) -> list[Line]:
    return in_turn({name: make()}, runtime, windows=size.windows, steps=size.repeats)


def lstm(
    size: Size, runtime: Runtime, name: str, shape: tuple[int, int, int], filled_up: int = 0
) -> list[Line]:
    """`shape`: rows, input features, units. `filled_up`: units after padding, see `padded`; 0: no padding."""
    rows, size_in, units = shape
    where = {"device": runtime.device, "dtype": DTYPES[runtime.precision]}
    net = nn.LSTM(size_in, units, batch_first=True, **where)
    x = torch.randn(rows, size.bptt, size_in, **where, requires_grad=True)
    read = padded(net, filled_up) if filled_up else lambda x: net(x)[0]
    (line,) = part(size, runtime, name, lambda: repeated(lambda: read(x), [x, *net.parameters()]))
    line["us_per_time_step"] = 1000 * median(line["wall_ms"]) / size.bptt
    return [line | {"said": f"{line['us_per_time_step']:.1f} µs a time step"}]


def padded(net: nn.LSTM, units: int) -> Callable[[Tensor], Tensor]:
    """The same output from a wider LSTM of a size that cuDNN's persistent kernel supports: the added units have zero weights, and
    so stay zero."""
    own, more, weight = net.hidden_size, units - net.hidden_size, net.weight_ih_l0
    wide = nn.LSTM(net.input_size, units, batch_first=True).to(weight.device, weight.dtype)
    fills = {"weight_ih_l0": (0, 0, 0, more), "weight_hh_l0": (0, more, 0, more)}

    def read(x: Tensor) -> Tensor:
        weights = {
            name: F.pad(value.unflatten(0, (4, own)), fills.get(name, (0, more))).flatten(0, 1)
            for name, value in net.named_parameters()
        }
        return functional_call(wide, weights, (x,))[0][..., :own]

    return read


def cross_entropy(size: Size, runtime: Runtime, at_once: int | None) -> Work:
    """With `at_once` rows of logits at a time; None: all of them, by PyTorch's own functions."""
    n, width, device = size.streams * size.bptt, size.model.embedding_size, runtime.device
    features = torch.randn(n, width, device=device, dtype=DTYPES[runtime.precision])
    weight = torch.empty(size.vocab, width, device=device).uniform_(-0.1, 0.1)
    leaves = [features, weight, torch.zeros(size.vocab, device=device)]
    targets = torch.from_numpy(zipfian(size.vocab, n)).to(device)

    def loss() -> Tensor:
        with runtime.autocast(), patch.multiple(kernel, ROWS=at_once, GPU_ROWS=at_once):
            return (kernel.linear_cross_entropy if at_once else kernel.reference)(*leaves, targets)

    return repeated(loss, [leaf.requires_grad_() for leaf in leaves])


def embedding(size: Size, runtime: Runtime) -> Work:
    """The lookup, with embedding dropout."""
    weight = torch.empty(size.vocab, size.model.embedding_size, device=runtime.device)
    weight.uniform_(-0.1, 0.1).requires_grad_()
    tokens = torch.from_numpy(zipfian(size.vocab, size.streams, size.bptt)).to(runtime.device)
    p = LM_DROPOUT.embedding

    def dropped() -> Tensor:
        embedded = F.embedding(tokens, weight, padding_idx=PAD_ID)
        return embedding_dropout(embedded, tokens, size.vocab, p, training=True)

    return repeated(dropped, [weight])


def update(size: Size, runtime: Runtime) -> Work:
    """AdamW's update of all weights."""
    stage = with_gradients(size, runtime)
    optimizer = build_optimizer(stage.net, stage.optim.weight_decay, runtime)
    set_rates(optimizer, stage.phases[0].lrs, 0.7)
    return lambda steps: [optimizer.step() for _ in range(steps)]


def clipping(size: Size, runtime: Runtime) -> Work:
    """The norm of all gradients, and their scaling."""
    stage = with_gradients(size, runtime)
    weights, bound = list(stage.net.parameters()), stage.optim.max_grad_norm
    return lambda steps: [nn.utils.clip_grad_norm_(weights, bound) for _ in range(steps)]


def with_gradients(size: Size, runtime: Runtime) -> Stage:
    stage = lm_stage(size, runtime)
    for weight in stage.net.parameters():
        weight.grad = torch.randn_like(weight)
    return stage
