"""Calibrated probabilities: a temperature, the calibration error, and thresholds above which a label can be relied on.

Temperature scaling after Guo et al. 2017. All functions take (D, C) probabilities and (D,) positions of the true labels.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]  # (D, C) probabilities, each row sums to 1
Truth = Sequence[int] | NDArray[np.integer]  # (D,)

BINS = 15  # of the calibration error (Guo et al. 2017)
MIN_DOCUMENTS = 50  # a temperature fitted on fewer does more harm than good (docs/results.md)
HOTTEST, COLDEST = 20.0, 0.05  # bounds of the temperature
Z = 1.645  # standard errors, for one-sided 95 % confidence


@dataclass(frozen=True)
class Calibration:
    """What turns scores into probabilities, and probabilities into "sure" or not; saved with a classifier."""

    temperature: float = 1.0  # logits are divided by it; above 1: the classifier was too sure
    # per label the lowest probability of a sure prediction; None: none is sure; no entry: all are
    thresholds: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"the temperature must be above 0 and finite, not {self.temperature}")
        if not isinstance(self.thresholds, dict) or not all(
            value is None or isinstance(value, float | int) for value in self.thresholds.values()
        ):
            raise TypeError("thresholds must be numbers by label")

    def sure(self, label: str, probability: float) -> bool:
        """Whether a prediction reaches its label's threshold."""
        threshold = self.thresholds.get(label, 0.0)
        return threshold is not None and probability >= threshold

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def tempered(rows: Rows, temperature: float) -> Rows:
    """The probabilities that logits divided by `temperature` would give."""
    if temperature == 1.0:
        return rows
    return _softmax(_logs(rows) / temperature).astype(rows.dtype)


def fit_temperature(rows: Rows, truth: Truth) -> float:
    """The temperature with the lowest log loss on validation documents; 1 without documents.

    As in Platt scaling, targets are smoothed by the number of documents: one document's worth is spread over all labels.
    So 40 documents that are all predicted correctly still give a temperature above 0.
    """
    if len(rows) == 0:
        return 1.0
    logits = _logs(rows)
    doubt = 1 / (len(rows) + 1)
    target = np.full(logits.shape, doubt / logits.shape[1])
    target[np.arange(len(rows)), np.asarray(truth)] += 1 - doubt
    wanted = (target * logits).sum(axis=1).mean()
    # The loss is convex in 1/T, so the root of its slope is found by bisection.
    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    for _ in range(50):
        middle = (low + high) / 2
        expected = (_softmax(logits * math.exp(middle)) * logits).sum(axis=1).mean()
        low, high = (middle, high) if expected < wanted else (low, middle)
    return math.exp(-(low + high) / 2)


class Bin(NamedTuple):
    """Documents whose probabilities of the predicted label lie near each other."""

    documents: int
    confidence: float  # mean probability of the label predicted
    accuracy: float  # share that is right


def reliability(
    rows: Rows, truth: Truth, *, bins: int = BINS, equal: Literal["mass", "width"] = "mass"
) -> list[Bin]:
    """The bins that hold documents, least confident first, of equal numbers of documents ("mass") or equal width."""
    confidence = rows.max(axis=1).astype(np.float64)
    right = rows.argmax(axis=1) == np.asarray(truth)
    order = np.argsort(confidence, kind="stable")
    if equal == "mass":
        parts = np.array_split(order, bins)
    else:
        edges = np.searchsorted(confidence[order], np.arange(1, bins) / bins)
        parts = np.split(order, edges)
    return [
        Bin(len(part), float(confidence[part].mean()), float(right[part].mean()))
        for part in parts
        if len(part)
    ]


def calibration_error(
    rows: Rows, truth: Truth, *, bins: int = BINS, equal: Literal["mass", "width"] = "mass"
) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, averaged over documents; 0 is perfect."""
    filled = reliability(rows, truth, bins=bins, equal=equal)
    return sum(b.documents * abs(b.confidence - b.accuracy) for b in filled) / max(len(rows), 1)


def precision_of(rule: str) -> float:
    """0.95 for "precision=0.95". ValueError: `rule` is something else."""
    name, _, number = rule.partition("=")
    try:
        precision = float(number)
    except ValueError:
        precision = 0.0
    if name.strip() != "precision" or not 0 < precision < 1:
        raise ValueError(
            f"--threshold-for expects precision=P with P between 0 and 1, such as precision=0.95, not {rule!r}"
        )
    return precision


def thresholds(
    rows: Rows, truth: Truth, labels: Sequence[str], precision: float
) -> dict[str, float | None]:
    """For each label the lowest probability from which on its predictions reach `precision`; None: there is none.

    They reach it where not only the share that is right on these documents is that high, but the lower end of Wilson's
    interval for it (one-sided, 95 %). So a threshold needs documents: 52 without a mistake for a precision of 95 %.
    """
    predicted, confidence = rows.argmax(axis=1), rows.max(axis=1).astype(np.float64)
    right = predicted == np.asarray(truth)
    return {
        label: _threshold(confidence[predicted == k], right[predicted == k], precision)
        for k, label in enumerate(labels)
    }


def _threshold(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], precision: float
) -> float | None:
    order = np.argsort(-confidence, kind="stable")
    n, hits = np.arange(1, len(order) + 1), np.cumsum(right[order])
    enough = lower_bound(hits, n) >= precision
    # A threshold can't part documents of equal probability.
    last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]
    possible = np.flatnonzero(enough & last)
    return float(confidence[order][possible[-1]]) if len(possible) else None


def lower_bound(hits: NDArray[Any], n: NDArray[Any]) -> NDArray[np.float64]:
    """The lower end of Wilson's one-sided 95 % interval for a share of `hits` among `n`."""
    share, square = hits / n, Z**2 / n
    return (share + square / 2 - Z * np.sqrt(share * (1 - share) / n + square / (4 * n))) / (
        1 + square
    )


def _logs(rows: Rows) -> NDArray[np.float64]:
    return np.log(np.maximum(rows.astype(np.float64), np.finfo(np.float32).tiny))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
