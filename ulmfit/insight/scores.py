"""Statistics of a run's predictions: intervals, tests, confusions, reliability of probabilities, mistakes."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ulmfit.files.checkpoint import CheckpointError
from ulmfit.training import calibration

Z = 1.959964  # half width of a 95 % interval, in standard deviations
BINS = 10  # of the reliability diagram, equally wide


@dataclass(frozen=True)
class Predictions:
    """The contents of `predictions/NAME.jsonl`: D documents, C labels."""

    labels: tuple[str, ...]
    truth: NDArray[np.int64]  # (D,) columns
    probabilities: NDArray[np.float64]  # (D, C)
    baseline: NDArray[np.int64] | None  # (D,) columns
    texts: tuple[str | None, ...]  # at least those that classifier or baseline got wrong

    @classmethod
    def load(cls, path: Path, labels: tuple[str, ...]) -> "Predictions":
        """CheckpointError: the file is damaged, or names labels that are not among `labels`."""
        column = {label: k for k, label in enumerate(labels)}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
            if not rows:
                raise ValueError("it is empty")
            theirs = [column[row["baseline"]] for row in rows if "baseline" in row]
            return cls(
                labels,
                np.array([column[row["label"]] for row in rows], np.int64),
                np.array([row["probabilities"] for row in rows], float).reshape(-1, len(labels)),
                np.array(theirs, np.int64) if len(theirs) == len(rows) else None,
                tuple(row.get("text") for row in rows),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error!r}); repeat the run with --overwrite"
            ) from None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(D,) the most probable column."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.predicted == self.truth

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(D,) probability of the predicted label."""
        return self.probabilities.max(axis=1)


class Interval(NamedTuple):
    """A share (or a difference of shares) and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, n: int) -> Interval:
    """The share `right`/`n` with Wilson's score interval (1927), which also holds near 0 and 1 and for few documents."""
    share, square = right / n, Z * Z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def paired_difference(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Interval:
    """The accuracy of `ours` minus that of `theirs` on the same documents, with its interval (Bonett & Price 2012)."""
    n, only_ours = len(ours), int((ours & ~theirs).sum())
    only_theirs = int((theirs & ~ours).sum())
    a, b = (only_ours + 1) / (n + 2), (only_theirs + 1) / (n + 2)
    half = Z * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    return Interval((only_ours - only_theirs) / n, a - b - half, a - b + half)


def mcnemar(only_ours: int, only_theirs: int) -> float:
    """The p-value of McNemar's exact two-sided test (1947): how likely so uneven a split, or a more uneven one, would be if both
    were equally good, of the documents that only one of them predicts correctly."""
    n, term, below = only_ours + only_theirs, 1, 0
    for k in range(min(only_ours, only_theirs) + 1):
        below += term
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * below / 2**n)  # whole numbers until here: exact


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n, n) numbers of documents by true label (rows) and prediction (columns); for few classes."""
    return np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)


def confused(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(documents, true label, wrong prediction), the most frequent pair first."""
    wrong = truth != predicted
    pairs = Counter(zip(truth[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    return sorted(((count, *pair) for pair, count in pairs.items()), reverse=True)


class ClassScore(NamedTuple):
    """The scores of one label; None if it has no documents or predictions to divide by."""

    label: str
    documents: int
    precision: float | None
    recall: float | None
    f1: float | None


def class_scores(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: tuple[str, ...]
) -> list[ClassScore]:
    """Precision, recall and F1 of each label."""
    of_each = (truth[truth == predicted], truth, predicted)
    counts = (np.bincount(rows, minlength=len(labels)).tolist() for rows in of_each)
    scores = []
    for label, hits, documents, predictions in zip(labels, *counts, strict=True):
        precision, recall = (hits / n if n else None for n in (predictions, documents))
        both = documents + predictions
        f1 = 2 * hits / both if both else None
        scores.append(ClassScore(label, documents, precision, recall, f1))
    return scores


class Bin(NamedTuple):
    """Documents of similar confidence."""

    documents: int
    confidence: float  # mean
    accuracy: Interval


def reliability(predictions: Predictions) -> list[Bin]:
    """The non-empty bins of equal width by `training.calibration`, least confident first, with intervals of their accuracy."""
    bins = calibration.reliability(
        predictions.probabilities, predictions.truth, bins=BINS, equal="width"
    )
    return [
        Bin(b.documents, b.confidence, wilson(round(b.accuracy * b.documents), b.documents))
        for b in bins
    ]


def calibration_error(predictions: Predictions) -> float:
    """Expected calibration error over the same bins."""
    return calibration.calibration_error(
        predictions.probabilities, predictions.truth, bins=BINS, equal="width"
    )


def worst_mistakes(predictions: Predictions, n: int) -> list[int]:
    """Rows of at most `n` wrong predictions, the most confident first."""
    wrong = np.flatnonzero(~predictions.right)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:n].tolist()
