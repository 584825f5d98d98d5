"""Rows → a table in one of the formats that `readers` reads, written atomically; what a format can't hold is refused
before the work."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.files.checkpoint import atomic
from ulmfit.text.document import shown
from ulmfit.text.files import DataError, suffix_of
from ulmfit.text.tables import TABLES

if TYPE_CHECKING:
    import polars

FLAT = (".csv", ".tsv")  # can't hold lists and objects


def check_path(path: Path, source: str) -> None:
    """DataError, before the work, where the table could not be written afterwards, or would replace `source`."""
    if path.suffix.lower() not in TABLES:  # compressed tables are not written
        raise DataError(f"{path} can't be written: give a name that ends in {', '.join(TABLES)}")
    if path.is_dir():
        raise DataError(f"{path} can't be written: it is a directory")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise DataError(f"--out {path} is the input file; give another name")
    parent = next(p for p in path.absolute().parents if p.exists())  # the missing ones will be made
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        problem = "can't be written to" if parent.is_dir() else "is not a directory"
        raise DataError(f"{path} can't be written: {parent} {problem}")


def check_free(frame: "polars.DataFrame", added: Sequence[str], name: str) -> None:
    """DataError where a column that will be added is there already."""
    if taken := [column for column in added if column in frame.columns]:
        raise DataError(
            f"{name} has a column {taken[0]!r} already; rename it, so that nothing is overwritten"
        )


def format_of(out: str | None, as_json: bool) -> str:
    """The suffix of the format in which rows are written, to a file or to standard output (`out` None)."""
    return suffix_of(Path(out)) if out is not None else ".jsonl" if as_json else ".csv"


def check_fits(frame: "polars.DataFrame", suffix: str, name: str) -> None:
    """DataError where a column holds what files that end in `suffix` can't hold."""
    for column, kind in frame.schema.items():
        if what := _unfit(kind, suffix):
            fit = [other for other in (".jsonl", ".parquet") if not _unfit(kind, other)]
            ways = [f"give --out a name that ends in {' or '.join(fit)}"] if fit else []
            ways += ["use --json"] if ".jsonl" in fit else []
            raise DataError(
                f"{name}: column {shown(column)!r} holds {what}, which {suffix} can't hold; "
                + ", ".join([*ways, "or drop or convert it" if fit else "drop or convert it"])
            )


def _unfit(kind: "polars.DataType", suffix: str) -> str:
    """What a column of that type holds and the format can't; empty where it can hold all."""
    import polars

    kinds = list(_within(kind))
    if suffix in FLAT and kind.is_nested():
        return "lists or objects"
    if suffix in FLAT and kind == polars.Duration:
        return "durations"
    if suffix != ".parquet" and polars.Binary in kinds:
        return "bytes"
    if suffix == ".parquet" and any(isinstance(k, polars.Struct) and not k.fields for k in kinds):
        return "objects without keys"
    return "Python's objects" if polars.Object in kinds else ""


def _within(kind: Any) -> Iterator[Any]:
    """The type of a column, and of all that its values hold."""
    import polars

    yield kind
    if isinstance(kind, polars.List | polars.Array):
        yield from _within(kind.inner)
    for field in kind.fields if isinstance(kind, polars.Struct) else ():
        yield from _within(field.dtype)


def print_tables(frames: "Iterable[polars.DataFrame]", as_json: bool) -> None:
    """Writes a table that comes in pieces to standard output."""
    with _errors_about("the table"):
        for frame, first in _same_columns(frames, as_json):
            text = frame.write_ndjson() if as_json else frame.write_csv(include_header=first)
            sys.stdout.write(text)


def write_table(frame: "polars.DataFrame", path: Path) -> None:
    """Writes in the format of the suffix, atomically, to a path that `check_path` has seen."""
    write_tables([frame], path)


def write_tables(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    """`write_table` of a table in pieces, of which one at a time is in memory; gives the number of rows."""
    frames = iter(frames)
    frames = chain([next(frames)], frames)  # mistakes in the first show before anything is written
    write = _write_parquet if suffix_of(path) == ".parquet" else _write_lines
    with _errors_about(path):
        return write(frames, path)


def _write_lines(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    flat, rows = suffix_of(path) in FLAT, 0
    with atomic(path) as temporary, open(temporary, "wb") as file:
        for frame, first in _same_columns(frames, not flat):
            rows += frame.height
            if flat:
                separator = "," if suffix_of(path) == ".csv" else "\t"
                frame.write_csv(file, include_header=first, separator=separator)
            else:
                frame.write_ndjson(file)
    return rows


def _write_parquet(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    """Through a file for each piece, since later pieces may have more columns, or other types."""
    import polars

    with atomic(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        rows, parts = 0, list[polars.LazyFrame]()
        for number, frame in enumerate(frames):
            rows += frame.height
            part = Path(folder) / f"{number}.parquet"
            frame.write_parquet(part)
            parts.append(polars.scan_parquet(part))
        polars.concat(parts, how="diagonal_relaxed").sink_parquet(temporary)
    return rows


@contextmanager
def _errors_about(what: object) -> Iterator[None]:
    """Turns polars' errors in writing into a DataError."""
    import polars

    try:
        yield
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        reason = str(error).split("\n\n")[0]
        raise DataError(f"{what} can't be written: {reason}") from error


def _same_columns(
    frames: "Iterable[polars.DataFrame]", may_differ: bool
) -> "Iterator[tuple[polars.DataFrame, bool]]":
    """(piece, whether it is the first). DataError: one has other columns, unless they `may_differ`."""
    names = None
    for frame in frames:
        if names is not None and not may_differ and names != frame.columns:
            other = sorted({*frame.columns} ^ {*names})
            raise DataError(
                f"columns such as {other[0]!r} are not in all parts of the table, which CSV and TSV can't express; give --out"
                " a name that ends in .jsonl or .parquet, or use --json"
            )
        yield frame, names is None
        names = frame.columns
