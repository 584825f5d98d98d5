"""Tables with a text in each row: CSV, TSV, JSON lines, Parquet. Rows that can't be read are kept apart, with their place."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.progress import Say, silent
from ulmfit.text import separated
from ulmfit.text.bad_rows import Bad, OnBad, settle
from ulmfit.text.compression import MOST_TIMES, most_bytes
from ulmfit.text.document import shown
from ulmfit.text.files import (
    DAMAGED,
    NOT_UTF8,
    DataError,
    byte_in_line,
    check_text,
    decode,
    read_bytes,
    suffix_of,
)
from ulmfit.text.series import series

if TYPE_CHECKING:
    import polars

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
SHOWN = 12  # columns named in a message
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # a surrogate, half of a character, as JSON escapes it


@dataclass(frozen=True)
class Table:
    """Columns of equal length, and the rows that are not among them because they can't be read."""

    source: str  # file name, for messages
    columns: "Mapping[str, list[Any]] | polars.DataFrame"
    numbers: Sequence[int]  # of each row in the file
    unit: str = "row"  # what `numbers` count: "row" or "line"
    bad: list[Bad] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self.columns if isinstance(self.columns, Mapping) else self.columns.columns)

    def __len__(self) -> int:
        return len(self.numbers)

    def values(self, column: str) -> list[Any]:
        """A column as Python values; None where there is none. Bytes are decoded, since not every writer of Parquet marks
        text as such. DataError: they are not UTF-8."""
        stored = self.columns[column]
        if isinstance(stored, list):
            return stored
        import polars

        values, kind = stored.to_list(), stored.dtype
        for row, value in enumerate(values if kind.is_nested() or kind == polars.Binary else ()):
            try:
                values[row] = _as_text(value)
            except UnicodeDecodeError:
                place = f"{self.unit} {self.numbers[row]}"
                raise DataError(
                    f"{self.source}: column {shown(column)!r} holds {NOT_UTF8} in {place}; store it as text, or name another"
                    " column"
                ) from None
        return values

    def bad_row(self, row: int, why: str) -> Bad:
        """`row` counts from 0 within the table."""
        return Bad(self.source, self.unit, self.numbers[row], why)

    def frame(self) -> "polars.DataFrame":
        """All rows and columns for polars. DataError: a column holds values of several kinds."""
        import polars

        if not isinstance(self.columns, Mapping):
            return self.columns
        columns = self.columns.items()  # in a list, polars would rename one without a name
        return polars.DataFrame({name: series(name, v, self.source) for name, v in columns})


def _as_text(value: Any) -> Any:
    """Bytes as the text they hold, also in lists; other values as they are."""
    if isinstance(value, list):
        return [_as_text(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value


def table_of(frame: "polars.DataFrame", source: str) -> Table:
    """A frame as a table; its rows count from 1."""
    return Table(source, frame, range(1, frame.height + 1))


def read_table(
    path: str | Path, say: Say | None = None, on_bad: OnBad = "error"
) -> "polars.DataFrame":
    """All rows and columns of a table. CSV and TSV columns stay strings, so "01" remains "01".

    DataError: not there, empty, no rows, an unknown encoding, or rows that can't be read (unless on_bad="skip", which
    leaves them out and says so).
    """
    table = open_table(path, say)
    settle(table.bad, len(table) + len(table.bad), on_bad, say or silent, table.source)
    if not len(table):
        raise DataError(f"{path} has no rows that can be read.")
    return table.frame()


def open_table(path: str | Path, say: Say | None = None) -> Table:
    """As `read_table`, with the rows' places; bad rows are not judged but kept in `Table.bad`."""
    path = Path(path)
    suffix = suffix_of(path)
    check_text(path)
    if suffix not in TABLES:
        raise DataError(f"{path} is not a table; expected a name that ends in {', '.join(TABLES)}.")
    content = read_bytes(path)
    if suffix != ".parquet":
        _check_lines(content, path)
    return table_from(content, suffix, path.name, say or silent)


def _check_lines(content: bytes, path: Path) -> None:
    """DataError: so many lines or fields that their bookkeeping alone takes more memory than the file may."""
    fields = max(content.count(mark) for mark in (b",", b";", b"\t", b"|"))
    _check_size(100 * content.count(b"\n") + 35 * fields, path.stat().st_size, path.name)


def table_from(content: bytes, suffix: str, name: str, say: Say) -> Table:
    """The table in `content`, a decompressed file that ends in `suffix` and is called `name` in messages."""
    if suffix == ".parquet" and content:
        table = _parquet(content, name)
    else:
        text = decode(content, name, say)
        if not text.strip():
            raise DataError(f"{name} is empty.")
        is_json = suffix in (".jsonl", ".ndjson")
        lines = enumerate(text.split("\n"), 1)
        table = json_table(lines, name) if is_json else _separated(text, suffix, name, say)
    if not len(table) and not table.bad:
        raise DataError(f"{name} has a header ({named(table.names)}) but no rows.")
    return table


def named(columns: Sequence[str]) -> str:
    """Columns as messages list them."""
    more = f", … ({len(columns)} in all)" if len(columns) > SHOWN else ""
    return ", ".join(repr(shown(name)) for name in columns[:SHOWN]) + more


def _parquet(content: bytes, name: str) -> Table:
    import polars

    with well_formed(name):
        rows, columns = parquet_size(io.BytesIO(content))
        _check_size(16 * rows * columns, len(content), name)  # the least that polars takes
        frame = polars.read_parquet(io.BytesIO(content))
        check_expanded(frame, len(content), name)
        return table_of(frame, name)


def parquet_size(source: "Path | io.BytesIO") -> tuple[int, int]:
    """Rows and columns, as the file claims; nothing else is read."""
    import polars

    scan = polars.scan_parquet(source)
    return scan.select(polars.len()).collect().item(), len(scan.collect_schema())


def check_expanded(frame: "polars.DataFrame", size: int, name: str) -> None:
    """DataError: values that Parquet stores once for many rows would take more memory than a file of `size` bytes may."""
    _check_size(sum(_expanded(column) for column in frame), size, name)


def _expanded(column: "polars.Series") -> int:
    """Bytes of a column's values, without sharing."""
    import polars

    own, kind = 16 * len(column), column.dtype
    if isinstance(kind, polars.List):
        return own + _expanded(column.explode())
    if isinstance(kind, polars.Struct):
        return own + sum(map(_expanded, column.struct.unnest()))
    if isinstance(kind, polars.String | polars.Binary):
        sizes = column.str.len_bytes() if isinstance(kind, polars.String) else column.bin.size()
        return own + int(sizes.sum())
    return own


def _check_size(expanded: int, size: int, name: str) -> None:
    if expanded > most_bytes(size):
        raise DataError(
            f"{name} has {size:,} bytes and would take about {expanded:,} of memory, more than {MOST_TIMES} times as much: are"
            " most of its rows empty, or all the same? Give fewer of them"
        )


@contextmanager
def well_formed(name: str) -> Iterator[None]:
    """Turns polars' errors about the Parquet file `name` into a DataError."""
    import polars

    try:
        yield
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        reason = str(error).split("\n\n")[0]
        raise DataError(f"{name} is not well-formed: {reason}.") from error


def _separated(text: str, suffix: str, source: str, say: Say) -> Table:
    separator = separator_of(text, suffix, source, say)
    rows, quotes = separated.read(text, separator)
    if not quotes:
        say(f"{source}: quotes are read as part of the text, since not all of them are paired")
    if damaged := DAMAGED.search("".join(rows.header)):
        raise DataError(f"{source}: its header is not UTF-8: {byte_in_line(text, damaged)}.")
    return rows_table(rows, unique(rows.header, source, say), source)


def separator_of(text: str, suffix: str, source: str, say: Say) -> str:
    """The separator of columns; an unusual one is reported."""
    separator = separated.separator_of(text, suffix)
    if separator != {".tsv": "\t"}.get(suffix, ","):
        say(f"{source}: columns are separated by {separator!r}")
    return separator


def rows_table(read: separated.Rows, names: Sequence[str], source: str) -> Table:
    """Rows as a table; those with bytes that are not UTF-8 are bad."""
    damaged = [any(v and not v.isascii() and DAMAGED.search(v) for v in row) for row in read.rows]
    bad = sorted([*read.bad, *((line, NOT_UTF8) for line in compress(read.lines, damaged))])
    whole = [not damage for damage in damaged]
    rows, lines = list(compress(read.rows, whole)), list(compress(read.lines, whole))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Table(source, columns, lines, "line", [Bad(source, "line", *one) for one in bad])


def unique(header: list[str], source: str, say: Say) -> list[str]:
    """The names; one that comes again gets a number, which is reported."""
    names, last, renamed = dict[str, None](), dict[str, int](), list[str]()
    for name in header:
        new, number = name, last.get(name, 1)
        while new in names:
            number += 1
            new = f"{name}_{number}"
        if new != name:
            renamed.append(f"{source}: another column named {name!r} is renamed to {new!r}")
        names[new], last[name] = None, number
    for line in renamed[:SHOWN]:
        say(line)
    if len(renamed) > SHOWN:
        say(f"{source}: {len(renamed) - SHOWN:,} more columns are renamed in the same way")
    return list(names)


def json_table(lines: Iterable[tuple[int, str]], source: str, known: Sequence[str] = ()) -> Table:
    """The table of JSON lines with their numbers; the columns `known` are there even if no row has them."""
    rows, numbers, bad = list[dict[str, Any]](), list[int](), list[Bad]()
    for number, line in lines:
        if not line.strip():
            continue
        row, why = _json_object(line)
        if why:
            bad.append(Bad(source, "line", number, why))
        else:
            rows.append(row)
            numbers.append(number)
    names = list(dict.fromkeys((*known, *(name for row in rows for name in row))))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(source, columns, numbers, "line", bad)


def _json_object(line: str) -> tuple[dict[str, Any], str]:
    """(the object in a line, what is wrong with it or nothing)."""
    if DAMAGED.search(line):
        return {}, NOT_UTF8
    try:
        row = json.loads(line)
        # An escape may stand for half a character, which is not text.
        if HALF.search(line):
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {}, 'half a character (an escape such as "\\ud83d")'
    except ValueError:
        return {}, "invalid JSON"
    except RecursionError:
        return {}, "JSON that is nested too deeply"
    return (row, "") if isinstance(row, dict) else ({}, 'no {"text": …}')
