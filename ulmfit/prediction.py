"""Predictions for one text, by kind of label."""

from dataclasses import dataclass
from typing import Any

UNSURE = "unsure"  # in place of the label of a prediction below its threshold


@dataclass(frozen=True)
class Prediction:
    """The prediction for a text that has one class."""

    label: str
    probability: float  # of `label`
    probabilities: dict[str, float]  # of every label
    sure: bool = True  # False: `probability` is below the threshold of `label`

    @property
    def verdict(self) -> str:
        """The label, or "unsure"."""
        return self.label if self.sure else UNSURE

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        return {"prediction": self.verdict, "probability": self.probability}

    def line(self) -> str:
        """As the command prints it."""
        line = f"{self.label}  {self.probability:.3f}"
        return line if self.sure else f"{self.verdict}: {line}"


@dataclass(frozen=True)
class MultiLabelPrediction:
    """The prediction for a text that can have any number of labels."""

    labels: tuple[str, ...]  # those with a probability of 0.5 or more, if any
    probabilities: dict[str, float]  # of every label; they need not sum to 1

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        each = {f"probability_{name}": p for name, p in self.probabilities.items()}
        return {"prediction": list(self.labels), **each}

    def line(self) -> str:
        """As the command prints it."""
        lines = [f"{name}  {self.probabilities[name]:.3f}" for name in self.labels]
        name, highest = max(self.probabilities.items(), key=lambda item: item[1])
        return "\n".join(lines) or f"no label; the likeliest: {name}  {highest:.3f}"


@dataclass(frozen=True)
class NumberPrediction:
    """The prediction for a text that has a number."""

    value: float

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        return {"prediction": self.value}

    def line(self) -> str:
        """As the command prints it."""
        return f"{self.value:.4g}"
