"""What a classifier says of one text, by the kind of its labels."""

from dataclasses import dataclass
from typing import Any

UNSURE = "unsure"  # what is said of a text instead of a label


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one text that has one class."""

    label: str
    probability: float  # of `label`
    probabilities: dict[str, float]  # of every label
    sure: bool = True  # False: below the threshold of `label`, where the classifier has thresholds

    @property
    def verdict(self) -> str:
        """The label, or "unsure"."""
        return self.label if self.sure else UNSURE

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        return {"prediction": self.verdict, "probability": self.probability}

    def line(self) -> str:
        """As the command prints it."""
        said = f"{self.label}  {self.probability:.3f}"
        return said if self.sure else f"{self.verdict}: {said}"


@dataclass(frozen=True)
class MultiLabelPrediction:
    """What the classifier says of one text that has any number of labels."""

    labels: tuple[str, ...]  # of a probability from 0.5 on; there may be none
    probabilities: dict[str, float]  # of every label, each for itself

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        each = {f"probability_{name}": p for name, p in self.probabilities.items()}
        return {"prediction": list(self.labels), **each}

    def line(self) -> str:
        """As the command prints it."""
        given = [f"{name}  {self.probabilities[name]:.3f}" for name in self.labels]
        name, highest = max(self.probabilities.items(), key=lambda item: item[1])
        return "\n".join(given) or f"no label; the likeliest: {name}  {highest:.3f}"


@dataclass(frozen=True)
class NumberPrediction:
    """What the classifier says of one text that has a number."""

    value: float

    def row(self) -> dict[str, Any]:
        """The columns it adds to a table."""
        return {"prediction": self.value}

    def line(self) -> str:
        """As the command prints it."""
        return f"{self.value:.4g}"
