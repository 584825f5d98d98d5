"""BatchNorm over the batch of all processes (PyTorch's own for that, SyncBatchNorm, refuses CPU tensors)."""

import torch
from torch import nn

from ulmfit.shapes import Float, Tensor
from ulmfit.world import World


def batch_norm(norm: nn.BatchNorm1d, x: Float[Tensor, "B P"], world: World) -> Float[Tensor, "B P"]:
    """`norm(x)` as if the rows of all processes were one batch: statistics, their gradients and the running averages.

    B may be 0 in this process; over all processes it must be 2 or more.
    """
    if world.size == 1 or not norm.training:
        return norm(x)
    x, count = x.float(), int(world.total(len(x)))
    if count < 2:
        raise ValueError("BatchNorm needs at least two documents in a batch, got one")
    mean = world.sum(x.sum(0)) / count
    centred = x - mean
    variance = world.sum(centred.square().sum(0)) / count
    _update(norm, mean.detach(), variance.detach() * count / (count - 1))
    return centred * (variance + norm.eps).rsqrt() * norm.weight + norm.bias


@torch.no_grad()
def _update(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None and norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
    norm.num_batches_tracked += 1
