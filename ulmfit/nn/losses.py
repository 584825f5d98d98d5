"""What training minimises: cross-entropy (for numbers squared error) and AWD-LSTM's two activation penalties (AWD §4.6).

Loss functions share one signature, `(net, batch, carry) -> (Loss, carry)`, so that one training
loop serves both tasks. `carry` is the LSTM state of the token streams; documents carry nothing.

Where the processes of a `World` share a batch, each mean is over the whole batch: a process's loss is its part of the
sum, divided by the count of all processes, so that losses and gradients add up.
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
from ulmfit.world import ALONE, World

Sampler = Callable[[], tuple[Tensor, Tensor]]  # → negatives (K,), corrections (K,)
Criterion = Callable[..., Tensor]  # logits (B, C), labels (B,) or (B, C), world= → mean


@dataclass(frozen=True)
class Loss:
    total: Float[Tensor, ""]  # what is differentiated
    main: Float[Tensor, ""]  # without the penalties, of all processes, detached: what is reported
    count: int  # targets of this process


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
    world: World = ALONE,
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
    # this process's share of the tokens, by which its means count
    share = targets.numel() / world.total(targets.numel())
    main = world.total(main.detach() * share)
    return Loss(total * share, main, targets.numel()), detach(out.state)


def classifier_loss(
    net: ClassifierNet,
    batch: LabelledDocuments,
    carry: None,
    *,
    criterion: Criterion | None = None,
    ar: float = 2.0,
    tar: float = 1.0,
    frozen: Callable[[ClassifierNet, Any], Tensor | None] | None = None,
    world: World = ALONE,
) -> tuple[Loss, None]:
    """Mean of the `criterion`, by default cross-entropy of one class; the penalties are over pooled tokens, without padding.

    `frozen` gives the pooled features where they are stored (`FrozenFeatures`), else `None`.
    """
    criterion, count = criterion or weighted_cross_entropy, batch.labels.numel()
    pooled = frozen(net, batch) if frozen and net.training else None
    if pooled is not None:
        main = criterion(net.head(pooled, world), batch.labels, world=world)
        return Loss(main, world.total(main.detach()), count), None
    out = net(batch.tokens, batch.lengths, world)
    main = criterion(out.logits, batch.labels, world=world)
    total = main
    # A frozen encoder has nothing to penalise. Its weights tell, since a process without documents must decide the same.
    if net.training and any(p.requires_grad for p in net.encoder.parameters()):
        total = main + ar_loss(out.output, out.kept, alpha=ar, world=world)
        total = total + tar_loss(out.output, out.kept, beta=tar, world=world)
    return Loss(total, world.total(main.detach()), count), None


def weighted_cross_entropy(
    logits: Float[Tensor, "B C"],
    labels: Int[Tensor, " B"],
    *,
    weights: Float[Tensor, " C"] | None = None,
    smoothing: float = 0.0,
    world: World = ALONE,
) -> Float[Tensor, ""]:
    """Cross-entropy of one class: the mean weighted by class; `smoothing` s: targets are (1 − s) for the label, and s spread
    over all classes."""
    weights = None if weights is None else weights.to(logits.device)
    summed = F.cross_entropy(
        logits.float(), labels, weights, label_smoothing=smoothing, reduction="sum"
    )
    return summed / world.total(len(labels) if weights is None else weights[labels].sum())


def binary_cross_entropy(
    logits: Float[Tensor, "B C"],
    labels: Float[Tensor, "B C"],
    *,
    weights: Float[Tensor, "2 C"] | None = None,
    smoothing: float = 0.0,
    world: World = ALONE,
) -> Float[Tensor, ""]:
    """Mean over documents and labels of binary cross-entropy: each label is a yes (1) or no (0) of its own. `weights`: of
    each label's no and yes; `smoothing` s: targets are 1 − s/2 and s/2."""
    weight = (
        None if weights is None else torch.where(labels > 0, *weights.to(logits.device).flip(0))
    )
    targets = labels * (1 - smoothing) + smoothing / 2
    summed = F.binary_cross_entropy_with_logits(logits.float(), targets, weight, reduction="sum")
    return summed / world.total(labels.numel())


def in_range(logits: Float[Tensor, "B 1"], low: float, high: float) -> Float[Tensor, "B 1"]:
    """Numbers between `low` and `high`: a scaled sigmoid (fastai's `SigmoidRange`)."""
    return low + (high - low) * logits.float().sigmoid()


def range_loss(
    logits: Float[Tensor, "B 1"],
    labels: Float[Tensor, " B"],
    *,
    low: float,
    high: float,
    world: World = ALONE,
) -> Float[Tensor, ""]:
    """Mean squared error, in units of the range, so that learning rates do not depend on it."""
    summed = F.mse_loss(in_range(logits, low, high)[:, 0], labels, reduction="sum")
    return summed / world.total(len(labels)) / (high - low) ** 2


def ar_loss(
    dropped: Float[Tensor, "B T E"],
    mask: Bool[Tensor, "B T"] | None = None,
    *,
    alpha: float = 2.0,
    world: World = ALONE,
) -> Float[Tensor, ""]:
    """Activation regularisation, keeps the output small: alpha · mean(dropped²) of real tokens."""
    return alpha * _mean_square(dropped, mask, world)


def tar_loss(
    raw: Float[Tensor, "B T E"],
    mask: Bool[Tensor, "B T"] | None = None,
    *,
    beta: float = 1.0,
    world: World = ALONE,
) -> Float[Tensor, ""]:
    """Temporal AR, makes the output change slowly: beta · mean((raw[t+1] − raw[t])²) of real neighbours."""
    pairs = None if mask is None else mask[:, 1:] & mask[:, :-1]
    return beta * _mean_square(raw[:, 1:] - raw[:, :-1], pairs, world)


def _mean_square(x: Tensor, mask: Tensor | None, world: World) -> Tensor:
    """Mean over features and the positions where `mask` is True; 0 if there are none (one-token documents)."""
    squares = x.float().pow(2)
    if mask is None:
        return squares.sum() / max(world.total(squares.numel()), 1)
    return (squares * mask[..., None]).sum() / (world.total(mask.sum()) * x.shape[-1]).clamp(min=1)
