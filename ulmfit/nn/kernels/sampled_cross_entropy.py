"""Cross-entropy against a few sampled words instead of the whole vocabulary, for training only.

Not exact: the sum of the softmax over all words is estimated from K of them, drawn with known
probabilities and weighted by importance (Bengio & Senécal 2008). The estimate of the sum is
unbiased; its logarithm, and so the loss, is a little low when K is small. Exact only when each word
is a negative once and every log-expected count is 0. Evaluate with `linear_cross_entropy`.

Only the negatives are corrected, not the target: the loss then estimates the full one, and can be
read as such. Correcting both (the other custom) has the same optimum but a loss that means nothing.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from ulmfit.shapes import Float, Int, Tensor

ROWS = 256  # rows of logits held at a time: 4 MB at 4,096 negatives


def sampled_cross_entropy(
    features: Float[Tensor, "N E"],
    weight: Float[Tensor, "V E"],
    bias: Float[Tensor, " V"],
    targets: Int[Tensor, " N"],
    negatives: Int[Tensor, " K"],
    log_expected: Float[Tensor, " V"],
) -> Float[Tensor, ""]:
    """Mean estimated cross-entropy in nats. All rows share the negatives, with repetitions.

    `log_expected`: log of how often each word is expected among the K, as `NegativeSampler` gives.
    """
    # One lookup for targets and negatives: its gradient is V×E whatever the number of words.
    words = torch.cat([targets, negatives])
    rows = F.embedding(words, weight)
    shifts = F.embedding(words, bias[:, None]).squeeze(1)
    n, grads = len(targets), torch.is_grad_enabled()  # inside an autograd function always False
    corrected = shifts[n:] - log_expected[negatives]
    target = (features * rows[:n]).sum(1).float() + shifts[:n]
    return _SampledCrossEntropy.apply(
        features, target, rows[n:], corrected, targets, negatives, grads
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
    """`reference` a few rows at a time, so that the logits stay in cache; gradients on the way forward, unscaled."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        target: Tensor,
        rows: Tensor,
        shifts: Tensor,
        targets: Tensor,
        negatives: Tensor,
        grads: bool,
    ) -> Tensor:
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
                x, own = features[part], target[part]
                logits = torch.addmm(shifts, x, rows.t()).float()
                logits.masked_fill_(negatives == targets[part, None], -torch.inf)
                total = torch.logaddexp(own, logits.logsumexp(1))
                loss += (total - own).sum()
                if not grads:
                    continue
                share = logits.sub_(
                    total[:, None]
                ).exp_()  # softmax over the target and the negatives
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

    Calling it uses PyTorch's global CPU generator, so a saved random state repeats the draws.
    """

    def __init__(
        self, counts: np.ndarray | Int[Tensor, " V"], k: int, *, power: float = 0.75
    ) -> None:
        """`counts`: occurrences of each word in the corpus; words that never occur count once."""
        weights = torch.as_tensor(counts).cpu().double().clamp(min=1).pow(power)
        expected = k * weights / weights.sum()
        self.k = k
        self.cumulative = (expected / k).cumsum(0)  # float64 on the CPU: 60,000 small steps
        self.log_expected = expected.log().float()

    def to(self, device: torch.device | str) -> "NegativeSampler":
        """Moves what `__call__` gives to `device`; the drawing stays on the CPU."""
        self.log_expected = self.log_expected.to(device)
        return self

    def __call__(self) -> tuple[Int[Tensor, " K"], Float[Tensor, " V"]]:
        """K negatives, and the log-expected count of every word."""
        drawn = torch.searchsorted(self.cumulative, torch.rand(self.k, dtype=torch.float64))
        negatives = drawn.clamp(max=len(self.cumulative) - 1)  # the last sum may end below 1
        return negatives.to(self.log_expected.device), self.log_expected
