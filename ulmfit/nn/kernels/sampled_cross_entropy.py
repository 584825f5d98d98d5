"""Cross-entropy against a few sampled words instead of the whole vocabulary, for training only.

Not exact: the softmax's sum over all words is estimated from a few, drawn with known probabilities
and weighted by importance (Bengio & Senécal 2008). The estimate of the sum is unbiased; its
logarithm, and so the loss, is a little low when they are few. Exact only when each word is a negative
and every correction is 0. Evaluate with `linear_cross_entropy`.

Only the negatives are corrected, not the target: the loss then estimates the full one, and can be
read as such. Correcting both (the other convention) has the same optimum but a loss without meaning.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from ulmfit.shapes import Float, Int, Tensor
from ulmfit.world import ALONE, World

ROWS = 256  # rows of logits held at a time: 4 MB at 4,096 negatives
LEAST = -1e30  # in place of a row's largest logit, −inf, where the only negative is the target


def sampled_cross_entropy(
    features: Float[Tensor, "N E"],
    weight: Float[Tensor, "V E"],
    bias: Float[Tensor, " V"],
    targets: Int[Tensor, " N"],
    negatives: Int[Tensor, " K"],
    corrections: Float[Tensor, " K"],
) -> Float[Tensor, ""]:
    """Mean estimated cross-entropy in nats. All rows share the negatives, which are distinct and sorted.

    `corrections` are added to their logits; `NegativeSampler` gives both.
    """
    # One lookup for targets and negatives: its gradient is V×E whatever the number of words.
    words = torch.cat([targets, negatives])
    rows = F.embedding(words, weight)
    shifts = F.embedding(words, bias[:, None]).squeeze(1)
    n, grads = len(targets), torch.is_grad_enabled()  # inside an autograd function always False
    target = (features * rows[:n]).sum(1).float() + shifts[:n]
    place = torch.searchsorted(negatives, targets).clamp_(max=len(negatives) - 1)
    is_hit = negatives[place] == targets
    return _SampledCrossEntropy.apply(
        features, target, rows[n:], shifts[n:] + corrections, place, is_hit, grads
    )


def reference(
    features: Float[Tensor, "N E"],
    target: Float[Tensor, " N"],
    rows: Float[Tensor, "K E"],
    shifts: Float[Tensor, " K"],
    targets: Int[Tensor, " N"],
    negatives: Int[Tensor, " K"],
) -> Float[Tensor, ""]:
    """Mean of log(exp(target) + Σ exp(logits of the negatives)) − target, with the N×K matrix in memory."""
    logits = F.linear(features, rows, shifts).float()
    # A negative that is the row's own target is already counted, exactly, by `target`.
    logits = logits.masked_fill(negatives == targets[:, None], -torch.inf)
    return (torch.logaddexp(target, logits.logsumexp(1)) - target).mean()


class _SampledCrossEntropy(torch.autograd.Function):
    """`reference` a few rows at a time, so that the logits stay in cache; gradients are computed in `forward`, unscaled."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        target: Tensor,
        rows: Tensor,
        shifts: Tensor,
        place: Tensor,
        is_hit: Tensor,
        grads: bool,
    ) -> Tensor:
        """Where `is_hit`, the negative at a row's `place` is the row's own target, and left out: `target` counts it."""
        loss = torch.zeros((), device=features.device)
        rows, shifts = rows.to(features.dtype), shifts.to(features.dtype)
        d_features, d_target = torch.empty_like(features), torch.empty_like(target)
        d_rows, d_shifts = (
            torch.zeros_like(rows, dtype=torch.float32),
            torch.zeros_like(shifts, dtype=torch.float32),
        )
        with torch.autocast(features.device.type, enabled=False):
            for start in range(0, len(features), ROWS):
                part = slice(start, start + ROWS)
                x, own, at = features[part], target[part], place[part, None]
                logits = torch.addmm(shifts, x, rows.t()).float()
                without_hits = logits.gather(1, at).masked_fill_(is_hit[part, None], -torch.inf)
                logits.scatter_(1, at, without_hits)
                largest = logits.amax(1, keepdim=True).clamp_(min=LEAST)
                share = logits.sub_(largest).exp_()
                total = torch.logaddexp(own, share.sum(1).log_() + largest[:, 0])
                loss += (total - own).sum()
                if not grads:
                    continue
                share *= (largest - total[:, None]).exp_()  # softmax over target and negatives
                d_target[part] = (own - total).exp_() - 1
                d_shifts += share.sum(0)
                share = share.to(x.dtype)
                d_features[part] = share @ rows
                d_rows += share.t() @ x
        ctx.save_for_backward(d_features, d_target, d_rows, d_shifts)
        ctx.count = len(features)
        return loss / len(features)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        scale = grad / ctx.count
        return (*(d * scale.to(d.dtype) for d in ctx.saved_tensors), None, None, None)


class NegativeSampler:
    """Draws K words with replacement, frequent ones more often: probability ∝ count^power.

    Calling it uses PyTorch's global CPU generator, so a saved random state repeats the draws. All processes of a `world` get
    those of the first.
    """

    def __init__(
        self,
        counts: np.ndarray | Int[Tensor, " V"],
        k: int,
        *,
        power: float = 0.75,
        world: World = ALONE,
    ) -> None:
        """`counts`: occurrences of each word in the corpus; words that never occur count once."""
        weights = torch.as_tensor(counts).cpu().double().clamp(min=1).pow(power)
        expected = k * weights / weights.sum()
        self.k, self.world, self.device = k, world, torch.device("cpu")
        self.cumulative = (expected / k).cumsum(0)  # float64 on the CPU: 60,000 small steps
        self.log_expected = expected.log()

    def to(self, device: torch.device | str) -> "NegativeSampler":
        """From now on `__call__` gives tensors on `device`; the drawing stays on the CPU."""
        self.device = torch.device(device)
        return self

    def __call__(self) -> tuple[Int[Tensor, " D"], Float[Tensor, " D"]]:
        """The D distinct words among K drawn, sorted, and the corrections of their logits: log(times drawn / times expected).
        Equivalent to K words with repetitions, at two thirds of the work."""
        drawn = torch.searchsorted(self.cumulative, torch.rand(self.k, dtype=torch.float64))
        drawn = drawn.clamp(max=len(self.cumulative) - 1)  # the last sum may end below 1
        self.world.from_first([drawn])
        words, times = drawn.unique(return_counts=True)
        corrections = (times.log() - self.log_expected[words]).float()
        return words.to(self.device), corrections.to(self.device)
