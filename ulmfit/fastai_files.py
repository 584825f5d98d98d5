"""Reads language models that fastai saved: their tensors and words; code in the files is never run.

Tensors are matched by name, for every version of fastai, and rows of the embedding by word; fastai itself matches tensors by
position.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ulmfit.config import NO_DROPOUT, Direction, ModelConfig, TokenizerConfig
from ulmfit.files.checkpoint import CheckpointError
from ulmfit.files.pickled import PickleError, read_pickle
from ulmfit.files.torch_file import read_tensors
from ulmfit.language_model import LanguageModel
from ulmfit.nn.heads import LMNet
from ulmfit.progress import Say
from ulmfit.text.rules import BOS, PAD, SPECIAL_TOKENS, UNKNOWN
from ulmfit.text.sentencepiece import SPACE
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import word_splitter

FILLER = "xxfake"  # fastai pads a vocabulary with it to a multiple of 8
MOST_FILLERS = 8
MANY_PIECES = 0.1  # of a vocabulary begin as SentencePiece's pieces do; of words hardly any
NEEDED = (UNKNOWN, PAD, BOS)  # a vocabulary without them was made with other rules

EMBEDDING, BIAS, MATRIX = (
    "encoder.embedding.weight",
    "decoder_bias",
    r"encoder.lstms.\1.weight_hh_l0",
)
# prefixes that DataParallel, a language model and a classifier add
WRAPPED = r"(?:module\.)?(?:0\.)?(?:module\.)?"
LSTM = rf"{WRAPPED}rnns\.(\d+)\.(?:module\.)?"
# fastai's name → ours
NAMES = {
    rf"{WRAPPED}encoder\.weight": EMBEDDING,
    rf"{LSTM}weight_hh_l0_raw": MATRIX,
    rf"{LSTM}(weight_ih_l0|bias_ih_l0|bias_hh_l0)": r"encoder.lstms.\1.\2",
    r"(?:module\.)?1\.decoder\.bias": BIAS,
}
# Tensors that are saved a second time.
REPEATED = {
    rf"{WRAPPED}encoder_dp\.emb\.weight": EMBEDDING,  # fastai 1 and 2
    rf"{WRAPPED}encoder_with_dropout\.embed\.weight": EMBEDDING,  # fastai 0.7
    r"(?:module\.)?1\.decoder\.weight": EMBEDDING,  # tied
    rf"{LSTM}weight_hh_l0": MATRIX,  # what dropout left of it in the last step, in old files
}


def import_fastai(
    pth: Path, pkl: Path, direction: Direction, *, lang: str = "en", say: Say
) -> LanguageModel:
    """The language model of fastai's weights (`.pth`) and vocabulary (`.pkl`).

    `pth`: a language model saved by `learn.save`, with or without its optimizer, or an encoder saved by `save_encoder`.
    Neither file records direction and language (spaCy's code), so they can't be checked. `say` is told of all that is left out,
    moved or filled in. `CheckpointError`: not such files, or not of the same model. ValueError: no such language.
    """
    word_splitter(lang)
    if pth.suffix == ".pkl" or pkl.suffix == ".pth":
        raise CheckpointError(f"expected .pth, then .pkl; got {pth.name}, {pkl.name}: swapped?")
    vocab = read_vocab(pkl)
    tensors = read_weights(pth, say=say)
    config = _config(tensors, pth, direction)
    words, rows = _match_rows(vocab, len(tensors[EMBEDDING]), pkl, say)
    for name in (EMBEDDING, BIAS):
        mean = tensors[name].mean(0, keepdim=True)
        tensors[name] = torch.cat([tensors[name], mean])[rows]  # row −1 is the mean
    tokenizer = Tokenizer(TokenizerConfig(lang=lang, max_vocab=len(words)), words)
    lm = LanguageModel.create(tokenizer, config)
    lm.net.load_state_dict(tensors)
    say(
        f"{pth.name}: {len(words):,} words, embeddings of {config.embedding_size}, "
        f"{config.layers} LSTM layers of {config.hidden_size}; assumed to read {lang}, {direction}"
    )
    return lm


# Words


def read_vocab(pkl: Path) -> list[str]:
    """The words in a pickled list of strings, of any pickle protocol; anything else in the file is refused, not run."""
    try:
        with open(pkl, "rb") as file:
            words = read_pickle(BytesIO(file.read()), (), "a list of strings does")
    except PickleError as error:
        raise CheckpointError(f"{pkl} {error}") from None
    if not isinstance(words, list) or not all(type(word) is str for word in words):
        raise CheckpointError(
            f"{pkl} does not hold a list of strings, as fastai's vocabularies are"
        )
    return words


def _match_rows(
    vocab: list[str], rows: int, pkl: Path, say: Say
) -> tuple[tuple[str, ...], list[int]]:
    """Our vocabulary, and for each of its words its row in the file's embedding, or −1 if it has none."""
    pieces = sum(word.startswith(SPACE) for word in vocab)
    if SPACE + BOS in vocab or pieces > MANY_PIECES * len(vocab):
        raise CheckpointError(
            f"{pkl} holds SentencePiece's pieces ({pieces:,} of {len(vocab):,} begin with {SPACE}), not words; only"
            " vocabularies of words can be imported, since neither file has the model that splits texts into pieces"
        )
    if missing := [token for token in NEEDED if token not in vocab]:
        raise CheckpointError(
            f"{pkl} lacks {' '.join(missing)} and begins with {vocab[:9]}; expected a vocabulary from fastai 1 or 2"
        )
    vocab, beyond = vocab[:rows], vocab[rows:]
    unnamed = rows - len(vocab)
    if unnamed > MOST_FILLERS or set(beyond) - {FILLER}:
        raise CheckpointError(
            f"{pkl} has {len(vocab) + len(beyond):,} words, but the weights have {rows:,} rows; "
            "these files do not belong together"
        )
    place = {word: row for row, word in enumerate(vocab) if word != FILLER}
    words = (*SPECIAL_TOKENS, *(word for word in place if word not in SPECIAL_TOKENS))
    index = [place.get(word, -1) for word in words]
    fillers, first = vocab.count(FILLER), vocab[: len(SPECIAL_TOKENS)]
    twice = len(vocab) - fillers - len(place)
    new = [token for token in SPECIAL_TOKENS if token not in place]
    for happened, line in (
        (unnamed, f"{unnamed} rows after the last word are left out"),
        (fillers, f"{fillers} rows of {FILLER} are left out"),
        (twice, f"{twice} words are repeated; the last row of each is used, as in fastai"),
        (new, f"no row for {' '.join(new)}: the mean of all rows is used"),
        (
            first != list(SPECIAL_TOKENS),
            f"it begins with {' '.join(first)}; rows are moved to the order used here",
        ),
    ):
        if happened:
            say(f"{pkl.name}: {line}")
    return words, index


# Tensors


def read_weights(pth: Path, *, say: Say) -> dict[str, Tensor]:
    """The tensors of a language model or encoder under our names, in fp32, each once; a missing bias becomes zeros."""
    saved = _load(pth)
    if isinstance(saved.get("model"), Mapping):
        say(f"{pth.name}: the optimizer's state is left out")
        saved = saved["model"]
    names = {name: _renamed(name, NAMES) for name in saved}
    repeated = {name: _renamed(name, REPEATED) for name in saved if names[name] is None}
    ours = [new for new in names.values() if new]
    strange = [name for name, new in repeated.items() if new is None]
    strange += [name for name, tensor in saved.items() if not _is_floating(tensor)]
    if strange or not ours or len(set(ours)) < len(ours):
        raise _unknown(saved, strange or list(saved), pth)
    tensors = {new: saved[name].float() for name, new in names.items() if new}
    for name, new in repeated.items():
        assert new is not None
        same = torch.equal(tensors.setdefault(new, saved[name].float()), saved[name].float())
        if not same and new == EMBEDDING:
            raise CheckpointError(
                f"{pth}: {name} differs from the embedding; only tied decoders can be imported"
            )
        if not same:
            say(f"{pth.name}: {name} differs from the matrix named _raw, which is used")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{pth} is damaged: {name} holds numbers that are not finite")
    if BIAS not in tensors and EMBEDDING in tensors:
        say(f"{pth.name}: no decoder bias; zeros are used, and the embedding as decoder")
        tensors[BIAS] = torch.zeros(len(tensors[EMBEDDING]))
    return tensors


def _load(pth: Path) -> Mapping[str, Any]:
    try:
        return read_tensors(pth)
    except OSError:
        raise
    except PickleError as error:
        problem = str(error)
    except Exception:  # a damaged file may raise nearly anything
        problem = "holds no tensors that PyTorch can read"
    raise CheckpointError(
        f"{pth} {problem}; give a file that fastai's learn.save or save_encoder wrote"
    ) from None


def _renamed(name: str, table: Mapping[str, str]) -> str | None:
    matches = ((re.fullmatch(pattern, name), new) for pattern, new in table.items())
    return next((match.expand(new) for match, new in matches if match), None)


def _is_floating(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _config(tensors: Mapping[str, Tensor], pth: Path, direction: Direction) -> ModelConfig:
    """The shape of the net that these tensors fill exactly."""
    embedding, matrix = tensors.get(EMBEDDING), tensors.get(MATRIX.replace(r"\1", "0"))
    if embedding is None or matrix is None or embedding.ndim != 2 or matrix.ndim != 2:
        raise _unknown(tensors, list(tensors), pth)
    layers = sum(name.endswith("weight_hh_l0") for name in tensors)
    config = ModelConfig(embedding.shape[1], matrix.shape[1], layers, direction)
    with torch.device("meta"):  # shapes only
        expected = LMNet(len(embedding), config, NO_DROPOUT).state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        has, wants = (
            tuple(part[name].shape) if name in part else "nothing" for part in (tensors, expected)
        )
        if has != wants:
            raise CheckpointError(
                f"{pth}: a net of {config.layers} layers, embeddings of {config.embedding_size} and {config.hidden_size} units "
                f"needs {wants} for {name}, found {has}"
            )
    return config


def _unknown(found: Mapping[str, Any], strange: list[str], pth: Path) -> CheckpointError:
    shown = ", ".join(f"{n} {tuple(getattr(found[n], 'shape', ()))}" for n in strange[:4])
    return CheckpointError(
        f"{pth} does not have the layout of fastai's AWD-LSTM (0.encoder.weight, 0.rnns.0.module.weight_ih_l0, …); "
        f"not understood among its {len(found)} entries: {shown or 'none, it is empty'}"
    )
