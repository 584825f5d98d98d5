import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest

from ulmfit.text.files import DataError
from ulmfit.text.tables import open_table, read_table

ROWS = [("fine, really", "01"), ('he said "no"\nand left', "02"), ("123", "01")]
CSV = 'text,label\n"fine, really",01\n"he said ""no""\nand left",02\n123,01\n'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_values_stay_as_written(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", CSV)).rows() == ROWS
    assert read_table(write(tmp_path / "b.csv", CSV.replace("\n", "\r\n"))).rows()[2] == ROWS[2]
    nothing = read_table(write(tmp_path / "c.csv", 'text,label\n,""\n'))
    assert nothing.rows() == [(None, "")] and nothing.schema["text"] in (pl.Null, pl.String)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    said: list[str] = []
    content = gzip.compress(CSV.replace("fine", "schön").encode(encoding))
    frame = read_table(write(tmp_path / "a.CSV.gz", content), said.append)
    assert frame.rows() == [("schön, really", "01"), *ROWS[1:]]
    assert len(said) == (encoding != "utf-8-sig")


def test_formats_hold_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS, schema=["text", "label"], orient="row")
    for suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"):
        file = io.BytesIO()
        if suffix == ".parquet":
            frame.write_parquet(file)
        elif "json" in suffix:
            frame.write_ndjson(file)
        else:
            frame.write_csv(file, separator="\t" if suffix == ".tsv" else ",")
        assert read_table(write(tmp_path / f"a{suffix}", file.getvalue())).equals(frame), suffix
        packed = write(tmp_path / f"b{suffix}.gz", gzip.compress(file.getvalue()))
        assert read_table(packed).equals(frame), suffix


def test_separators_are_seen_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    frame = read_table(write(tmp_path / "a.csv", "text;label\na,b;x\n"), said.append)
    assert frame.rows() == [("a,b", "x")]
    assert said == ["a.csv: columns are separated by ';'"]
    frame = read_table(write(tmp_path / "b.tsv", 'text\tlabel\n"open\tx\nend\ty\n'), said.append)
    assert frame.rows() == [('"open', "x"), ("end", "y")]
    assert "quotes are read as part of the text" in said[1] and len(said) == 2


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    said: list[str] = []
    frame = read_table(write(tmp_path / "a.csv", "a,b,a,a\n1,2,3,4\n"), said.append)
    assert frame.columns == ["a", "b", "a_2", "a_3"]
    assert said[0] == "a.csv: another column named 'a' is renamed to 'a_2'"


@pytest.mark.parametrize("header", [",text", ",text,column_0", "column_0,,text"])
def test_a_column_without_a_name_stays_so(tmp_path: Path, header: str) -> None:
    """Such as the index that pandas' to_csv writes first."""
    content = f"{header}\n{header.replace('text', 'fine').replace('column', 'x')}\n"
    assert read_table(write(tmp_path / "a.csv", content)).write_csv().replace('""', "") == content
    names = header.split(",")
    line = json.dumps({name: str(i) for i, name in enumerate(names)}) + "\n"
    assert read_table(write(tmp_path / "a.jsonl", line)).columns == names


def test_bad_rows_have_their_place(tmp_path: Path) -> None:
    rows = (
        'text,label\nüber,x\n"two\nlines",y\n"open,x\na,b,c\n\nfine,z\n'.encode() + b"caf\xe9,x\n"
    )
    path = write(tmp_path / "a.csv", rows)
    listed = (
        r"a\.csv: 3 of 6 rows can't be used: a quote .* in 1 row \(line 5\); 3 fields instead of 2 in 1 row"
        r" \(line 6\); bytes that are not UTF-8 in 1 row \(line 9\)"
    )
    with pytest.raises(DataError, match=listed):
        read_table(path)
    said: list[str] = []
    frame = read_table(path, said.append, "skip")
    assert frame.rows() == [("über", "x"), ("two\nlines", "y"), ("fine", "z")]
    assert len(said) == 1 and "3 of 6 rows skipped" in said[0]
    assert list(open_table(path).numbers) == [2, 3, 8]


def test_json_lines_and_their_bad_rows(tmp_path: Path) -> None:
    lines = [
        '{"text": "a\\nb", "label": 1}',
        "",
        '{"label": 2, "text": "c", "more": true}',
        '{"text": ',
        '["a"]',
        '{"text": "\\ud83d alone"}',
        '{"text": "\\ud83d\\ude00"}',
        "[" * 100_000,
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    table = open_table(path)
    assert table.names == ["text", "label", "more"] and list(table.numbers) == [1, 3, 7]
    assert table.values("text") == ["a\nb", "c", "😀"]
    assert table.values("more") == [None, True, None]  # missing keys
    assert [bad.place for bad in table.bad] == [4, 5, 6, 8]
    with pytest.raises(DataError, match=r"4 of 7 rows .* invalid JSON in 1 row \(line 4\)"):
        read_table(path)
    assert read_table(path, on_bad="skip")["label"].to_list() == [1, 2, None]


def test_a_column_of_several_kinds_is_no_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": "x"}\n{"a": ["x", "y"]}\n')
    assert open_table(path).values("a") == ["x", ["x", "y"]]
    with pytest.raises(DataError, match=r"column 'a' holds values of several kinds \(list, str\)"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n", "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", b"text,label\n", r"a header \('text', 'label'\) but no rows"),
        ("a.csv", "ü,ä,ö,".encode() + b"\xe9\nx,y,z,u\n", "its header is not UTF-8: byte 0xe9 in"),
        ("a.csv", "очень хороший\n".encode("cp1251"), "not UTF-8 .* and not Western European"),
        ("a.parquet", b"PAR0", "not well-formed"),
        ("a.foo", b"text", "not a table; expected a name that ends in .csv"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=complaint):
        read_table(path)
