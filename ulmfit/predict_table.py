"""A table of texts → the same rows with columns of predictions added.

If the classifier has thresholds, a prediction may be "unsure"; the column `most_likely` then still gives the label.
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
JOINED = "|"  # between the labels of a text in formats without lists


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
    """Writes the table `source` ("-": CSV on standard input) with its predictions to `out`, in the format of its suffix, or to
    standard output, as CSV or (`as_json`) JSON lines. Rows keep their order; a large table is read, predicted and written piece
    by piece. on_bad="skip": rows that can't be read are left out and those without text get no prediction; both are reported."""
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
    """The table `source` as a whole or, from `LARGE` bytes on, in pieces; standard input of that size is copied to a temporary
    file first."""
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
    """The table as a data frame. DataError: it already has a column of that name, or the format can't hold its columns."""
    frame = table.frame()
    check_free(frame, classifier.outputs.columns, name)
    check_fits(frame, suffix, name)
    return replace(table, columns=frame)


def _predicted(
    classifier: Classifier, texts: Sequence[str | None], runtime: Runtime
) -> list[dict[str, Any]]:
    """The columns that each prediction adds to its row; none for a row without text. Works in blocks that bound the
    probabilities held at once, which are many where there are many classes."""
    given = [text for text in texts if text is not None]
    step = max(BATCH_SIZE, min(WINDOW, MOST_NUMBERS // max(1, len(classifier.labels))))
    rows, most_likely = list[dict[str, Any]](), "most_likely" in classifier.outputs.columns
    for start in range(0, len(given), step):
        block = classifier.predict(given[start : start + step], runtime, progress="predicting")
        rows += (_row(prediction, most_likely) for prediction in block)
    remaining = iter(rows)
    return [{} if text is None else next(remaining) for text in texts]


def _row(prediction: Any, most_likely: bool) -> dict[str, Any]:
    return prediction.row() | ({"most_likely": prediction.label} if most_likely else {})


def _check_joined(classifier: Classifier) -> None:
    """DataError if a label contains the separator, so that joined labels could not be told apart."""
    several = classifier.outputs.kind == "multi"
    if several and (unclear := [label for label in classifier.labels if JOINED in label]):
        raise DataError(
            f"the label {unclear[0]!r} holds {JOINED!r}, which separates labels in CSV and TSV; "
            "give --out a name that ends in .jsonl or .parquet, or use --json"
        )


def _columns(
    rows: Sequence[dict[str, Any]], outputs: Outputs, flat: bool
) -> "dict[str, polars.Series]":
    """The columns to add; several labels as a list, or joined if the format is `flat`."""
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
