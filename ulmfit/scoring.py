"""A table of texts → the same rows, with what is predicted behind their columns.

Of a classifier with thresholds a prediction may be "unsure"; `most_likely` then tells the label all the same.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.classifier import BATCH_SIZE, WINDOW, Classifier
from ulmfit.files.checkpoint import atomic
from ulmfit.outputs import Outputs
from ulmfit.progress import Say
from ulmfit.runtime import Runtime
from ulmfit.text.bad_rows import OnBad
from ulmfit.text.columns import texts_by_piece
from ulmfit.text.document import shown
from ulmfit.text.files import DataError, suffix_of
from ulmfit.text.pieces import LARGE, pieces_of
from ulmfit.text.tables import TABLES, Table, open_table, table_from

if TYPE_CHECKING:
    import polars

MOST_NUMBERS = 2_000_000  # probabilities held at once
FLAT = (".csv", ".tsv")  # without a way to write lists and objects
JOINED = "|"  # between the labels of a text where a format has no lists


def score_file(
    classifier: Classifier,
    source: str,
    out: str | None,
    text_column: str | Sequence[str] | None,
    runtime: Runtime,
    *,
    as_json: bool = False,
    on_bad: OnBad = "error",
    say: Say,
) -> None:
    """Score the table `source` ("-": CSV on standard input) and write it to `out`, in the format of its suffix;
    without `out` to standard output, as CSV or, `as_json`, as JSON lines. Rows keep their order, and a large table is read,
    predicted and written piece by piece. on_bad="skip": rows that can't be read are left out, those without text keep an
    empty prediction, and both is said."""
    if out is not None:
        check_path(Path(out), source)
    name = "standard input" if source == "-" else Path(source).name
    suffix = format_of(out, as_json)
    if flat := suffix in FLAT:
        _check_joined(classifier)
    with _pieces(source, name, say) as pieces:
        checked = (_checked(table, classifier, suffix, name) for table in pieces)
        frames = (
            table.frame().with_columns(
                **_columns(_predicted(classifier, texts, runtime), classifier.outputs, flat)
            )
            for table, texts in texts_by_piece(checked, text_column, on_bad, say, name)
        )
        if out is None:
            print_tables(frames, as_json)
        else:
            rows = write_tables(frames, Path(out))
            say(f"{rows:,} rows written to {out}")


@contextmanager
def _pieces(source: str, name: str, say: Say) -> Iterator[Iterable[Table]]:
    """The table `source`, whole or, from `LARGE` bytes on, in pieces. Standard input that is as large goes through a
    temporary file."""
    if source != "-":
        large = Path(source).is_file() and pieces_of(Path(source), say)
        yield large or [open_table(source, say)]
        return
    head = sys.stdin.buffer.read(LARGE)
    if len(head) < LARGE:
        yield [table_from(head, ".csv", name, say)]
        return
    with tempfile.TemporaryDirectory(prefix="ulmfit.") as folder:
        path = Path(folder) / "standard input.csv"
        with open(path, "wb") as file:
            file.write(head)
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield pieces_of(path, say) or [open_table(path, say)]


def _checked(table: Table, classifier: Classifier, suffix: str, name: str) -> Table:
    """The piece as a frame. DataError where what is predicted has no place in it, or it none in the format."""
    frame = table.frame()
    check_free(frame, classifier.outputs.columns, name)
    check_fits(frame, suffix, name)
    return replace(table, columns=frame)


def _predicted(
    classifier: Classifier, texts: Sequence[str | None], runtime: Runtime
) -> list[dict[str, Any]]:
    """What a prediction adds to each row, nothing to one without text. Predictions go as soon as they are rows: of
    10,000 classes each has as many probabilities."""
    there = [text for text in texts if text is not None]
    step = max(BATCH_SIZE, min(WINDOW, MOST_NUMBERS // max(1, len(classifier.labels))))
    found, most_likely = list[dict[str, Any]](), "most_likely" in classifier.outputs.columns
    for start in range(0, len(there), step):
        part = classifier.predict(there[start : start + step], runtime, progress="predicting")
        found += (_row(prediction, most_likely) for prediction in part)
    rows = iter(found)
    return [{} if text is None else next(rows) for text in texts]


def _row(prediction: Any, most_likely: bool) -> dict[str, Any]:
    return prediction.row() | ({"most_likely": prediction.label} if most_likely else {})


def check_path(path: Path, source: str) -> None:
    """DataError before the work where the table could not be written behind it, or would replace `source`."""
    if path.suffix.lower() not in TABLES:  # nothing is compressed
        raise DataError(f"{path} can't be written: give a name that ends in {', '.join(TABLES)}")
    if path.is_dir():
        raise DataError(f"{path} can't be written: it is a directory")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise DataError(f"--out {path} is the file that is read; give another name")
    parent = next(p for p in path.absolute().parents if p.exists())  # the others will be made
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        problem = "can't be written to" if parent.is_dir() else "is not a directory"
        raise DataError(f"{path} can't be written: {parent} {problem}")


def _check_joined(classifier: Classifier) -> None:
    """DataError where several labels in one field could not be told apart."""
    several = classifier.outputs.kind == "multi"
    if several and (unclear := [label for label in classifier.labels if JOINED in label]):
        raise DataError(
            f"the label {unclear[0]!r} holds {JOINED!r}, which stands between labels in CSV and TSV; "
            "give --out a name that ends in .jsonl or .parquet, or use --json"
        )


def check_free(frame: "polars.DataFrame", added: Sequence[str], name: str) -> None:
    """DataError where a column that will be added is there already."""
    if taken := [column for column in added if column in frame.columns]:
        raise DataError(
            f"{name} has a column {taken[0]!r} already; rename it, so that nothing is overwritten"
        )


def format_of(out: str | None, as_json: bool) -> str:
    """The suffix that says in which format rows are written, also without a file."""
    return suffix_of(Path(out)) if out is not None else ".jsonl" if as_json else ".csv"


def check_fits(frame: "polars.DataFrame", suffix: str, name: str) -> None:
    """DataError where a column holds what files that end in `suffix` have no way to write."""
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
    """What in a column of that type has no place in the format; nothing where all has."""
    import polars

    kinds = list(_within(kind))
    if suffix in FLAT and kind.is_nested():
        return "lists or objects"
    if suffix in FLAT and kind == polars.Duration:
        return "lengths of time"
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


def _columns(
    rows: Sequence[dict[str, Any]], outputs: Outputs, flat: bool
) -> "dict[str, polars.Series]":
    """The columns to add; several labels as a list, or joined where the format is `flat`."""
    import polars

    first = {
        "single": polars.String,
        "multi": polars.String if flat else polars.List(polars.String),
        "number": polars.Float64,
    }
    kinds = {"prediction": first[outputs.kind], "most_likely": polars.String}
    if flat and outputs.kind == "multi":
        rows = [row and row | {"prediction": JOINED.join(row["prediction"])} for row in rows]
    return {
        name: polars.Series(name, [row.get(name) for row in rows], kinds.get(name, polars.Float64))
        for name in outputs.columns
    }


def print_tables(frames: "Iterable[polars.DataFrame]", as_json: bool) -> None:
    """A table in pieces, to standard output."""
    with _told("the table"):
        for frame, first in _alike(frames, as_json):
            written = frame.write_ndjson() if as_json else frame.write_csv(include_header=first)
            sys.stdout.write(written)


def write_table(frame: "polars.DataFrame", path: Path) -> None:
    """In the format of the suffix, atomically; `check_path` has seen it."""
    write_tables([frame], path)


def write_tables(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    """The same of a table in pieces, of which one at a time is in memory; how many rows there were."""
    frames = iter(frames)
    frames = chain([next(frames)], frames)  # mistakes in the first one show before anything is made
    write = _write_parquet if suffix_of(path) == ".parquet" else _write_lines
    with _told(path):
        return write(frames, path)


def _write_lines(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    flat, rows = suffix_of(path) in FLAT, 0
    with atomic(path) as temporary, open(temporary, "wb") as file:
        for frame, first in _alike(frames, not flat):
            rows += frame.height
            if flat:
                separator = "," if suffix_of(path) == ".csv" else "\t"
                frame.write_csv(file, include_header=first, separator=separator)
            else:
                frame.write_ndjson(file)
    return rows


def _write_parquet(frames: "Iterable[polars.DataFrame]", path: Path) -> int:
    """By way of a file for each piece, since later pieces may have more columns, or other types."""
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
def _told(what: object) -> Iterator[None]:
    """Raises a DataError for what polars has against writing a table."""
    import polars

    try:
        yield
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        reason = str(error).split("\n\n")[0]
        raise DataError(f"{what} can't be written: {reason}") from error


def _alike(
    frames: "Iterable[polars.DataFrame]", may_differ: bool
) -> "Iterator[tuple[polars.DataFrame, bool]]":
    """Each piece, and whether it is the first. DataError: one brings other columns, and they may not differ."""
    names = None
    for frame in frames:
        if names is not None and not may_differ and names != frame.columns:
            other = sorted({*frame.columns} ^ {*names})
            raise DataError(
                f"columns such as {other[0]!r} are not in all parts of the table, which CSV and TSV can't say; give --out"
                " a name that ends in .jsonl or .parquet, or use --json"
            )
        yield frame, names is None
        names = frame.columns
