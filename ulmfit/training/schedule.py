"""Learning rate and momentum as pure functions of how far a phase has come, in [0, 1)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# Callable data: progress in [0, 1) → (factor on the peak learning rate, momentum)
Schedule = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class OneCycle:
    """Two half cosines up and down, momentum the other way (fastai `fit_one_cycle`)."""

    warm_up: float = 0.25  # share of the phase until the peak
    div: float = 25.0  # peak / first learning rate
    div_final: float = 1e5  # peak / last learning rate
    momentum: tuple[float, float, float] = (0.8, 0.7, 0.8)  # first, at the peak, last

    def __call__(self, progress: float) -> tuple[float, float]:
        first, at_peak, last = self.momentum
        if progress < self.warm_up:
            x = progress / self.warm_up
            return _cosine(1 / self.div, 1.0, x), _cosine(first, at_peak, x)
        x = (progress - self.warm_up) / (1 - self.warm_up)
        return _cosine(1.0, 1 / self.div_final, x), _cosine(at_peak, last, x)


@dataclass(frozen=True)
class SlantedTriangular:
    """Short linear rise, long linear fall (paper §3.2, equation 3)."""

    cut_frac: float = 0.1  # share of the phase that rises
    ratio: float = 32.0  # peak / lowest learning rate
    momentum: float = 0.7  # β₁ of Adam (paper §4.1)

    def __call__(self, progress: float) -> tuple[float, float]:
        if progress < self.cut_frac:
            p = progress / self.cut_frac
        else:
            p = 1 - (progress - self.cut_frac) / (1 - self.cut_frac)
        return (1 + p * (self.ratio - 1)) / self.ratio, self.momentum


@dataclass(frozen=True)
class Exponential:
    """From the lowest learning rate to the peak in equal ratios: the ramp of an LR range test."""

    ratio: float = 1e8  # peak / first learning rate (fastai `lr_find`: 1e-7 to 10)
    momentum: float = 0.9  # of a new optimizer in fastai, whose `lr_find` schedules the rate only

    def __call__(self, progress: float) -> tuple[float, float]:
        return self.ratio ** (progress - 1), self.momentum


def named(name: Literal["one_cycle", "slanted_triangular"]) -> Schedule:
    """The schedule a config names, with the published settings."""
    return {"one_cycle": OneCycle(), "slanted_triangular": SlantedTriangular()}[name]


def _cosine(start: float, end: float, x: float) -> float:
    return start + (1 + math.cos(math.pi * (1 - x))) * (end - start) / 2
