"""What training minimises: cross-entropy (of numbers: squared error), plus AWD-LSTM's two activation penalties (AWD §4.6).

Loss functions share one signature, `(net, batch, carry) -> (Loss, carry)`, so that one training
loop serves both tasks. `carry` is the LSTM state of the token streams; documents carry nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from ulmfit.nn.awd_lstm import State, detach
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.linear_cross_entropy import linear_cross_entropy
from ulmfit.nn.kernels.sampled_cross_entropy import sampled_cross_entropy
from ulmfit.shapes import Bool, Float, Int, Tensor

Sampler = Callable[[], tuple[Tensor, Tensor]]  # → negatives (K,), log_expected (V,)
Criterion = Callable[[Tensor, Tensor], Tensor]  # logits (B, C), labels (B,) or (B, C) → mean


@dataclass(frozen=True)
class Loss:
    total: Float[Tensor, ""]  # what is differentiated
    main: Float[Tensor, ""]  # without the penalties, detached: what is reported
    count: int  # targets that `main` is the mean of


@runtime_checkable
class TokensAndTargets(Protocol):
    @property
    def tokens(self) -> Int[Tensor, "B T"]: ...
    @property
    def targets(self) -> Int[Tensor, "B T"]: ...


@runtime_checkable
class LabelledDocuments(Protocol):
    @property
    def tokens(self) -> Int[Tensor, "B T"]: ...
    @property
    def lengths(self) -> Int[Tensor, " B"]: ...
    @property
    def labels(self) -> Int[Tensor, " B"] | Float[Tensor, " B"] | Float[Tensor, "B C"]: ...


def lm_loss(
    net: LMNet,
    batch: TokensAndTargets,
    carry: State | None,
    *,
    ar: float = 2.0,
    tar: float = 1.0,
    sampler: Sampler | None = None,
) -> tuple[Loss, State]:
    """Mean cross-entropy of the next tokens, and the detached state for the next batch.

    A `sampler` replaces the full softmax in training only; evaluation is always exact.
    """
    out = net(batch.tokens, carry)
    features, targets = out.dropped.flatten(0, 1), batch.targets.flatten()
    weight, bias = net.encoder.embedding.weight, net.decoder_bias
    if sampler is not None and net.training:
        main = sampled_cross_entropy(features, weight, bias, targets, *sampler())
    else:
        main = linear_cross_entropy(features, weight, bias, targets)
    total = main
    if net.training:
        total = main + ar_loss(out.dropped, alpha=ar) + tar_loss(out.raw, beta=tar)
    return Loss(total, main.detach(), targets.numel()), detach(out.state)


def classifier_loss(
    net: ClassifierNet,
    batch: LabelledDocuments,
    carry: None,
    *,
    criterion: Criterion = F.cross_entropy,
    ar: float = 2.0,
    tar: float = 1.0,
    frozen: Callable[[ClassifierNet, Any], Tensor | None] | None = None,
) -> tuple[Loss, None]:
    """Mean of the `criterion`, by default cross-entropy of one class; the penalties run over pooled tokens, not over padding.

    `frozen` gives pooled features where they are known without reading (`FrozenFeatures`), else `None`.
    """
    pooled = frozen(net, batch) if frozen and net.training else None
    if pooled is not None:
        main = criterion(net.head(pooled), batch.labels)
        return Loss(main, main.detach(), batch.labels.numel()), None
    out = net(batch.tokens, batch.lengths)
    main = criterion(out.logits, batch.labels)
    total = main
    if net.training and out.output.requires_grad:  # a frozen encoder has nothing to penalise
        total = main + ar_loss(out.output, out.kept, alpha=ar)
        total = total + tar_loss(out.output, out.kept, beta=tar)
    return Loss(total, main.detach(), batch.labels.numel()), None


def weighted_cross_entropy(
    logits: Float[Tensor, "B C"],
    labels: Int[Tensor, " B"],
    *,
    weights: Float[Tensor, " C"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Cross-entropy of one class: its mean by the weights of the classes, its target (1 − s) of the label and s spread over all."""
    weights = None if weights is None else weights.to(logits.device)
    return F.cross_entropy(logits.float(), labels, weights, label_smoothing=smoothing)


def binary_cross_entropy(
    logits: Float[Tensor, "B C"],
    labels: Float[Tensor, "B C"],
    *,
    weights: Float[Tensor, "2 C"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean over texts and labels, each label yes (1) or no (0) for itself. `weights`: of a label's no and yes; `smoothing`:
    s makes them 1 − s/2 and s/2."""
    weight = (
        None if weights is None else torch.where(labels > 0, *weights.to(logits.device).flip(0))
    )
    targets = labels * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits.float(), targets, weight)


def in_range(logits: Float[Tensor, "B 1"], low: float, high: float) -> Float[Tensor, "B 1"]:
    """Numbers between `low` and `high`: a scaled sigmoid (fastai's `SigmoidRange`)."""
    return low + (high - low) * logits.float().sigmoid()


def range_loss(
    logits: Float[Tensor, "B 1"], labels: Float[Tensor, " B"], *, low: float, high: float
) -> Float[Tensor, ""]:
    """Mean squared error of numbers, in units of their range, so that learning rates do not depend on it."""
    return F.mse_loss(in_range(logits, low, high)[:, 0], labels) / (high - low) ** 2


def ar_loss(
    dropped: Float[Tensor, "B T E"], mask: Bool[Tensor, "B T"] | None = None, *, alpha: float = 2.0
) -> Float[Tensor, ""]:
    """Activation regularisation, keeps the output small: alpha · mean(dropped²) of real tokens."""
    return alpha * _mean_square(dropped, mask)


def tar_loss(
    raw: Float[Tensor, "B T E"], mask: Bool[Tensor, "B T"] | None = None, *, beta: float = 1.0
) -> Float[Tensor, ""]:
    """Temporal AR, keeps the output slow: beta · mean((raw[t+1] − raw[t])²) of real neighbours."""
    pairs = None if mask is None else mask[:, 1:] & mask[:, :-1]
    return beta * _mean_square(raw[:, 1:] - raw[:, :-1], pairs)


def _mean_square(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the features of masked positions; 0 if there are none (one-token documents)."""
    squares = x.float().pow(2)
    if mask is None:
        return squares.sum() / max(squares.numel(), 1)
    return (squares * mask[..., None]).sum() / (mask.sum() * x.shape[-1]).clamp(min=1)
