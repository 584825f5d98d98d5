"""A file of texts → the same rows with `prediction` and `probability`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ulmfit.classifier import Classifier
from ulmfit.run import Say
from ulmfit.runtime import Runtime
from ulmfit.text.readers import read_table, texts_of


def score_file(
    classifier: Classifier,
    source: str,
    out: str | None,
    text_column: str | None,
    runtime: Runtime,
    *,
    as_json: bool,
    say: Say,
) -> None:
    """Write the input's columns in order, then `prediction` and `probability`. `source` "-" is CSV on stdin.

    The format of `out` follows its suffix (.csv .tsv .jsonl .parquet); on standard output it is CSV, or JSON lines.
    """
    frame = read_table(source)
    texts = texts_of(frame, text_column, say)
    predictions = classifier.predict(texts, runtime)
