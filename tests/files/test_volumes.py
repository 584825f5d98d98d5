"""A directory in volumes: whole again, or refused with what is wrong."""

import json
from pathlib import Path

import pytest

from ulmfit.files.volumes import INDEX, cut, join, joined
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer


@pytest.fixture
def corpora(reviews: list[Document], tokenizer: Tokenizer, tmp_path: Path) -> Path:
    Corpus.build(reviews, tokenizer, path=tmp_path / "corpora" / "train")
    return tmp_path / "corpora"


def test_what_was_cut_comes_back(corpora: Path, tmp_path: Path) -> None:
    """In volumes no larger than asked; the same again from the same files."""
    files = cut(corpora / "train", tmp_path / "a", 0.001)
    assert len(files) > 1 and max(f.stat().st_size for f in files) == 1000
    cut(corpora / "train", tmp_path / "b", 0.001)
    assert [f.read_bytes() for f in files] == [
        f.read_bytes() for f in sorted((tmp_path / "b").glob("*.xz"))
    ]
    found = Corpus.load(join(tmp_path / "a", tmp_path / "c"))
    whole = Corpus.load(corpora / "train")
    assert found.fingerprint == whole.fingerprint and found.ids[:].tolist() == whole.ids[:].tolist()
    assert joined(tmp_path / "c", tmp_path / "d") == tmp_path / "c"  # nothing to join
    assert joined(tmp_path / "a", tmp_path / "c") == tmp_path / "c"  # joined before


def test_volumes_that_are_missing_or_damaged_are_named(corpora: Path, tmp_path: Path) -> None:
    first, second, third, *_ = cut(corpora / "train", tmp_path / "a", 0.001)
    first.unlink()
    third.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=r"missing: 000\.xz; damaged: 002\.xz; copy these again"):
        join(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    for given, out, size, said in (
        (corpora / "none", "c", 9.0, "not a directory"),
        (corpora / "train", "a", 9.0, "not empty"),
        (tmp_path, "a/b", 9.0, "lies inside"),
        (corpora / "train", "c", 1e-9, "larger size"),
    ):
        with pytest.raises(ValueError, match=said):
            cut(given, tmp_path / out, size)
    with pytest.raises(ValueError, match="exists"):
        join(tmp_path / "a", tmp_path / "a")
    for index in ({}, {"volumes": ["000.xz"]}, {"volumes": {"../corpora/train/ids.bin": "0"}}):
        (tmp_path / "a" / INDEX).write_text(json.dumps(index))
        with pytest.raises(ValueError, match="does not name the volumes"):
            join(tmp_path / "a", tmp_path / "b")
