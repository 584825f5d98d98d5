"""Large tables read in pieces, so that a stream of their texts needs no more memory for a longer file."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from ulmfit.progress import Say
from ulmfit.text import separated
from ulmfit.text.files import DAMAGED, DataError, suffix_of
from ulmfit.text.plain import raw_lines
from ulmfit.text.tables import (
    Table,
    check_expanded,
    json_table,
    rows_table,
    separator_of,
    unique,
    well_formed,
)

LARGE = 20_000_000  # bytes on disk from which a table is read in pieces
ROWS = 5_000  # of Parquet and JSON lines held at once


def pieces_of(path: Path, say: Say) -> Iterator[Table] | None:
    """The pieces of a large table, in order; None where it is small, or has to be read as a whole.

    The latter holds for columns separated by tabs, where only the whole file shows whether quotes mean something.
    Encodings are detected line by line, as in plain text. The same rows are bad as in the whole file.
    """
    if path.stat().st_size < LARGE:
        return None
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    lines = raw_lines(path, say)
    if suffix_of(path) in (".jsonl", ".ndjson"):
        return _json(((number, line) for number, line, _ in lines), path.name)
    if suffix_of(path) == ".csv":
        return _separated((line for _, line, _ in lines), path.name, say)
    return None


def _parquet(path: Path) -> Iterator[Table]:
    import polars

    with well_formed(path.name):
        scan = polars.scan_parquet(path)
        size = scan.select(polars.len()).collect().item()
        for start in range(0, size, ROWS):
            frame = scan.slice(start, ROWS).collect()
            check_expanded(frame, path.stat().st_size, path.name)
            yield Table(path.name, frame, range(start + 1, start + 1 + frame.height))


def _json(lines: Iterable[tuple[int, str]], source: str) -> Iterator[Table]:
    """Later pieces have at least the first one's columns."""
    lines, known = iter(lines), list[str]()
    while piece := list(islice(lines, ROWS)):
        table = json_table(piece, source, known)
        known = known or table.names
        yield table


def _separated(lines: Iterator[str], source: str, say: Say) -> Iterator[Table] | None:
    first = next(lines)
    separator = separator_of(first, ".csv", source, say)
    if separator == "\t" or not first.endswith("\n"):  # old Macs end lines with \r
        return None
    pieces = separated.pieces(chain([first], lines), separator)
    head = next(pieces)
    if DAMAGED.search("".join(head.header)):
        raise DataError(f"{source}: its header is not UTF-8.")
    names = unique(head.header, source, say)
    return (rows_table(rows, names, source) for rows in chain([head], pieces))
