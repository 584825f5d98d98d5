"""Whatever bytes a file holds: documents, or one `DataError`."""

import gzip
from io import BytesIO
from pathlib import Path

import polars
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ulmfit.config import LabelKind
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.readers import read_documents

PIECES = (
    *('"', '""', ",", ";", "\t", "|", "\n", "\r\n", "\r", " ", "text", "label", "text,label\n"),
    *("a", "é", "🙂", "\x00", "\ufeff", "1.5", "nan", "[", "]", "{", "}", ":", '{"text": "a"}\n'),
    *('{"text": "a", "label": ["x", "y"]}\n', '"\\ud83d"', "= T =\n", "a,b\n", '"a\nb",c\n'),
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
ENCODINGS = st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252", "cp1251", "latin-1"])  # fmt: skip
ENCODED = st.tuples(TEXT, ENCODINGS).map(lambda one: one[0].encode(one[1], "replace"))
CONTENT = ENCODED | st.binary(max_size=100) | st.tuples(ENCODED, st.binary(max_size=9)).map(b"".join)  # fmt: skip
SUFFIXES = st.sampled_from([".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".csv.gz", ""])
KINDS = st.sampled_from([None, "single", "multi", "number"])
SEPARATORS = st.sampled_from([None, ";", " "])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


def documents(path: Path, said: list[str], **options: object) -> list[Document] | None:
    """What is read; None where it is refused."""
    try:
        found = list(read_documents(path, say=said.append, **options))  # type: ignore[arg-type]
    except DataError as error:
        assert str(error)
        return None
    assert all(document.text.strip() for document in found)
    return found


@given(CONTENT, SUFFIXES, st.booleans(), KINDS, SEPARATORS)
@example(b"text,label\n\x00,a\n", ".csv", True, None, None)
def test_any_bytes_are_documents_or_refused(
    folder: Path, content: bytes, suffix: str, labelled: bool, kind: LabelKind | None, separator: str | None
) -> None:  # fmt: skip
    path = folder / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    options = {"labelled": labelled, "label_kind": kind, "label_separator": separator}
    said = list[str]()
    whole = documents(path, said, **options)
    rest = documents(path, said, **options, on_bad="skip")
    if whole is not None:  # nothing is bad, so nothing is skipped
        assert rest == whole
    elif rest is not None:  # what is missing is said
        assert any("skipped" in line or "read as" in line for line in said)


def parquet(**columns: list) -> bytes:
    file = BytesIO()
    polars.DataFrame(columns).write_parquet(file)
    return file.getvalue()


WHOLE = (
    parquet(text=["a", "b é", None], label=["x", "y", "x"]),
    parquet(text=["a"] * 50, label=[1.5, None] * 25, tags=[["u"], []] * 25),
)


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.booleans(),
)
def test_damaged_parquet_files(
    folder: Path, whole: bytes, changes: list[tuple[float, int]], labelled: bool
) -> None:
    content = bytearray(whole)
    for place, value in changes:
        content[int(place * len(content))] = value
    (folder / "a.parquet").write_bytes(content)
    documents(folder / "a.parquet", [], labelled=labelled)
