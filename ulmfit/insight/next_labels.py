"""Which texts to label next: those the classifier is unsure of, spread over what there is.

Texts are drawn one after the other as k-means++ draws its centres (Arthur & Vassilvitskii 2007), but from the unsure ones
only: the farther from all that were drawn before, the likelier. What that buys: docs/results.md.
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
UNSURE = 5  # times as many of the least certain texts as are wanted: the choice is among them


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
    """`n` of the texts, the most worthwhile first; fewer where there are fewer. Of equal texts the first counts."""
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
    """(D,) by how much the likeliest label leads the next: 0 is as unsure as can be."""
    top = np.sort(probabilities, axis=1)
    return top[:, -1] - top[:, -2]


def pick(features: Array, probabilities: Array, n: int, seed: int) -> list[tuple[int, bool]]:
    """Up to `n` rows in the order they were drawn, and of each whether it lies far from those before it (farther
    than half of the chosen do)."""
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
    """What the head sees, and what the classifier says: pooled features (D, P) and probabilities (D, C).

    Of several directions features stand side by side, and probabilities are averaged.
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
    """In words: between what, and whether it is unlike the others."""
    first, second = np.argsort(-probabilities, kind="stable")[:2]
    between = (
        f"{labels[first]} ({probabilities[first]:.0%}) or {labels[second]} "
        f"({probabilities[second]:.0%})?"
    )
    return between + (" Unlike those ranked above." if far else "")
