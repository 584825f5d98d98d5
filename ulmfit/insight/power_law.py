"""A power law of accuracy over the number of labels, and its forecast for more labels.

accuracy = ceiling − scale · labels^−rate. For a given rate this is linear in ceiling and scale, so it is solved exactly for
every rate of a fine grid: no start values, no failure to converge, and a thousand fits at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATES = np.geomspace(0.05, 2.0, 100)  # the grid; classifiers' learning curves lie well inside
LEAST_SIZES, LEAST_DRAWS = 4, 2  # three numbers are fitted; a single draw has no spread
FURTHEST = 4.0  # times the labels at hand; beyond, there is no forecast
RESAMPLES = 500  # of the bootstrap
LEVEL = 0.8  # confidence level of intervals

Array = NDArray[np.float64]
Numbers = float | Sequence[float] | NDArray[np.generic]


@dataclass(frozen=True)
class PowerLaw:
    """One fit, or one per element of the arrays."""

    ceiling: Array  # accuracy with unlimited labels, at most 1
    scale: Array  # ≥ 0
    rate: Array

    def accuracy(self, labels: Numbers) -> Array:
        """(*fits, *labels) the accuracy of each fit at each number of labels."""
        n = np.asarray(labels, dtype=float)
        ceiling, scale, rate = (
            v.reshape(v.shape + (1,) * n.ndim) for v in (self.ceiling, self.scale, self.rate)
        )
        return np.asarray(ceiling - scale * n**-rate)

    def labels_for(self, accuracy: float) -> float:
        """The number of labels at which a single fit reaches `accuracy`; infinite if it never does."""
        missing = float(self.ceiling) - accuracy
        if missing <= 0 or self.scale <= 0:
            return np.inf
        return float((self.scale / missing) ** (1 / self.rate))


def fit_power_law(sizes: Numbers, accuracies: Numbers) -> PowerLaw:
    """Least squares with ceiling ≤ 1 and scale ≥ 0. `accuracies` (*fits, S) belong to the S `sizes`."""
    n, y = np.asarray(sizes, dtype=float), np.asarray(accuracies, dtype=float)
    x = (n / n[0]) ** -RATES[:, None]  # (R, S), 1 at the first size
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=-1, keepdims=True)
    centred = x - mean_x[:, None]
    scale = np.maximum(-(y - mean_y) @ centred.T / (centred**2).sum(axis=1), 0)  # (*fits, R)
    ceiling = mean_y + scale * mean_x
    capped = np.maximum((1 - y) @ x.T / (x**2).sum(axis=1), 0)  # the scale where the ceiling is 1
    scale, ceiling = np.where(ceiling > 1, capped, scale), np.minimum(ceiling, 1)
    error = ((y[..., None, :] - ceiling[..., None] + scale[..., None] * x) ** 2).sum(axis=-1)
    best = error.argmin(axis=-1)[..., None]
    ceiling, scale = (np.take_along_axis(v, best, axis=-1)[..., 0] for v in (ceiling, scale))
    rate = RATES[best[..., 0]]
    return PowerLaw(*map(np.asarray, (ceiling, scale * n[0] ** rate, rate)))


@dataclass(frozen=True)
class Forecast:
    """The power law of the means, and those of `RESAMPLES` bootstrap resamples."""

    at_hand: int  # the most labels that were measured
    law: PowerLaw
    resampled: PowerLaw

    def accuracy(self, labels: float) -> tuple[float, float, float]:
        """(mean accuracy over draws, lower and upper end of its interval) with `labels` labels.

        ValueError beyond `FURTHEST` times the labels at hand.
        """
        if labels > FURTHEST * self.at_hand:
            raise ValueError(
                f"{labels:,.0f} labels are more than {FURTHEST:g} times the {self.at_hand:,} at hand; a curve says "
                "nothing about so many. Measure with more labels first"
            )
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(self.resampled.accuracy(labels), [tail, 1 - tail])
        return float(self.law.accuracy(labels)), float(low), float(high)

    def more_labels_for(self, gain: float) -> int | None:
        """How many more labels raise accuracy by `gain`; None if `FURTHEST` times those at hand do not."""
        needed = self.law.labels_for(float(self.law.accuracy(self.at_hand)) + gain)
        return round(needed - self.at_hand) if needed <= FURTHEST * self.at_hand else None


class NoForecast(ValueError):
    """The measured points do not allow a forecast; the message says why and what to do."""


def forecast(accuracies: Mapping[int, Sequence[float]], *, seed: int = 0) -> Forecast:
    """A forecast from number of labels → accuracy of each draw. `NoForecast`: too few points, or accuracy does not rise, or
    rises without slowing down, so that no ceiling can be estimated.

    Bootstrap: at each size its k draws are resampled with replacement. Their deviations from the mean are widened by
    √(k / (k − 1)), since draws lie closer to their own mean than to the true one. Draws of different sizes must be independent.
    """
    usable = {n: values for n, values in sorted(accuracies.items()) if len(values) >= LEAST_DRAWS}
    if len(usable) < LEAST_SIZES:
        raise NoForecast(
            f"a forecast needs {LEAST_SIZES} numbers of labels with at least {LEAST_DRAWS} draws each, not "
            f"{len(usable)}: measure more"
        )
    sizes = np.array(list(usable), dtype=float)
    means = np.array([np.mean(values) for values in usable.values()])
    law = fit_power_law(sizes, means)
    slope, start = np.polyfit(np.log(sizes), means, 1)
    if law.scale == 0 or slope <= 0:
        raise NoForecast(
            "accuracy does not rise with the number of labels here: more draws, or a larger held-out set, "
            "may show a rise; otherwise more labels of this kind won't help"
        )
    straight = ((means - start - slope * np.log(sizes)) ** 2).sum()
    if straight <= ((means - law.accuracy(sizes)) ** 2).sum():
        raise NoForecast(
            "accuracy rises without slowing down (by as much with each doubling of the labels), so no ceiling can be "
            "estimated: more labels help, but how much is not known. More draws or labels may show it"
        )
    draw, resamples = np.random.default_rng(seed), np.empty((RESAMPLES, len(sizes)))
    for column, values in enumerate(usable.values()):
        wide = (np.array(values) - means[column]) * np.sqrt(len(values) / (len(values) - 1))
        resamples[:, column] = means[column] + draw.choice(wide, (RESAMPLES, len(values))).mean(1)
    return Forecast(int(sizes[-1]), law, fit_power_law(sizes, resamples))
