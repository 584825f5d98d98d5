"""fastai's files become the same model, or it is said why not; nothing in them is run."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ulmfit.fastai_files import import_fastai, read_vocab, read_weights
from ulmfit.files.checkpoint import CheckpointError
from ulmfit.language_model import LanguageModel
from ulmfit.text.rules import SPECIAL_TOKENS

WORDS = [*SPECIAL_TOKENS, *(f"w{i}" for i in range(9, 100))]  # for the goldens' 100 rows
FASTAI_1 = [*SPECIAL_TOKENS[:5], "xxmaj", "xxup", "xxrep", "xxwrep"]  # its order


@pytest.fixture
def files(goldens: Path) -> Path:
    return goldens / "fastai_files"


@pytest.fixture
def weights(files: Path) -> dict[str, Tensor]:
    return dict(torch.load(files / "tiny_lm.pth", weights_only=True))


class Importer:
    """Imports what it is given, by way of files; keeps what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()

    def __call__(self, weights: Any, words: Any = WORDS, **options: Any) -> LanguageModel:
        pth, pkl = self.folder / "lm.pth", self.folder / "itos.pkl"
        torch.save(weights, pth, **options)
        pkl.write_bytes(pickle.dumps(words))
        self.said.clear()
        return import_fastai(pth, pkl, "forward", say=self.said.append)

    def was_said(self, *parts: str) -> bool:
        return all(any(part in line for line in self.said) for part in parts)


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def same(one: LanguageModel, other: LanguageModel) -> bool:
    a, b = one.net.state_dict(), other.net.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Goldens


def test_a_language_model_gives_fastais_logits(
    goldens: Path, importer: Importer, weights: dict[str, Tensor]
) -> None:
    lm, golden = importer(weights), load_file(goldens / "lm_eval_carry.safetensors")
    out = lm.net(golden["call0.input"])
    torch.testing.assert_close(lm.net.logits(out.dropped), golden["call0.logits"])
    assert (lm.config.embedding_size, lm.config.hidden_size, lm.config.layers) == (12, 20, 3)
    assert lm.config.direction == "forward" and lm.tokenizer.vocab == tuple(WORDS)
    assert torch.equal(lm.net.decoder_bias, weights["1.decoder.bias"])
    assert importer.was_said("100 words, embeddings of 12, 3 LSTM layers of 20; assumed to read en")
    assert len(importer.said) == 1


def test_a_saved_encoder_gets_a_tied_decoder(
    files: Path, importer: Importer, weights: dict[str, Tensor]
) -> None:
    whole = importer(weights)
    encoder = importer(torch.load(files / "tiny_encoder.pth", weights_only=True))
    assert importer.was_said("no decoder bias; zeros are used")
    assert not encoder.net.decoder_bias.any()
    torch.nn.init.zeros_(whole.net.decoder_bias)
    assert same(encoder, whole)


def test_an_optimizer_beside_the_model_is_left_out(files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = read_weights(files / "tiny_lm_with_opt.pth", say=said.append)
    before = read_weights(files / "tiny_lm.pth", say=said.append)
    assert any("optimizer's state is left out" in line for line in said)
    for name in before:  # it was saved after one step of Adam at a rate of 0.001
        assert 0 < (found[name] - before[name]).abs().max() < 1.1e-3


def test_fastais_pickled_words(files: Path) -> None:
    assert read_vocab(files / "tiny_lm_vocab.pkl") == [f"w{i}" for i in range(100)]
    with pytest.raises(CheckpointError, match="lacks xxunk xxpad xxbos and begins with"):
        vocab = files / "tiny_lm_vocab.pkl"
        import_fastai(files / "tiny_lm.pth", vocab, "forward", say=print)


# Names of tensors


def fastai_07(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Its names; its decoder had no bias."""
    swap = {"encoder_dp.emb": "encoder_with_dropout.embed"}
    swap |= {f"rnns.{i}.weight_hh": f"rnns.{i}.module.weight_hh" for i in range(3)}
    renamed = {}
    for name, tensor in weights.items():
        for old, new in swap.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    del renamed["1.decoder.bias"]
    return renamed


def fastai_1(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """With what dropout had left of the matrices."""
    copies = {f"0.rnns.{i}.module.weight_hh_l0": f"0.rnns.{i}.weight_hh_l0_raw" for i in range(3)}
    return weights | {copy: weights[raw] * (i > 0) for i, (copy, raw) in enumerate(copies.items())}


def without_raw(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.replace("weight_hh_l0_raw", "module.weight_hh_l0"): t for n, t in weights.items()}


def parallel(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("style", [fastai_07, fastai_1, without_raw, parallel])
@pytest.mark.parametrize("zipped", [True, False])  # PyTorch's format since 1.6, and before
def test_all_styles_give_the_same(
    importer: Importer, weights: dict[str, Tensor], style: Any, zipped: bool
) -> None:
    expected = importer(weights)
    found = importer(style(weights), _use_new_zipfile_serialization=zipped)
    if style is fastai_07:
        assert importer.was_said("no decoder bias")
        torch.nn.init.zeros_(expected.net.decoder_bias)
    assert importer.was_said("0.rnns.0.module.weight_hh_l0 differs") == (style is fastai_1)
    assert same(found, expected)


def test_half_precision_is_read(importer: Importer, weights: dict[str, Tensor]) -> None:
    lm = importer({name: tensor.half() for name, tensor in weights.items()})
    assert torch.equal(lm.net.decoder_bias, weights["1.decoder.bias"].half().float())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"1.layers.0.0.weight": torch.ones(3)}, r"among its 17 .* 1\.layers\.0\.0\.weight \(3,\)"),
        ({"encoder.weight": torch.ones(3)}, "not understood"),  # a second embedding
        ({"0.rnns.1.module.weight_ih_l0": None}, r"lstms\.1\.weight_ih_l0, found nothing"),
        ({"0.rnns.1.module.bias_ih_l0": torch.ones(9)}, r"needs \(80,\) for .*, found \(9,\)"),
        ({"0.rnns.0.module.weight_ih_l0_reverse": torch.ones(9)}, "_reverse"),
        ({"1.decoder.weight": torch.ones(100, 12)}, "1.decoder.weight differs.*tied"),
        ({"0.encoder.weight": torch.ones(100)}, "differs|layout"),
        ({"1.decoder.bias": torch.full((100,), torch.nan)}, "not finite"),
        ({"1.decoder.bias": torch.ones(100, dtype=torch.int32)}, r"1\.decoder\.bias \(100,\)"),
        ({"0.rnns.0.weight_hh_l0_raw": torch.ones(4)}, "layout"),
        ({"0.rnns.0.weight_hh_l0_raw": torch.ones(1, 10**6)}, "needs"),  # and is never made
    ],
)
def test_what_does_not_fit_is_named(
    importer: Importer, weights: dict[str, Tensor], change: dict[str, Tensor], problem: str
) -> None:
    changed = {n: t for n, t in (weights | change).items() if t is not None}
    with pytest.raises(CheckpointError, match=problem):
        importer(changed)


def test_other_files_are_named(importer: Importer, tmp_path: Path) -> None:
    for content, problem in (
        ({"embedding.weight": torch.ones(3, 4)}, r"embedding\.weight \(3, 4\)"),
        ({}, "it is empty"),
        ([torch.ones(3)], "holds a list"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            importer(content)
    (tmp_path / "x.pth").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match="no tensors that PyTorch can read"):
        read_weights(tmp_path / "x.pth", say=print)
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "y.pth", say=print)


# Words and rows


def test_rows_follow_their_words(importer: Importer, weights: dict[str, Tensor]) -> None:
    theirs = [*FASTAI_1, *WORDS[9:-3], "xxfake", "xxfake", "xxfake"]
    lm = importer(weights, theirs)
    assert importer.was_said("begins with xxunk xxpad", "moved", "3 rows of xxfake are left out")
    assert lm.tokenizer.vocab == tuple(WORDS[:-3])
    for row, word in enumerate(lm.tokenizer.vocab):
        old = theirs.index(word)
        assert torch.equal(lm.net.encoder.embedding.weight[row], weights["0.encoder.weight"][old])
        assert lm.net.decoder_bias[row] == weights["1.decoder.bias"][old]


def test_a_filler_among_the_words_moves_nobody(
    importer: Importer, weights: dict[str, Tensor]
) -> None:
    lm = importer(weights, [*WORDS[:50], "xxfake", *WORDS[51:]])
    assert lm.tokenizer.vocab == (*WORDS[:50], *WORDS[51:])
    kept = torch.cat([weights["0.encoder.weight"][:50], weights["0.encoder.weight"][51:]])
    assert torch.equal(lm.net.encoder.embedding.weight, kept)


def test_a_special_token_without_a_row_gets_the_mean(
    importer: Importer, weights: dict[str, Tensor]
) -> None:
    lm = importer(weights, ["w" if word == "xxeos" else word for word in WORDS])
    assert importer.was_said("no row for xxeos") and len(lm.tokenizer) == 101
    mean = weights["0.encoder.weight"].mean(0)
    assert torch.equal(lm.net.encoder.embedding.weight[SPECIAL_TOKENS.index("xxeos")], mean)


def test_a_word_that_stands_twice_has_the_last_row(
    importer: Importer, weights: dict[str, Tensor]
) -> None:
    lm = importer(weights, [*WORDS[:-1], "w9"])
    assert importer.was_said("1 words are repeated")
    assert torch.equal(lm.net.encoder.embedding.weight[9], weights["0.encoder.weight"][99])


def test_words_and_rows_must_belong_together(
    importer: Importer, weights: dict[str, Tensor]
) -> None:
    shorter = importer(weights, WORDS[:92])
    assert importer.was_said("8 rows after the last word are left out")
    longer = importer(weights, [*WORDS, *["xxfake"] * 4])
    assert torch.equal(
        shorter.net.encoder.embedding.weight, longer.net.encoder.embedding.weight[:92]
    )
    for words in (WORDS[:91], [*WORDS, "more"]):
        with pytest.raises(CheckpointError, match="100 rows; these files do not belong together"):
            importer(weights, words)


@pytest.mark.parametrize(
    "words",
    [
        [*SPECIAL_TOKENS, "▁xxbos", *(f"w{i}" for i in range(90))],
        [*SPECIAL_TOKENS, *(f"▁w{i}" for i in range(20)), *(f"w{i}" for i in range(71))],
    ],
)
def test_pieces_are_no_words(
    importer: Importer, weights: dict[str, Tensor], words: list[str]
) -> None:
    with pytest.raises(
        CheckpointError, match=r"SentencePiece's pieces .* only vocabularies of words"
    ):
        importer(weights, words)
    with_spaces = [*SPECIAL_TOKENS, "▁", "▁▁", *(f"w{i}" for i in range(89))]  # runs of spaces
    assert importer(weights, with_spaces).tokenizer.vocab == tuple(with_spaces)


def test_swapped_files_are_told_apart(files: Path, tmp_path: Path) -> None:
    pth, pkl = files / "tiny_lm.pth", files / "tiny_lm_vocab.pkl"
    with pytest.raises(CheckpointError, match=r"got tiny_lm_vocab\.pkl, tiny_lm\.pth: swapped\?"):
        import_fastai(pkl, pth, "forward", say=print)
    for path, name in ((pth, "a"), (pkl, "b")):
        (tmp_path / name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="not a pickle, or is damaged"):
        import_fastai(tmp_path / "b", tmp_path / "a", "forward", say=print)


# Harm


class Command:
    """Pickled, it asks for a program to be run when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_vocabularies_of_all_protocols(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "itos.pkl"
    words = ["xxunk", "été", "été", "\n▁", "👍", ""]
    path.write_bytes(pickle.dumps(words, protocol))
    assert read_vocab(path) == words
    for content in (Command(tmp_path / "ran"), ["a", Command(tmp_path / "ran")]):
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(CheckpointError, match=r"asks for \w+\.system.*it was not run"):
            read_vocab(path)
    assert not (tmp_path / "ran").exists()
    for other in ([["a"]], ["a", 1], ("a",), {"a": 1}, "a", None):
        path.write_bytes(pickle.dumps(other, protocol))
        with pytest.raises(CheckpointError, match="not hold a list of strings"):
            read_vocab(path)


def test_damaged_vocabularies(tmp_path: Path) -> None:
    path, whole = tmp_path / "itos.pkl", pickle.dumps(WORDS)
    for content in (b"", whole[:-5], b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a pickle, or is damaged"):
            read_vocab(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_run_nothing(
    importer: Importer, tmp_path: Path, weights: dict[str, Tensor], zipped: bool
) -> None:
    for content in (
        Command(tmp_path / "ran"),
        {"model": weights, "opt": Command(tmp_path / "ran")},
    ):
        with pytest.raises(CheckpointError, match=r"asks for \w+\.system.*it was not run"):
            importer(content, _use_new_zipfile_serialization=zipped)
    assert not (tmp_path / "ran").exists()
