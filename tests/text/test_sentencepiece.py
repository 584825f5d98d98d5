"""Pieces of words: fastai's settings, laws of encoding and decoding, files."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ulmfit.config import BOS_ID, PAD_ID, UNKNOWN_ID, TokenizerConfig
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.rules import SPECIAL_TOKENS, apply_rules
from ulmfit.text.sentencepiece import (
    EUROPEAN,
    SPACE,
    Pieces,
    library,
    n_pieces,
    settings,
    train,
)
from ulmfit.text.tokenizer import Tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

PIECES = TokenizerConfig(kind="sentencepiece")
THREE = ["The film was GREAT!!!", "a dull film , no no no", "Der Käse schmeckt."]
PLAIN = ["the film and the plot were great", "a superb cast, i say it again.", "music & ending"]


@pytest.fixture(scope="module")
def pieces(reviews: list[Document]) -> Tokenizer:
    return Tokenizer.build([*(d.text for d in reviews), *THREE, *PLAIN], PIECES)


# ---- fastai's settings ----


def test_settings_are_fastais() -> None:
    """What fastai 2.8.12 passes to the trainer; longer texts are read here, and skipped there."""
    assert settings(296, "en") == {
        "model_type": "unigram",
        "vocab_size": 296,
        "hard_vocab_limit": False,
        "character_coverage": 0.99999,
        "user_defined_symbols": [
            "▁xxunk", "▁xxpad", "▁xxbos", "▁xxeos", "▁xxfld", "▁xxrep", "▁xxwrep", "▁xxup", "▁xxmaj",
        ],
        "unk_id": 9,
        "pad_id": -1,
        "bos_id": -1,
        "eos_id": -1,
        "max_sentence_length": 2**30,
        "minloglevel": 2,
    }  # fmt: skip
    assert len(EUROPEAN.split()) == 24
    assert settings(29, "de")["character_coverage"] == 0.99999
    assert settings(29, "ja")["character_coverage"] == 0.9998


@pytest.mark.parametrize(
    ("distinct", "wanted"),
    [(0, 29), (99, 29), (100, 32), (131, 32), (132, 40), (119_997, 30_000), (130_000, 30_000)],
)
def test_a_quarter_of_the_words_in_steps_of_eight(distinct: int, wanted: int) -> None:
    words = " ".join(f"w{i}" for i in range(distinct))
    assert n_pieces([words, words], 60_000) == wanted
    assert n_pieces([words], 100) == min(wanted, 100)


def test_the_trainer_gets_settings_and_marked_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    whole = sentencepiece.SentencePieceTrainer.train

    def heard(**values: Any) -> None:
        told.update(values, texts=list(values["sentence_iterator"]))
        whole(**values | {"sentence_iterator": iter(told["texts"])})

    monkeypatch.setattr(sentencepiece.SentencePieceTrainer, "train", heard)
    texts = [f"{text} abc" for text in THREE for _ in range(3)]
    train(texts, TokenizerConfig(kind="sentencepiece", lang="ja"), print)
    size = told["vocab_size"]
    assert settings(size, "ja").items() <= told.items()
    assert told["texts"] == [apply_rules(text) for text in texts]


def test_pieces_are_sentencepieces_own(pieces: Tokenizer, reviews: list[Document]) -> None:
    own = sentencepiece.SentencePieceProcessor(model_proto=pieces.model)
    for text in [*(d.text for d in reviews), *THREE]:
        wanted = own.encode(apply_rules(text), out_type=str)
        got = [SPACE + t if t in SPECIAL_TOKENS else t for t in pieces.tokenize(text)]
        assert got == wanted
        ids = own.encode(
            apply_rules(text)
        )  # the same order; fastai's unknown piece, id 9, is left out
        assert pieces.encode(text).tolist() == [i - (i > 9) for i in ids]


# ---- laws ----


def test_special_tokens_have_the_ids_they_always_have(pieces: Tokenizer) -> None:
    assert pieces.vocab[:9] == SPECIAL_TOKENS
    assert "<unk>" not in pieces.vocab and len(set(pieces.vocab)) == len(pieces)
    tokens = pieces.tokenize("GREAT Film, coool, no no no ")
    for special in ("xxbos", "xxup", "xxmaj", "xxrep", "xxwrep"):
        assert special in tokens
    assert tokens[0] == "xxbos" and pieces.encode("").tolist() == [BOS_ID]
    assert pieces.encode("").dtype == np.uint16


def test_decoding_undoes_encoding(pieces: Tokenizer) -> None:
    for text in PLAIN:
        assert pieces.decode(pieces.encode(text)) == text
    assert pieces.decode(pieces.encode(" The   film\nwas GREAT ")) == "The film was GREAT"
    assert pieces.decode(pieces.encode(THREE[0])) == "The film was GREAT !!!"
    assert pieces.decode(pieces.encode(THREE[1])) == "a dull film , no no no"
    assert pieces.decode([BOS_ID, PAD_ID]) == ""


def test_decoded_and_encoded_again_is_the_same(pieces: Tokenizer, reviews: list[Document]) -> None:
    for document in reviews:
        ids = pieces.encode(document.text)
        assert pieces.encode(pieces.decode(ids)).tolist() == ids.tolist()


def test_unheard_of_characters_are_unknown(pieces: Tokenizer) -> None:
    ids = pieces.encode("the 猫 film")
    assert ids.tolist().count(UNKNOWN_ID) == 1
    assert "猫" in pieces.tokenize("the 猫 film")
    assert pieces.join(pieces.tokenize("the 猫 film")) == "the 猫 film"


def test_a_corpus_is_its_documents_one_by_one(pieces: Tokenizer, reviews: list[Document]) -> None:
    corpus = Corpus.build(reviews, pieces)
    for i, document in enumerate(reviews):
        assert corpus[i].tolist() == pieces.encode(document.text).tolist()


def test_the_same_texts_give_the_same_pieces(pieces: Tokenizer, reviews: list[Document]) -> None:
    again = Tokenizer.build([*(d.text for d in reviews), *THREE, *PLAIN], PIECES)
    assert again == pieces and again.fingerprint == pieces.fingerprint


# ---- where fastai ends, or skips ----


def test_three_texts_are_enough(capfd: pytest.CaptureFixture[str]) -> None:
    """fastai asks for 29 pieces, fewer than there are characters, and ends with a RuntimeError."""
    with pytest.raises(RuntimeError, match="required_chars"):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(apply_rules, THREE),
            model_prefix="unused",
            **settings(n_pieces(THREE, 60_000), "en"),
        )
    capfd.readouterr()
    said: list[str] = []
    tokenizer = Tokenizer.build(THREE, PIECES, say=said.append)
    for text in THREE:
        assert UNKNOWN_ID not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(THREE[2])) == THREE[2]
    assert len(said) == 1 and "29 were wanted, too few for the characters" in said[0]
    assert f"{len(tokenizer)} pieces" in said[0]
    out, err = capfd.readouterr()
    assert "INFO" not in out + err and "trainer" not in out + err  # none of its own lines


def test_long_texts_are_not_skipped() -> None:
    long = " ".join(f"zebra{i % 7}" for i in range(900))  # more than 4,192 bytes
    tokenizer = Tokenizer.build([long, "a film"], PIECES)
    assert UNKNOWN_ID not in tokenizer.encode("zebra")


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"]])
def test_nothing_to_learn_from(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"these {len(texts)} texts.*--tokenizer.kind words"):
        Tokenizer.build(texts, PIECES)


# ---- files ----


def test_save_and_load(pieces: Tokenizer, tmp_path: Path) -> None:
    pieces.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded == pieces and loaded.model == pieces.model
    assert loaded.fingerprint == pieces.fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
    for text in [*THREE, *PLAIN]:
        assert loaded.encode(text).tolist() == pieces.encode(text).tolist()


def test_the_fingerprint_includes_the_model(pieces: Tokenizer) -> None:
    assert pieces.model is not None
    other = pieces.model + b"\x9a\x06\x01x"  # an unknown field: the same pieces, other bytes
    assert Tokenizer(PIECES, pieces.vocab, other).fingerprint != pieces.fingerprint


def test_what_does_not_belong_together_is_refused(pieces: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    pieces.save(path)
    whole = json.loads(path.read_text(encoding="utf-8"))
    junk = base64.b64encode(b"junk").decode()
    for change, reason in (
        ({"vocab": whole["vocab"][:-1]}, "do not belong together"),
        ({"vocab": [*whole["vocab"][:-2], *whole["vocab"][:-3:-1]]}, "do not belong together"),
        ({"sentencepiece": None}, "sentencepiece with no model"),
        ({"sentencepiece": "?"}, "is not a tokenizer"),
        ({"sentencepiece": ""}, "model is empty"),
        ({"sentencepiece": junk}, "not a SentencePiece model"),
        ({"config": whole["config"] | {"kind": "words"}}, "words with a model"),
    ):
        path.write_text(json.dumps(whole | change), encoding="utf-8")
        with pytest.raises(ValueError, match=rf"tokenizer\.json.*{reason}"):
            Tokenizer.load(path)


def test_without_the_package_the_extra_is_named(
    pieces: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces.save(tmp_path / "tokenizer.json")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    for needs_it in (
        library,
        lambda: Tokenizer.load(tmp_path / "tokenizer.json"),
        lambda: Tokenizer.build(THREE, PIECES),
        lambda: Pieces(b"x", "fastai"),
    ):
        with pytest.raises(ImportError, match="pip install sentencepiece"):
            needs_it()


# ---- fine-tuning ----


def test_a_models_pieces_stay(pieces: Tokenizer) -> None:
    """As words do; but pieces are not added to. Without `keep_words` new ones are learnt, as for fastai."""
    assert pieces.adapted(["Völlig neu"], PIECES, keep_words=True) is pieces
    new = pieces.adapted(THREE, PIECES, keep_words=False)
    assert new == Tokenizer.build(THREE, PIECES) != pieces
    with pytest.raises(ValueError, match="can't be added to"):
        Tokenizer.build(THREE, PIECES, keep=pieces.vocab)
