"""A table of texts → the same rows, with what is predicted behind their columns.

Of a classifier with thresholds a prediction may be "unsure"; `most_likely` then tells the label all the same.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.checkpoint import atomic
from ulmfit.classifier import Classifier
from ulmfit.outputs import Outputs
from ulmfit.run import Say
from ulmfit.runtime import Runtime
from ulmfit.text.bad_rows import OnBad
from ulmfit.text.columns import usable_texts
from ulmfit.text.files import DataError, suffix_of
from ulmfit.text.tables import TABLES, open_table, table_from

if TYPE_CHECKING:
    import polars

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
    without `out` to standard output, as CSV or, `as_json`, as JSON lines. Rows keep their order. on_bad="skip": rows that
    can't be read are left out, those without text keep an empty prediction, and both is said."""
    if out is not None:
        check_path(Path(out))
    name = "standard input" if source == "-" else source
    if source == "-":
        table = table_from(sys.stdin.buffer.read(), ".csv", name, say)
    else:
        table = open_table(source, say)
    frame = table.frame()
    check_free(frame, classifier.outputs.columns, name)
    flat = not as_json if out is None else suffix_of(Path(out)) in (".csv", ".tsv")
    if flat:
        _check_joined(classifier)
        check_flat(frame, name)
    texts = usable_texts(table, text_column, on_bad, say)
    there = [text for text in texts if text is not None]
    found = iter(classifier.predict(there, runtime, progress="predicting"))
    predictions = [None if text is None else next(found) for text in texts]
    scored = frame.with_columns(**_columns(predictions, classifier.outputs, flat))
    if out is None:
        sys.stdout.write(scored.write_ndjson() if as_json else scored.write_csv())
    else:
        write_table(scored, Path(out))
        say(f"{len(predictions):,} rows written to {out}")


def check_path(path: Path) -> None:
    """DataError before the work where the table could not be written behind it."""
    if path.suffix.lower() not in TABLES:  # nothing is compressed
        raise DataError(f"{path} can't be written: give a name that ends in {', '.join(TABLES)}")
    if path.is_dir():
        raise DataError(f"{path} can't be written: it is a directory")
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


def check_flat(frame: "polars.DataFrame", name: str) -> None:
    """DataError where a column holds lists or objects: CSV has no way to write them."""
    if nested := [column for column, kind in frame.schema.items() if kind.is_nested()]:
        raise DataError(
            f"{name}: column {nested[0]!r} holds lists or objects, which CSV and TSV can't; "
            "give --out a name that ends in .jsonl or .parquet, or use --json"
        )


def _columns(predictions: list, outputs: Outputs, flat: bool) -> "dict[str, polars.Series]":
    """The columns to add; several labels as a list, or joined where the format is `flat`."""
    import polars

    first = {
        "single": polars.String,
        "multi": polars.String if flat else polars.List(polars.String),
        "number": polars.Float64,
    }
    kinds = {"prediction": first[outputs.kind], "most_likely": polars.String}
    columns = {name: list[Any]() for name in outputs.columns}
    for prediction in predictions:
        row = {} if prediction is None else prediction.row()
        if prediction is not None and "most_likely" in columns:
            row["most_likely"] = prediction.label
        if flat and row and outputs.kind == "multi":
            row["prediction"] = JOINED.join(row["prediction"])
        for name, values in columns.items():
            values.append(row.get(name))
    return {
        name: polars.Series(name, values, kinds.get(name, polars.Float64))
        for name, values in columns.items()
    }


def write_table(frame: "polars.DataFrame", path: Path) -> None:
    """In the format of the suffix, atomically; `check_path` has seen it."""
    suffix = suffix_of(path)
    with atomic(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary)
        elif suffix in (".csv", ".tsv"):
            frame.write_csv(temporary, separator="," if suffix == ".csv" else "\t")
        else:
            frame.write_ndjson(temporary)
