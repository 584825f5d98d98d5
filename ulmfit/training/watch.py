"""Divergence: losses and gradients that are not finite, losses that grow out of bounds, epochs that unlearn.

Losses are looked at every `Runtime.look_every` steps: every step on a CPU, every tenth on a GPU, since each look waits
for it. So a training may end up to nine updates late there; nothing is saved without a look.
"""

import math
from collections import deque
from typing import Any

import torch
from torch import Tensor

from ulmfit.progress import Say
from ulmfit.runtime import Runtime

SMOOTHING = 0.98  # of the training loss shown (fastai)
WINDOW = 10  # steps whose mean loss is compared with that of the first ones
GROWN = 20.0  # × the first mean loss: then the learning rate was too high
# lower bound of that first loss: a net that begins fitted has 0.00001, and one wrong label makes thousands of times that
LEAST = 0.05
# × the lowest loss of an earlier epoch; a classifier that fell from 88 to 63 % had 1.8
WORSE = 1.5
# steps that an epoch must have had to be compared: about the memory of SMOOTHING
SETTLED = 50
SKIPS = 10  # steps left out in a row; after that skipping leads nowhere
LOWEST_SCALE = 1.0  # of the loss in fp16; it starts at 65,536 and is halved at each overflow


class DivergedError(ValueError):
    """Losses, gradients or weights are not finite any more, or the loss has grown out of bounds."""


class Smooth:
    """Debiased exponential mean of the loss (fastai's `smooth_loss`); NaN before the first."""

    def __init__(self) -> None:
        self._mean, self._weight = 0.0, 0.0

    def add(self, loss: float) -> None:
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)

    @property
    def settled(self) -> bool:
        """Whether it holds enough losses to be compared."""
        return self._weight > 1 - SMOOTHING ** (SETTLED - 0.5)  # half a step for rounding

    @property
    def value(self) -> float:
        return self._mean / self._weight if self._weight else math.nan


class Watch:
    """Follows the losses of one training, and does about bad ones what `runtime.on_bad_loss` says.

    `state` and `restore` carry it across an interruption.
    """

    def __init__(self, training: str, runtime: Runtime, say: Say) -> None:
        self.smooth = Smooth()  # since the epoch began
        self._training, self._runtime, self._say = training, runtime, say
        self._first: float | None = None  # mean of the first losses of all
        self._lowest: float | None = None  # smoothed loss at the end of an epoch
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._left_out = 0  # steps in a row
        self._said = False
        self._unseen: list[tuple[Tensor, str]] = []  # (loss, norm of the gradients), where

    def add(self, loss: Tensor, norm: Tensor, where: str) -> None:
        """Notes the loss of a step and the norm of its gradients, without reading them off the device; `where` is for people."""
        self._unseen.append((torch.stack([loss.detach().float(), norm.float()]), where))

    @property
    def skips(self) -> bool:
        """Whether bad steps are left out."""
        return self._runtime.on_bad_loss == "skip"

    def undoes(self, loss: Tensor) -> bool:
        """Whether bad steps are skipped and this one's loss is not finite: then what its forward pass has changed (LSTM state,
        BatchNorm's averages) has to be undone. Waits for the device where bad steps are skipped."""
        return self.skips and not math.isfinite(float(loss.detach()))

    def due(self) -> bool:
        """Whether it is time for a look."""
        return len(self._unseen) >= self._runtime.look_every

    def look(self) -> None:
        """Reads what was added since the last look. `DivergedError` says what is wrong, since when, and what to try."""
        if not self._unseen:
            return
        figures = torch.stack([pair for pair, _ in self._unseen]).tolist()
        places = [where for _, where in self._unseen]
        self._unseen = []
        for (loss, norm), where in zip(figures, places, strict=True):
            # With scaled losses, gradients overflow now and then: such updates are left out, and the scale falls.
            if not math.isfinite(loss):
                self._bad(f"the loss is {loss}", where)
            elif not math.isfinite(norm) and not self._runtime.scaling():
                self._bad(f"the loss is {loss:.4g}, but its gradients are not finite", where)
            else:
                self._good(loss, where)
        if self._runtime.scaling().get("scale", math.inf) < LOWEST_SCALE:
            raise DivergedError(
                f"{self._training}: gradients overflow fp16 at {places[-1]}, however small the loss is scaled; use "
                "--precision fp32, or a lower learning rate"
            )

    def _bad(self, what: str, where: str) -> None:
        self._left_out += 1
        if self.skips and self._left_out <= SKIPS:
            self._say(f"{self._training}: {what} at {where}; this step is skipped")
            return
        row = f", as in the {SKIPS} steps before it" if self._left_out > SKIPS else ""
        raise DivergedError(
            f"{self._training}: {what} at {where}{row}; use a lower learning rate (`ulmfit find-lr` measures one)"
            + ("" if row else ", or continue from the last saved state with --on-bad-loss skip")
        )

    def _good(self, loss: float, where: str) -> None:
        self._left_out = 0
        self.smooth.add(loss)
        self._last.append(loss)
        if len(self._last) < WINDOW:
            return
        mean = sum(self._last) / WINDOW
        if self._first is None:
            self._first = mean
        elif mean > GROWN * max(LEAST, abs(self._first)) and not self._said:
            self._said = True
            message = (
                f"{self._training}: the loss has grown from {self._first:.3g} to {mean:.3g} at {where} (means of "
                f"{WINDOW} steps); use a lower learning rate (`ulmfit find-lr` measures one)"
            )
            if not self.skips:
                raise DivergedError(f"{message}, or --on-bad-loss skip to continue regardless")
            self._say(message)

    def end_epoch(self, where: str) -> None:
        """After a look: warns if this epoch lost what an earlier one had learned. Only the user knows whether to stop."""
        if not self.smooth.settled:
            return
        loss, lowest = self.smooth.value, self._lowest
        if lowest is not None and loss > WORSE * lowest:
            self._say(
                f"{self._training}: the loss is {loss:.3g} after {where}, and was {lowest:.3g} after an earlier epoch: what was"
                " learned is being lost; use a lower learning rate (`ulmfit find-lr` measures one)"
            )
        self._lowest = loss if lowest is None else min(loss, lowest)

    def state(self) -> dict[str, Any]:
        """As plain numbers, after a look."""
        return {
            "mean": self.smooth._mean,
            "weight": self.smooth._weight,
            "first": self._first,
            "lowest": self._lowest,
            "last": list(self._last),
            "left_out": self._left_out,
            "said": self._said,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; an empty one changes nothing."""
        if state:
            self.smooth._mean, self.smooth._weight = state["mean"], state["weight"]
            self._first, self._last = state["first"], deque(state["last"], WINDOW)
            self._lowest = state.get("lowest")  # older files lack it
            self._left_out, self._said = state["left_out"], state["said"]
