"""Which texts to label next: those the classifier is unsure of, and that differ from each other.

Among the least certain texts they are drawn one after the other as k-means++ draws its centres (Arthur & Vassilvitskii 2007):
the farther from all drawn before, the likelier. What it gains: docs/results.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.classifier import Classifier
from ulmfit.ensemble import Ensemble, members_of
from ulmfit.runtime import Runtime
from ulmfit.text.splits import same
from ulmfit.training.calibration import tempered

Array = NDArray[np.floating]
UNSURE = 5  # the choice is among this many times as many texts as wanted, the least certain


@dataclass(frozen=True)
class Choice:
    """A text to label; the order of a list of them is their rank."""

    index: int  # of the text among those given
    prediction: str
    probability: float  # of `prediction`
    margin: float  # by which it leads the next label
    reason: str


def next_labels(
    classifier: Classifier,
    texts: Sequence[str],
    n: int,
    runtime: Runtime | None = None,
    *,
    seed: int = 0,
    progress: str = "",
) -> list[Choice]:
    """The `n` texts most worth labelling, best first; fewer if there are fewer different texts. Of equal texts the first counts."""
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    first = dict[str, int]()
    for index, text in enumerate(texts):
        first.setdefault(same(text), index)
    indices = list(first.values())
    if not indices:
        return []
    runtime = runtime or Runtime.choose()
    features, probabilities = read(classifier, [texts[i] for i in indices], runtime, progress)
    chosen = pick(features, probabilities, n, seed)
    gap = margins(probabilities)
    return [
        Choice(
            indices[i],
            classifier.labels[probabilities[i].argmax()],
            float(probabilities[i].max()),
            float(gap[i]),
            _reason(classifier.labels, probabilities[i], far),
        )
        for i, far in chosen
    ]


def margins(probabilities: Array) -> Array:
    """(D,) the lead of the likeliest label over the next; 0: most uncertain."""
    top = np.sort(probabilities, axis=1)
    return top[:, -1] - top[:, -2]


def pick(features: Array, probabilities: Array, n: int, seed: int) -> list[tuple[int, bool]]:
    """Up to `n` rows in the order drawn, each with whether it lies far from those before it (farther than the median of the
    rows chosen)."""
    gap = margins(probabilities)
    unsure = np.argsort(gap, kind="stable")[: UNSURE * n]
    spread = features[unsure].std(axis=0)
    points = (features[unsure] - features[unsure].mean(axis=0)) / np.where(spread > 0, spread, 1)
    draw, drawn, distances = np.random.default_rng(seed), [0], [0.0]  # the least certain first
    nearest = ((points - points[0]) ** 2).sum(axis=1)
    while len(drawn) < min(n, len(unsure)):
        nearest[drawn] = 0
        left = nearest if nearest.sum() > 0 else ~np.isin(np.arange(len(unsure)), drawn) * 1.0
        row = int(draw.choice(len(unsure), p=left / left.sum()))
        drawn.append(row)
        distances.append(float(nearest[row]))
        nearest = np.minimum(nearest, ((points - points[row]) ** 2).sum(axis=1))
    middle = float(np.median(distances))
    return [(int(unsure[i]), far > middle) for i, far in zip(drawn, distances, strict=True)]


def read(
    classifier: Classifier, texts: Sequence[str], runtime: Runtime, progress: str = ""
) -> tuple[Array, Array]:
    """Pooled features (D, P) and probabilities (D, C).

    With two directions, features are concatenated and probabilities averaged.
    """
    features, probabilities = [], []
    for member in members_of(classifier, "choosing what to label"):
        pooled = member.features(texts, runtime, progress=progress)
        with torch.no_grad(), runtime.autocast():
            logits = member.net.head(pooled).float()
        features.append(pooled.cpu().numpy())
        probabilities.append(member.outputs.activate(logits).cpu().numpy())
    mean = np.mean(probabilities, axis=0)
    if isinstance(classifier, Ensemble):
        mean = tempered(mean, classifier.calibration.temperature)
    return np.concatenate(features, axis=1), mean


def _reason(labels: Sequence[str], probabilities: Array, far: bool) -> str:
    """In words: the two likeliest labels, and whether the text is unlike those before it."""
    first, second = np.argsort(-probabilities, kind="stable")[:2]
    between = (
        f"{labels[first]} ({probabilities[first]:.0%}) or {labels[second]} "
        f"({probabilities[second]:.0%})?"
    )
    return between + (" Unlike those ranked above." if far else "")
