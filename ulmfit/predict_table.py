"""A table of texts → the same rows, with what is predicted behind their columns.

Of a classifier with thresholds a prediction may be "unsure"; `most_likely` then tells the label all the same.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.classifier import BATCH_SIZE, WINDOW, Classifier
from ulmfit.outputs import Outputs
from ulmfit.progress import Say
from ulmfit.runtime import Runtime
from ulmfit.text.bad_rows import OnBad
from ulmfit.text.columns import texts_by_piece
from ulmfit.text.files import DataError
from ulmfit.text.pieces import LARGE, pieces_of
from ulmfit.text.tables import Table, open_table, table_from
from ulmfit.text.writers import (
    FLAT,
    check_fits,
    check_free,
    check_path,
    format_of,
    print_tables,
    write_tables,
)

if TYPE_CHECKING:
    import polars

MOST_NUMBERS = 2_000_000  # probabilities held at once
JOINED = "|"  # between the labels of a text where a format has no lists


def predict_table(
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
    """The table `source` ("-": CSV on standard input) with its predictions, written to `out`, in the format of its suffix;
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


def _check_joined(classifier: Classifier) -> None:
    """DataError where several labels in one field could not be told apart."""
    several = classifier.outputs.kind == "multi"
    if several and (unclear := [label for label in classifier.labels if JOINED in label]):
        raise DataError(
            f"the label {unclear[0]!r} holds {JOINED!r}, which stands between labels in CSV and TSV; "
            "give --out a name that ends in .jsonl or .parquet, or use --json"
        )


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
