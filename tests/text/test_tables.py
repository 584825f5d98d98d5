import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from ulmfit.text.corpus import Document
from ulmfit.text.tables import DataError, documents_of, read_table

pl = pytest.importorskip("polars")

ROWS = [("fine, really", "01"), ('he said "no"\nand left', "02"), ("123", "01")]
CSV = 'text,label\n"fine, really",01\n"he said ""no""\nand left",02\n123,01\n'


def documents(path: Path, **options: object) -> list[tuple[str, str | None]]:
    made = documents_of(read_table(path), source=path.name, **options)  # type: ignore[arg-type]
    return [(d.text, d.label) for d in made]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_values_stay_as_written(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.csv", CSV)) == ROWS
    assert documents(write(tmp_path / "b.csv", CSV.replace("\n", "\r\n")))[2] == ROWS[2]
    assert documents(write(tmp_path / "c.CSV", b"\xef\xbb\xbf" + CSV.encode())) == ROWS


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    assert documents(write(tmp_path / f"a.csv{suffix}", compress(CSV.encode()))) == ROWS
    with pytest.raises(DataError, match="can't be read as a"):
        read_table(write(tmp_path / f"b.csv{suffix}", compress(CSV.encode() * 50)[:-20]))


def test_tsv_with_and_without_quotes(tmp_path: Path) -> None:
    quoted = write(tmp_path / "a.tsv", 'text\tlabel\n"a ""b"" c"\tx\nplain\ty\n')
    assert documents(quoted) == [('a "b" c', "x"), ("plain", "y")]
    unquoted = write(tmp_path / "b.tsv", 'text\tlabel\n"open and\tx\nshut" again\ty\n"\tx\n')
    assert documents(unquoted) == [('"open and', "x"), ('shut" again', "y"), ('"', "x")]
    lines = write(tmp_path / "c.tsv", 'text\tlabel\n"two\nlines"\tx\n')
    assert documents(lines) == [("two\nlines", "x")]


def test_semicolons_are_seen_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    frame = read_table(write(tmp_path / "a.csv", "text;label\na,b;x\n"), said.append)
    assert frame.rows() == [("a,b", "x")]
    assert said == ["a.csv: columns are separated by ';'"]


def test_json_lines(tmp_path: Path) -> None:
    lines = '{"text": "a\\nb", "label": 1, "id": 5}\n\n{"label": 2, "text": "c"}\n'
    assert documents(write(tmp_path / "a.jsonl", lines)) == [("a\nb", "1"), ("c", "2")]
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_table(write(tmp_path / "b.ndjson", '{"text": "a"}\n{"text": \n'))
    with pytest.raises(DataError, match="line 1: expected"):
        read_table(write(tmp_path / "c.ndjson", '["a"]\n'))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1], ["0", "1"]),
        ([True, False], ["true", "false"]),
        ([1.0, 2.5], ["1", "2.5"]),
        (["pos", " neg "], ["pos", "neg"]),  # typed, not meant
    ],
)
def test_parquet_labels_are_spelled_naturally(
    tmp_path: Path, values: list, labels: list[str]
) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a", "b"], "label": values}).write_parquet(path)
    assert documents(path) == list(zip(["a", "b"], labels, strict=True))


def test_obvious_columns_are_chosen_and_said() -> None:
    said: list[str] = []
    frame = pl.DataFrame({"id": ["1"], "Review": ["good"], "SENTIMENT": ["pos"]})
    assert documents_of(frame, say=said.append, source="f") == [Document("good", "pos")]
    assert said == ["f: text is column 'Review'", "f: label is column 'SENTIMENT'"]
    assert documents_of(frame, labelled=False) == [Document("good")]
    named = documents_of(frame, text_column="id", label_column="Review")
    assert named == [Document("1", "good")]


@pytest.mark.parametrize(
    ("columns", "options", "complaint"),
    [
        (["a", "b"], {}, "columns 'a', 'b'; none .* text. Name it with --text-column"),
        (["text", "review"], {}, "several could be the text"),
        (["text", "b"], {}, "none is known to be the label. Name it with --label-column"),
        (["text", "label"], {"text_column": "Text"}, "no column 'Text'; there are 'text', 'label'"),
        (["text", "label"], {"label_column": "y"}, "no column 'y'"),
    ],
)
def test_columns_are_never_guessed(columns: list[str], options: dict, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        documents_of(pl.DataFrame({name: ["x"] for name in columns}), **options)


def test_rows_without_text() -> None:
    frame = pl.DataFrame({"text": ["a", None, " \n", "b"], "label": ["x", "y", None, "z"]})
    with pytest.raises(DataError, match=r"no text in 2 rows \(2, 3\)"):
        documents_of(frame)
    said: list[str] = []
    made = documents_of(frame, on_empty="skip", say=said.append)
    assert [d.text for d in made] == ["a", "b"]
    assert "skipped, no text: 2 rows (2, 3)" in said[-1]
    with pytest.raises(DataError, match="no text at all"):
        documents_of(pl.DataFrame({"text": [""]}), labelled=False, on_empty="skip")


def test_rows_without_label() -> None:
    frame = pl.DataFrame({"text": ["a"] * 9, "label": [1.0, None, float("nan"), *[None] * 6]})
    with pytest.raises(DataError, match=r"no label in 8 rows \(2, 3, 4, 5, 6, …\)"):
        documents_of(frame)
    with pytest.raises(DataError, match="expected one value a row"):
        documents_of(pl.DataFrame({"text": ["a"], "label": [["x", "y"]]}))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n", "is empty"),
        ("a.csv", b"text,label\n", r"a header \('text', 'label'\) but no rows"),
        ("a.csv", b"text,label\na,b,c\n", "not well-formed.*more fields"),
        ("a.csv", b'text,label\n"a,b\nc,d\n', "not well-formed"),
        ("a.csv", "text,label\nok,x\ncaf\xe9,y\n".encode("latin-1"), "byte 0xe9 in line 3.*UTF-8"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "looks like UTF-16"),
        ("a.parquet", b"PAR0", "not well-formed"),
        ("a.foo", b"text", "no table; known are .csv"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_table(write(tmp_path / name, content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_table(tmp_path / "no.csv")
