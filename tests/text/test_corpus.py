from pathlib import Path

import numpy as np
import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

DOCUMENTS = [
    Document("A good movie .", "pos"),
    Document("", None),
    Document("bad bad", "neg"),
    Document("Good !", "pos"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.build((d.text for d in DOCUMENTS), TokenizerConfig(min_freq=1))


def test_documents_come_back(tokenizer: Tokenizer) -> None:
    corpus = Corpus.build(iter(DOCUMENTS), tokenizer)
    assert len(corpus) == 4
    for ids, document in zip(corpus, DOCUMENTS, strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode(document.text))
    assert corpus.n_tokens == sum(corpus.lengths) == len(corpus.ids)
    assert corpus.label_names == ("neg", "pos")
    assert corpus.labels is not None and corpus.labels.tolist() == [1, -1, 0, 1]
    np.testing.assert_array_equal(corpus[-1], corpus[3])
    with pytest.raises(IndexError, match="corpus of 4"):
        corpus[4]


def test_encoding_stops_where_enough_is_read(tokenizer: Tokenizer) -> None:
    """The document that reaches the limit is the last, though texts are read ahead."""
    whole = Corpus.build(DOCUMENTS, tokenizer)
    part = Corpus.build(iter(DOCUMENTS), tokenizer, max_tokens=int(whole.offsets[1]) + 1)
    assert len(part) == 2
    np.testing.assert_array_equal(part.ids, whole.ids[: whole.offsets[2]])
    assert len(Corpus.build(DOCUMENTS, tokenizer, max_tokens=10**6)) == 4


def test_written_is_the_same_as_in_memory(tokenizer: Tokenizer, tmp_path: Path) -> None:
    memory = Corpus.build(DOCUMENTS, tokenizer)
    for _ in range(2):  # the second time it replaces the first
        written = Corpus.build(DOCUMENTS, tokenizer, path=tmp_path / "runs" / "corpus")
    loaded = Corpus.load(tmp_path / "runs" / "corpus")
    for corpus in (written, loaded):
        assert isinstance(corpus.ids, np.memmap)
        assert corpus.ids.dtype == memory.ids.dtype
        np.testing.assert_array_equal(corpus.ids, memory.ids)
        np.testing.assert_array_equal(corpus.offsets, memory.offsets)
        np.testing.assert_array_equal(corpus.labels, memory.labels)
        assert (corpus.label_names, corpus.fingerprint) == (memory.label_names, memory.fingerprint)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["corpus"]


def test_fingerprint_knows_text_labels_and_tokenizer(tokenizer: Tokenizer) -> None:
    other = Tokenizer.build(["other"], TokenizerConfig(min_freq=1))
    prints = {
        Corpus.build(DOCUMENTS, tokenizer).fingerprint,
        Corpus.build(DOCUMENTS[:3], tokenizer).fingerprint,
        Corpus.build([Document(d.text) for d in DOCUMENTS], tokenizer).fingerprint,
        Corpus.build(DOCUMENTS, other).fingerprint,
        Corpus.build(DOCUMENTS, tokenizer).subset([0]).fingerprint,
        Corpus.build(DOCUMENTS, tokenizer, label_names=["pos", "neg"]).fingerprint,
        Corpus.build(DOCUMENTS, tokenizer, label_names=["neg", "pos", "meh"]).fingerprint,
    }
    assert len(prints) == 7


def test_given_label_names_decide_the_numbers(tokenizer: Tokenizer) -> None:
    corpus = Corpus.build(DOCUMENTS, tokenizer, label_names=["pos", "meh", "neg"])
    assert corpus.labels is not None and corpus.labels.tolist() == [0, -1, 2, 0]
    with pytest.raises(ValueError, match=r"Document 3 has the label 'neg'; known are 'pos'"):
        Corpus.build(DOCUMENTS, tokenizer, label_names=["pos"])


def test_a_label_may_be_a_number(tokenizer: Tokenizer) -> None:
    numbered = [Document("a"), Document("b")]
    for document, label in zip(numbered, (1, 0), strict=True):
        object.__setattr__(document, "label", label)  # past the type checker of the tests
    corpus = Corpus.build(numbered, tokenizer, label_names=["0", "1"])
    assert corpus.labels is not None and corpus.labels.tolist() == [1, 0]
    assert Corpus.build(numbered, tokenizer).label_names == ("0", "1")


def test_without_labels(tokenizer: Tokenizer) -> None:
    corpus = Corpus.build([Document("a"), Document("b")], tokenizer)
    assert corpus.labels is None and corpus.label_names == ()


def test_subset_keeps_order_and_names(tokenizer: Tokenizer) -> None:
    corpus = Corpus.build(DOCUMENTS, tokenizer)
    with pytest.raises(IndexError):
        corpus.subset([0, 4])
    part = corpus.subset([3, 0])
    np.testing.assert_array_equal(part[0], corpus[3])
    np.testing.assert_array_equal(part[1], corpus[0])
    assert part.labels is not None and part.labels.tolist() == [1, 1]
    assert part.label_names == corpus.label_names
    assert len(corpus.subset([])) == 0
