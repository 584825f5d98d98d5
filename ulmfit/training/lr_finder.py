"""LR range test: the loss while the learning rate grows, and where on that curve to start from (fastai `lr_find`).

Runs the loop itself, with one exponential phase, on a throw-away copy of the net.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ulmfit.runtime import Runtime, rng_state, set_rng_state
from ulmfit.training.log import Log
from ulmfit.training.phases import Phase, layer_rates
from ulmfit.training.schedule import Exponential
from ulmfit.training.stage import Stage
from ulmfit.training.watch import DivergedError, Smooth

HIGHEST_LR, STEPS = 10.0, 100  # fastai's; the first rate is 1e-7
STOP_AT = 4.0  # × the best smoothed loss
SKIP_FIRST, SKIP_LAST = STEPS // 10, 5  # points that are not shown and not judged


@dataclass(frozen=True)
class LRCurve:
    """Learning rates tried, in order, and the smoothed training loss after each."""

    lrs: tuple[float, ...]
    losses: tuple[float, ...]

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and losses without the first ten and the last five points, as fastai plots and judges them."""
        if len(self.lrs) < SKIP_FIRST + SKIP_LAST + 2:
            raise ValueError(
                f"the loss exploded after {len(self.lrs)} steps of {STEPS}, too few to suggest a learning rate; "
                "is the model damaged, or the weight decay extreme?"
            )
        kept = slice(SKIP_FIRST, -SKIP_LAST)
        return np.array(self.lrs[kept]), np.array(self.losses[kept])

    def fell(self) -> bool:
        """Whether the loss went on falling after the first tenth of what is shown; if not, suggestions mean nothing."""
        _, losses = self.shown()
        return int(losses.argmin()) >= len(losses) // 10

    def suggestions(self) -> dict[str, float]:
        """Peak rates to try, by fastai's names; the first is its default.

        valley: half-way through the longest stretch of falling losses. steep: where the loss falls fastest. minimum: a
        tenth of the rate with the lowest loss.
        """
        lrs, losses = self.shown()
        slopes = np.diff(losses) / np.diff(np.log(lrs))
        return {
            "valley": float(lrs[_valley(losses)]),
            "steep": float(lrs[slopes.argmin()]),
            "minimum": float(lrs[losses.argmin()]) / 10,
        }


def find_lr(stage: Stage, runtime: Runtime, *, trained: int | None = None) -> LRCurve:
    """Train a copy of the stage's net for 100 steps at rates from 1e-7 to 10, all unfrozen layer groups alike.

    `trained`: how many layer groups from the top; None: those that the stage's first phase trains. Ends early where the
    smoothed loss passes four times its best. The copy is warmed up as the net will be. Net, optimizer and random
    generators are left as they were.
    """
    lrs = layer_rates(HIGHEST_LR, stage.groups, trained)
    if trained is None:
        lrs = tuple(HIGHEST_LR * (lr > 0) for lr in stage.phases[0].lrs)
    twin = replace(
        stage,
        name=f"learning rates of {stage.name}",
        net=copy.deepcopy(stage.net),
        phases=[Phase(STEPS / stage.batches.steps_per_epoch, lrs, Exponential())],
        evaluate=None,
    )
    curve, random, scaling = _Curve(), rng_state(runtime.device), runtime.scaling()
    try:
        twin.train(runtime, curve)
    except (_Exploded, DivergedError):  # as expected
        pass
    finally:
        set_rng_state(random, runtime.device)
        runtime.restore_scaling(scaling)
    return LRCurve(tuple(curve.lrs), tuple(curve.losses))


class _Exploded(Exception):
    pass


class _Curve(Log):
    """A log that remembers the curve and ends the training when the loss explodes."""

    def __init__(self) -> None:
        super().__init__("learning rates")
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._smooth, self._best = Smooth(), math.inf

    def step(self, update: int, *, loss: Any, lr: float, **values: Any) -> None:
        loss = float(loss)
        if not math.isfinite(loss):  # `Watch` may look later
            raise _Exploded
        self._smooth.add(loss)
        self.lrs.append(lr)
        self.losses.append(self._smooth.value)
        self._best = min(self._best, self._smooth.value)
        if self._smooth.value > STOP_AT * self._best:
            raise _Exploded


def _valley(losses: np.ndarray) -> int:
    """Index halfway into the longest falling subsequence, counted as fastai counts: ⌊n/3⌋ + ⌊n/6⌋ after end − n."""
    longest = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        higher = longest[:i][losses[:i] > losses[i]]
        longest[i] = 1 + (higher.max() if len(higher) else 0)
    end = int(longest.argmax())
    length = int(longest[end])
    return max(0, end - length + length // 3 + length // 6)
