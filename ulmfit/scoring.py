"""A table of texts → the same rows, with `prediction` and `probability` behind their columns.

Of a classifier with thresholds a prediction may be "unsure"; `most_likely` then tells the label all the same.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.checkpoint import atomic
from ulmfit.classifier import Classifier, Prediction
from ulmfit.run import Say
from ulmfit.runtime import Runtime
from ulmfit.text.bad_rows import OnBad
from ulmfit.text.columns import usable_texts
from ulmfit.text.files import DataError, suffix_of
from ulmfit.text.tables import TABLES, open_table, table_from

if TYPE_CHECKING:
    import polars

ADDED, WITH_THRESHOLDS = ("prediction", "probability"), ("prediction", "probability", "most_likely")


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
        _check_path(Path(out))
    name = "standard input" if source == "-" else source
    if source == "-":
        table = table_from(sys.stdin.buffer.read(), ".csv", name, say)
    else:
        table = open_table(source, say)
    frame = table.frame()
    added = WITH_THRESHOLDS if classifier.calibration.thresholds else ADDED
    if taken := [column for column in added if column in frame.columns]:
        raise DataError(
            f"{name} has a column {taken[0]!r} already; rename it, so that nothing is overwritten"
        )
    if not as_json if out is None else suffix_of(Path(out)) in (".csv", ".tsv"):
        _check_flat(frame, name)
    texts = usable_texts(table, text_column, on_bad, say)
    there = [text for text in texts if text is not None]
    found = iter(classifier.predict(there, runtime, progress="predicting"))
    predictions = [None if text is None else next(found) for text in texts]
    scored = frame.with_columns(**_columns(predictions, added))
    if out is None:
        sys.stdout.write(scored.write_ndjson() if as_json else scored.write_csv())
    else:
        _write(scored, Path(out))
        say(f"{len(predictions):,} rows written to {out}")


def _check_path(path: Path) -> None:
    """DataError before the work where the table could not be written behind it."""
    if path.suffix.lower() not in TABLES:  # nothing is compressed
        raise DataError(f"{path} can't be written: give a name that ends in {', '.join(TABLES)}")
    if path.is_dir():
        raise DataError(f"{path} can't be written: it is a directory")
    parent = next(p for p in path.absolute().parents if p.exists())  # the others will be made
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        problem = "can't be written to" if parent.is_dir() else "is not a directory"
        raise DataError(f"{path} can't be written: {parent} {problem}")


def _check_flat(frame: "polars.DataFrame", name: str) -> None:
    """DataError where a column holds lists or objects: CSV has no way to write them."""
    if nested := [column for column, kind in frame.schema.items() if kind.is_nested()]:
        raise DataError(
            f"{name}: column {nested[0]!r} holds lists or objects, which CSV and TSV can't; "
            "give --out a name that ends in .jsonl or .parquet, or use --json"
        )


def _columns(
    predictions: Sequence[Prediction | None], names: Sequence[str]
) -> "dict[str, polars.Series]":
    import polars

    columns = {
        "prediction": polars.Series([p and p.verdict for p in predictions], dtype=polars.String),
        "probability": polars.Series(
            [p and p.probability for p in predictions], dtype=polars.Float64
        ),
        "most_likely": polars.Series([p and p.label for p in predictions], dtype=polars.String),
    }
    return {name: columns[name] for name in names}


def _write(frame: "polars.DataFrame", path: Path) -> None:
    suffix = suffix_of(path)
    with atomic(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary)
        elif suffix in (".csv", ".tsv"):
            frame.write_csv(temporary, separator="," if suffix == ".csv" else "\t")
        else:
            frame.write_ndjson(temporary)
