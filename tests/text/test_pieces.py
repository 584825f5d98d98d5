import bz2
import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from ulmfit.text import pieces, separated
from ulmfit.text.files import DataError
from ulmfit.text.readers import read_documents


@pytest.fixture(autouse=True)
def every_table_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LARGE", 0)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.bz2"])
def test_pieces_hold_what_the_whole_holds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 3)
    monkeypatch.setattr(separated.pieces, "__defaults__", (60,))
    texts = [f"text {i}" if i % 4 else None for i in range(10)]
    frame = pl.DataFrame({"text": texts, "other": range(10)})
    if name == "a.parquet":
        frame.write_parquet(tmp_path / name)
    elif ".csv" in name:
        content = (
            frame.write_csv().encode().replace(b"text 5,5", "t\xe9xt,5\nb\xe9".encode("cp1252"))
        )
        content = content.replace(b"text 7", "t\xe9xt".encode()).replace(b"text 1", "\xe9".encode())
        (tmp_path / name).write_bytes(bz2.compress(content) if name.endswith(".bz2") else content)
    else:
        content = frame.write_ndjson().encode()
        content = content.replace(b'{"text":"text 5","other":5}', b"{}\n\nnonsense")
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    whole = list(read_documents(tmp_path / name, label_column="other", on_bad="skip"))
    said, expected = list[str](), list[str]()
    read_documents(tmp_path / name, label_column="other", on_bad="skip", say=expected.append)
    made = read_documents(tmp_path / name, labelled=False, on_bad="skip", say=said.append)
    assert [d.text for d in made] == [d.text for d in whole]
    made, read = (sorted(re.split("skipped: |; ", line)) for line in (said[-1], expected[-1]))
    assert made == read and len(made) > 1  # the same places
    with pytest.raises(DataError, match=r"no text in \d rows? \((row|line)s? [12]\b"):
        read_documents(tmp_path / name, labelled=False)


def test_pieces_are_read_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 2)
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n{"text": "c"}\nnonsense\n')
    texts = iter(read_documents(path, labelled=False))
    assert [next(texts).text, next(texts).text] == ["a", "b"]
    with pytest.raises(DataError, match=r"invalid JSON in 1 row \(line 4\)"):
        next(texts)
