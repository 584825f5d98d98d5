import json
import os
from pathlib import Path

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


def test_an_error_leaves_nothing_behind(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label"):
        Corpus.build(DOCUMENTS, tokenizer, path=tmp_path / "corpus", label_names=["x"])
    with pytest.raises(ValueError, match="no documents"):
        Corpus.build([], tokenizer, path=tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_encoding_left_is_in_nobodys_way(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / f".corpus.{os.getpid()}.part").mkdir()
    assert len(Corpus.build(DOCUMENTS, tokenizer, path=tmp_path / "corpus")) == 4
    plain = tmp_path / "plain"
    plain.mkdir()  # others may read the corpus as they may read any folder here
    assert (tmp_path / "corpus").stat().st_mode == plain.stat().st_mode


def test_a_foreign_folder_is_never_overwritten(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not an encoded corpus"):
        Corpus.build(DOCUMENTS, tokenizer, path=tmp_path)
    with pytest.raises(ValueError, match="not an encoded corpus"):
        Corpus.load(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_damaged_corpus_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    n = Corpus.build(DOCUMENTS, tokenizer, path=path).n_tokens
    (path / "ids.bin").write_bytes(b"\0\0" * (n - 1))
    with pytest.raises(ValueError, match="damaged"):
        Corpus.load(path)
    content = json.loads((path / "corpus.json").read_text())
    (path / "corpus.json").write_text(json.dumps({**content, "dtype": "word"}))
    with pytest.raises(ValueError, match="not an encoded corpus"):
        Corpus.load(path)
