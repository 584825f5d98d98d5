"""Cross-entropy against a few sampled words instead of the whole vocabulary, for training only.

Not exact: the sum of the softmax over all words is estimated from K of them, drawn with known
probabilities and weighted by importance (Bengio & Senécal 2008). The estimate of the sum is
unbiased; its logarithm, and so the loss, is a little low when K is small. Exact only when each word
is a negative once and every log-expected count is 0. Evaluate with `linear_cross_entropy`.

Only the negatives are corrected, not the target: the loss then estimates the full one, and can be
read as such. Correcting both (the other custom) has the same optimum but a loss that means nothing.
"""

import numpy as np
import torch
import torch.nn.functional as F

from ulmfit.shapes import Float, Int, Tensor


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
    n = len(targets)
    target = (features * rows[:n]).sum(1).float() + shifts[:n]
    logits = F.linear(features, rows[n:], shifts[n:] - log_expected[negatives]).float()
    # A negative that is the row's own target is already counted, exactly, by `target`.
    hits = negatives == targets[:, None]
    logits = logits.masked_fill_(hits, torch.finfo(logits.dtype).min)
    return (torch.logaddexp(target, logits.logsumexp(1)) - target).mean()


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
