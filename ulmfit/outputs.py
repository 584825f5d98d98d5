"""The outputs of a classifier by kind of label – probabilities of classes, a probability per label, or a number – with their
loss, metrics and predictions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ulmfit.config import ClassifierConfig, LabelKind
from ulmfit.nn.losses import (
    Criterion,
    binary_cross_entropy,
    in_range,
    range_loss,
    weighted_cross_entropy,
)
from ulmfit.prediction import MultiLabelPrediction, NumberPrediction, Prediction
from ulmfit.text.document import Document
from ulmfit.text.labels import SAID, classes_to_learn, kind_of, label_array, label_names
from ulmfit.training.calibration import Calibration
from ulmfit.training.metrics import (
    THRESHOLD,
    binary_log_loss,
    classification_metrics,
    log_loss,
    multi_label_metrics,
    number_metrics,
)

LEAST_STEPS = 1000  # float32 steps that must lie between the lowest number and the highest


class Outputs(ABC):
    """One kind of label. `rows` are (D, `size`) float32, as `activate` returns them."""

    kind: ClassVar[LabelKind]
    best: ClassVar[str]  # the metric by which keep="best" chooses
    best_is_lowest: ClassVar[bool] = False
    labels: tuple[str, ...]
    calibration: Calibration = Calibration()

    @property
    def size(self) -> int:
        """How many numbers the head gives per text."""
        return len(self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a prediction adds to a table."""
        return tuple(self.predictions(np.zeros((1, self.size), np.float32))[0].row())

    def truth(self, documents: Sequence[Document]) -> np.ndarray:
        """The documents' labels as an array: class indices, 0/1 rows or numbers. ValueError: a label that is missing, of another
        kind, or never seen in training."""
        labels = [d.label for d in documents]
        if missing := sum(label is None for label in labels):
            raise ValueError(f"{missing} of {len(labels)} documents have no label")
        if (kind := kind_of(labels)) != self.kind and labels:
            raise ValueError(
                f"a text has {SAID[kind]} here, but this classifier learnt {SAID[self.kind]}:"
                f" read them with label_kind={self.kind!r} (--label-kind {self.kind})"
            )
        if unknown := sorted({*label_names(labels)} - {*self.labels}):
            raise ValueError(
                f"labels {unknown} are unknown to this classifier; it knows {list(self.labels)}"
            )
        array = label_array(labels, self.labels)
        return self._empty() if array is None else array

    def _empty(self) -> np.ndarray:
        """`truth` of no documents."""
        shape = {"single": (0,), "multi": (0, self.size), "number": (0,)}[self.kind]
        return np.zeros(shape, np.int64 if self.kind == "single" else np.float32)

    def calibrated(self, calibration: Calibration) -> "Outputs":
        """The same outputs with another calibration. ValueError: a kind of label that has none."""
        if calibration != Calibration():
            raise ValueError(
                f"only probabilities of one class per text can be calibrated; these are of {self}"
            )
        return self

    def judge(self, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """`loss` and `metrics`, as reported after each epoch."""
        return {"loss": self.loss(truth, rows), **self.metrics(truth, rows)}

    def saved(self) -> dict[str, Any]:
        """For config.json; `outputs_of` reads it."""
        return {"label_kind": self.kind, "labels": list(self.labels)}

    @abstractmethod
    def __str__(self) -> str:
        """What a text is labelled with."""

    @abstractmethod
    def activate(self, logits: Tensor) -> Tensor:
        """Logits (B, `size`) → rows."""

    @abstractmethod
    def criterion(self, truth: np.ndarray, config: ClassifierConfig) -> Criterion:
        """The training loss; class weights, if any, come from the training documents' `truth`."""

    @abstractmethod
    def loss(self, truth: np.ndarray, rows: np.ndarray) -> float:
        """The loss without class weights and label smoothing."""

    @abstractmethod
    def metrics(self, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """The metrics of the rows, by name; `best` is one of them."""

    @abstractmethod
    def predictions(self, rows: np.ndarray) -> list[Any]:
        """One prediction per row."""


@dataclass(frozen=True)
class SingleLabel(Outputs):
    """One class per text: softmax, cross-entropy."""

    labels: tuple[str, ...]
    calibration: Calibration = field(default=Calibration(), compare=False)
    kind: ClassVar[LabelKind] = "single"
    best: ClassVar[str] = "accuracy"

    def __str__(self) -> str:
        return f"one of {len(self.labels)} classes per text"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *(["most_likely"] if self.calibration.thresholds else []))

    def calibrated(self, calibration: Calibration) -> "SingleLabel":
        return replace(self, calibration=calibration)

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "calibration": self.calibration.to_json()}

    def activate(self, logits: Tensor) -> Tensor:
        return (logits / self.calibration.temperature).softmax(dim=1)

    def criterion(self, truth: np.ndarray, config: ClassifierConfig) -> Criterion:
        weights = None
        if config.class_weight:
            count = np.bincount(truth, minlength=self.size)
            weights = torch.from_numpy(len(truth) / (self.size * count)).float()
        return partial(weighted_cross_entropy, weights=weights, smoothing=config.label_smoothing)

    def loss(self, truth: np.ndarray, rows: np.ndarray) -> float:
        return log_loss(truth.tolist(), rows)

    def metrics(self, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        return classification_metrics(truth.tolist(), rows.argmax(axis=1).tolist())

    def predictions(self, rows: np.ndarray) -> list[Prediction]:
        predictions = []
        for row, k in zip(rows, rows.argmax(axis=1), strict=True):
            label, probability = self.labels[k], float(row[k])
            sure = self.calibration.sure(label, probability)
            predictions.append(Prediction(label, probability, _by_name(self.labels, row), sure))
        return predictions


@dataclass(frozen=True)
class MultiLabel(Outputs):
    """Any number of labels per text, each yes or no: sigmoid, binary cross-entropy."""

    labels: tuple[str, ...]
    kind: ClassVar[LabelKind] = "multi"
    best: ClassVar[str] = "micro_f1"

    def __str__(self) -> str:
        return f"any of {len(self.labels)} labels per text"

    def activate(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def criterion(self, truth: np.ndarray, config: ClassifierConfig) -> Criterion:
        weights = None
        if config.class_weight:
            count = np.stack([(truth == 0).sum(axis=0), (truth > 0).sum(axis=0)])
            weights = torch.from_numpy(len(truth) / (2 * np.maximum(1, count))).float()
        return partial(binary_cross_entropy, weights=weights, smoothing=config.label_smoothing)

    def loss(self, truth: np.ndarray, rows: np.ndarray) -> float:
        return binary_log_loss(truth, rows)

    def metrics(self, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        return multi_label_metrics(truth, rows)

    def predictions(self, rows: np.ndarray) -> list[MultiLabelPrediction]:
        return [
            MultiLabelPrediction(
                tuple(n for n, p in zip(self.labels, row, strict=True) if p >= THRESHOLD),
                _by_name(self.labels, row),
            )
            for row in rows
        ]


@dataclass(frozen=True)
class BoundedNumber(Outputs):
    """A number per text, between `low` and `high`: scaled sigmoid, squared error."""

    low: float
    high: float
    labels: tuple[str, ...] = field(default=(), init=False)
    kind: ClassVar[LabelKind] = "number"
    best: ClassVar[str] = "rmse"
    best_is_lowest: ClassVar[bool] = True

    @property
    def size(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"a number per text, from {self.low:g} to {self.high:g}"

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "y_range": [self.low, self.high]}

    def activate(self, logits: Tensor) -> Tensor:
        return in_range(logits, self.low, self.high)

    def criterion(self, truth: np.ndarray, config: ClassifierConfig) -> Criterion:
        return partial(range_loss, low=self.low, high=self.high)

    def loss(self, truth: np.ndarray, rows: np.ndarray) -> float:
        return float(np.square(rows[:, 0] - truth).mean()) / (self.high - self.low) ** 2

    def metrics(self, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        return number_metrics(truth, rows[:, 0])

    def predictions(self, rows: np.ndarray) -> list[NumberPrediction]:
        return [NumberPrediction(float(value)) for value in rows[:, 0]]


def outputs_for(documents: Sequence[Document], config: ClassifierConfig) -> Outputs:
    """The outputs of a classifier trained on these documents. ValueError: settings that do not apply to their kind of label, too
    many classes, or numbers that are (nearly) all equal or lie outside `y_range`."""
    labels = [d.label for d in documents if d.label is not None]
    kind = kind_of(labels)
    unused = (
        {"class_weight": config.class_weight, "label_smoothing": config.label_smoothing}
        if kind == "number"
        else {"y_range": config.y_range}
    )
    if given := [name for name, value in unused.items() if value]:
        raise ValueError(
            f"{given[0]} {unused[given[0]]} does not apply where a text has {SAID[kind]}: leave it out,"
            " or read the labels as another kind (--label-kind)"
        )
    if kind != "number":
        return (SingleLabel if kind == "single" else MultiLabel)(classes_to_learn(labels))
    numbers = np.array(labels, np.float64)
    low, high = config.y_range or (numbers.min(), numbers.max())
    steps = LEAST_STEPS * np.finfo(np.float32).eps * max(abs(low), abs(high))
    if not np.isfinite(numbers).all() or not steps < high - low < np.inf:
        raise ValueError(
            f"numbers from {low:.10g} to {high:.10g} can't be learnt: they must be finite and differ by more than"
            " single-precision rounding; subtract the lowest from all of them, or give bounds that do"
            " (--classifier.y-range LOW HIGH)"
        )
    if outside := int(((numbers < low) | (numbers > high)).sum()):
        raise ValueError(
            f"{outside} labels lie outside of y_range {low:g} to {high:g} (they go from {numbers.min():g}"
            f" to {numbers.max():g}); widen --classifier.y-range, or leave it out"
        )
    return BoundedNumber(float(low), float(high))


def outputs_of(saved: dict[str, Any]) -> Outputs:
    """The inverse of `Outputs.saved`; old files that record no kind have one class per text. KeyError, TypeError, ValueError:
    the record is damaged."""
    kind, labels = saved.get("label_kind", "single"), saved["labels"]
    if not isinstance(labels, list) or not all(type(name) is str for name in labels):
        raise TypeError("labels are not a list of strings")
    labels = tuple(labels)
    if len(set(labels)) < len(labels):
        raise ValueError("a label occurs twice")
    if kind == "number":
        low, high = saved["y_range"]
        return BoundedNumber(float(low), float(high))
    if not labels:
        raise ValueError("no labels")
    if kind == "multi":
        return MultiLabel(labels)
    if kind != "single":
        raise ValueError(f"labels of kind {kind!r}")
    return SingleLabel(labels, Calibration(**saved.get("calibration", {})))


def _by_name(labels: Sequence[str], row: np.ndarray) -> dict[str, float]:
    return dict(zip(labels, row.tolist(), strict=True))
