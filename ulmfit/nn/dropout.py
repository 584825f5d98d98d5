"""The kinds of dropout in an AWD-LSTM (Merity et al. 2017, §2 and §4) and its classifier, as functions.

All randomness comes from `dropout_mask`, so that a recorded mask can stand in for a drawn one.
With `p = 0` or `training = False` every function gives back its input itself, not a copy.
"""

import math

import torch
import torch.nn.functional as F

from ulmfit.shapes import Float, Int, Tensor


def dropout_mask(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
    """Zeros with probability `p`, else 1/(1−p), so that the expected product is unchanged."""
    if not 0.0 <= p < 1.0:
        raise ValueError(
            f"a dropout probability must lie in [0, 1), got {p}: lower the dropout scale"
        )
    if like.device.type != "cpu":
        return like.new_empty(shape).bernoulli_(1.0 - p).div_(1.0 - p)
    return _mask_of_bits(shape, p).to(like.dtype)


def _mask_of_bits(shape: tuple[int, ...], p: float) -> Tensor:
    """`dropout_mask` on a CPU, five times faster than `bernoulli_`: sixteen random bits decide an element.

    So `p` is rounded to a multiple of 1/65,536, and the scale follows the rounded value.
    """
    size, kept = math.prod(shape), max(1, round((1.0 - p) * 65536))
    draws = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:size]
    return (bits <= kept - 32769).view(shape).float().mul_(65536 / kept)


def variational_dropout(
    x: Float[Tensor, "B T F"], p: float, training: bool
) -> Float[Tensor, "B T F"]:
    """Drops features of each row, the same at all time steps (AWD §4.2)."""
    if not training or p == 0.0:
        return x
    return x * dropout_mask((x.shape[0], 1, x.shape[2]), p, x)


def embedding_dropout(
    embedded: Float[Tensor, "B T E"],
    tokens: Int[Tensor, "B T"],
    vocab_size: int,
    p: float,
    training: bool,
) -> Float[Tensor, "B T E"]:
    """The embedded tokens with whole words dropped, wherever they occur in the batch (AWD §4.3).

    Equal to masking the rows of the whole table first, without the copy of the table.
    """
    if not training or p == 0.0:
        return embedded
    return embedded * F.embedding(tokens, dropout_mask((vocab_size, 1), p, embedded))


def weight_dropout(weight: Float[Tensor, "G H"], p: float, training: bool) -> Float[Tensor, "G H"]:
    """DropConnect on a hidden-to-hidden matrix (AWD §2): one mask for all time steps of a call."""
    if not training or p == 0.0:
        return weight
    return weight * dropout_mask(tuple(weight.shape), p, weight)


def elementwise_dropout(x: Float[Tensor, "B F"], p: float, training: bool) -> Float[Tensor, "B F"]:
    """Ordinary dropout, for the classifier's head."""
    if not training or p == 0.0:
        return x
    return x * dropout_mask(tuple(x.shape), p, x)
