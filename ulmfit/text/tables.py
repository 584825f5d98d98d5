"""Tables with a text in each row: CSV, TSV, JSON lines and Parquet → documents.

Whatever is wrong with a file is an error that says where; nothing is skipped or guessed in silence.
"""

import bz2
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ulmfit.text.corpus import Document

if TYPE_CHECKING:
    import polars

Say = Callable[[str], None]  # receives one sentence for the user

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TEXT_NAMES = """
    text texts review sentence comment content body message tweet question document headline
    abstract utterance post
"""
LABEL_NAMES = """
    label labels sentiment class category target emotion intent topic rating stars polarity y
"""


def quiet(sentence: str) -> None:
    """A `Say` that nobody hears."""


class DataError(ValueError):
    """A file can't be used as it is; the message says what is wrong where, and what to do."""


def suffix_of(path: Path) -> str:
    """`.csv` of `a.CSV` and of `a.csv.gz`."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_bytes(path: Path) -> io.BufferedIOBase:
    """The file's content as a stream of bytes, decompressed. DataError: it is not there."""
    if not path.exists():
        raise DataError(f"There is no file {path} (looked in {Path.cwd()}).")
    return OPENERS.get(path.suffix.lower(), open)(path, "rb")


def read_bytes(path: Path) -> bytes:
    """The whole of it. DataError: not there, or the compression is damaged."""
    try:
        with open_bytes(path) as file:
            return file.read()
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} can't be read as a {path.suffix} file: {error}") from error


def decode(content: bytes, path: Path, first_line: int = 1) -> str:
    """UTF-8 with or without byte order mark → text. DataError: which byte in which line is not."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise DataError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}"
            f"{' (it looks like UTF-16)' if utf16 else ''}. Save the file as UTF-8 and try again."
        ) from error


def read_table(path: str | Path, say: Say | None = None) -> "polars.DataFrame":
    """All rows and columns of a table. CSV and TSV columns stay strings, so "01" remains "01".

    DataError: not there, empty, no rows, not UTF-8, malformed (with the line where known).
    """
    import polars

    path = Path(path)
    suffix, content = suffix_of(path), read_bytes(path)
    if not content.strip():
        raise DataError(f"{path} is empty.")
    try:
        if suffix == ".parquet":
            frame = polars.read_parquet(io.BytesIO(content))
        elif suffix in (".csv", ".tsv"):
            frame = _separated(decode(content, path), suffix, path, say)
        elif suffix in (".jsonl", ".ndjson"):
            frame = _json_lines(decode(content, path), path)
        else:
            raise DataError(f"{path} is no table; known are {', '.join(TABLES)}.")
    except polars.exceptions.PolarsError as error:
        reason = str(error).split("\n\n")[0]
        hint = (
            ' A field with a separator or " in it must stand in quotes.' if "sv" in suffix else ""
        )
        raise DataError(f"{path} is not well-formed: {reason}.{hint}") from error
    if frame.height == 0:
        raise DataError(f"{path} has a header ({_names(frame.columns)}) but no rows.")
    return frame


def _separated(text: str, suffix: str, path: Path, say: Say | None) -> "polars.DataFrame":
    import polars

    header = text.split("\n", 1)[0]
    separator = "\t" if suffix == ".tsv" else ","
    if separator not in header and (other := [s for s in ";\t" if s in header]):
        separator = other[0]
        (say or quiet)(f"{path.name}: columns are separated by {separator!r}")

    # Many TSV files know no quotes, and a field that happens to begin with one would swallow lines.
    quote = None if separator == "\t" and _knows_no_quotes(text) else '"'
    source = io.BytesIO(text.encode())
    return polars.read_csv(source, separator=separator, quote_char=quote, infer_schema=False)


def _knows_no_quotes(text: str) -> bool:
    """Whether all lines have the header's number of tabs, and fields begin with a stray quote."""
    lines = [line for line in text.split("\n") if line.strip()]
    fields = re.findall(r'(?:^|(?<=\t))"[^\t\r\n]*', text, re.MULTILINE)
    return len({line.count("\t") for line in lines}) == 1 and not all(
        re.fullmatch(r'"(?:[^"]|"")*"', field) for field in fields
    )


def _json_lines(text: str, path: Path) -> "polars.DataFrame":
    import polars

    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f'{path}, line {number}: expected {{"text": …}}, got {line[:60]!r}')
        rows.append(row)
    return polars.DataFrame(rows, infer_schema_length=None, strict=False)


def documents_of(
    frame: "polars.DataFrame",
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    on_empty: Literal["error", "skip"] = "error",
    say: Say | None = None,
    source: str = "the table",
) -> list[Document]:
    """One document a row, in order. Columns not named are chosen where only one has a usual name.

    `labelled=False`: labels are not looked at. DataError: no such column, rows without text (unless
    on_empty="skip") or without label.
    """
    say = say or quiet
    text_column = _column(frame, text_column, "text", TEXT_NAMES, say, source)
    texts = _strings(frame, text_column, source)
    labels: list[str | None] = [None] * len(texts)
    if labelled:
        label_column = _column(frame, label_column, "label", LABEL_NAMES, say, source)
        found = _strings(frame, label_column, source)
        labels = [label and label.strip() for label in found]  # "good " is typed, not meant
    kept = [row for row, text in enumerate(texts) if text is not None]
    if len(kept) < len(texts):
        empty = _rows([row for row, text in enumerate(texts) if text is None])
        if on_empty == "error":
            raise DataError(f"{source}: no text in {empty}. Fill or remove them, or skip them.")
        say(f"{source}: skipped, no text: {empty}")
    if not kept:
        raise DataError(f"{source}: column {text_column!r} has no text at all.")
    if labelled and (missing := [row for row in kept if labels[row] is None]):
        raise DataError(
            f"{source}: no label in {_rows(missing)}. Label or remove them, or give them as"
            " unlabelled texts in a file of their own."
        )
    return [Document(texts[row] or "", labels[row]) for row in kept]


def _column(
    frame: "polars.DataFrame",
    wanted: str | None,
    kind: Literal["text", "label"],
    usual: str,
    say: Say,
    source: str,
) -> str:
    columns = frame.columns
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise DataError(f"{source} has no column {wanted!r}; there are {_names(columns)}.")
    found = [name for name in columns if name.strip().lower() in usual.split()]
    if len(found) == 1:
        say(f"{source}: {kind} is column {found[0]!r}")
        return found[0]
    trouble = f"several could be the {kind}" if found else f"none is known to be the {kind}"
    raise DataError(
        f"{source} has the columns {_names(columns)}; {trouble}. Name it with --{kind}-column."
    )


def _strings(frame: "polars.DataFrame", column: str, source: str) -> list[str | None]:
    """Values as people write them; None where there is none, or nothing but white space."""
    dtype = frame.schema[column]
    if dtype.is_nested():
        raise DataError(f"{source}: column {column!r} holds {dtype}; expected one value a row.")
    written = [None if v is None or v != v else _written(v) for v in frame[column].to_list()]
    return [text if text is not None and text.strip() else None for text in written]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a missing value elsewhere turned the column's integers into floats
    return str(value)


def _rows(rows: list[int]) -> str:
    numbers = ", ".join(str(row + 1) for row in rows[:5])
    return f"{len(rows)} row{'s'[: len(rows) > 1]} ({numbers}{', …' if len(rows) > 5 else ''})"


def _names(columns: list[str]) -> str:
    return ", ".join(map(repr, columns))
