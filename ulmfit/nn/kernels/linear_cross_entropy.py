"""Decoder and cross-entropy in one, without the N×V matrix of logits.

Exact: loss and gradients equal `reference` up to rounding. The logits of a language model are its
largest tensor (64 × 70 tokens × 30,000 words: 540 MB, and as much again for their gradient). Here a
few rows are processed at a time, and each piece gives its loss and its gradients at once.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from ulmfit.shapes import Float, Int, Tensor

# Rows of logits held at a time. On a CPU 31 MB at 30,000 words; speed is flat from 128 to 1024. On a GPU each piece reads and
# writes the V×E gradient in memory, so pieces are larger; not measured yet (benchmarks/gpu_step.py).
ROWS, GPU_ROWS = 256, 4096


def linear_cross_entropy(
    features: Float[Tensor, "N E"],
    weight: Float[Tensor, "V E"],
    bias: Float[Tensor, " V"],
    targets: Int[Tensor, " N"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `features @ weight.T + bias`, in nats. Not twice differentiable."""
    grads = torch.is_grad_enabled()  # inside an autograd function it always reads False
    return _LinearCrossEntropy.apply(features, weight, bias, targets, grads)


def reference(
    features: Float[Tensor, "N E"],
    weight: Float[Tensor, "V E"],
    bias: Float[Tensor, " V"],
    targets: Int[Tensor, " N"],
) -> Float[Tensor, ""]:
    """The same in PyTorch's own functions."""
    return F.cross_entropy(F.linear(features, weight, bias), targets)


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradients are computed in `forward`, unscaled; `backward` multiplies them by grad/N.

    Scaling last keeps half precision safe: the loss scale arrives together with 1/N.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, grads: bool
    ) -> Tensor:
        d_features, d_weight, d_bias = (
            torch.zeros_like(x) if grads and needed else None
            for x, needed in zip((features, weight, bias), ctx.needs_input_grad[:3], strict=True)
        )
        loss = torch.zeros((), device=features.device)
        # Under autocast the features may be in half precision, which the weights never are:
        # multiply in the features' precision, take the softmax and sum up in full precision.
        decoder, shift = weight.to(features.dtype), bias.to(features.dtype)
        # One buffer for all pieces: on a CPU fresh memory pages cost more than the softmax in them.
        at_once = ROWS if features.device.type == "cpu" else GPU_ROWS
        logits = features.new_empty(min(at_once, len(features)), len(weight))
        log_p = torch.empty_like(logits, dtype=torch.float32)
        is_fp32 = logits.dtype == log_p.dtype
        with torch.autocast(features.device.type, enabled=False):
            for start in range(0, len(features), at_once):
                x, y = features[start : start + at_once], targets[start : start + at_once, None]
                logits, log_p = logits[: len(x)], log_p[: len(x)]
                torch.addmm(shift, x, decoder.t(), out=logits)
                torch.log_softmax(logits if is_fp32 else log_p.copy_(logits), 1, out=log_p)
                loss -= log_p.gather(1, y).sum()
                if d_features is None and d_weight is None and d_bias is None:
                    continue
                # gradient of the loss with respect to the logits: softmax minus one-hot
                error = log_p.exp_().scatter_add_(1, y, log_p.new_full((), -1.0).expand_as(y))
                if d_bias is not None:
                    d_bias += error.sum(0)
                error = error if is_fp32 else logits.copy_(error)
                if d_features is not None:
                    d_features[start : start + at_once] = error @ decoder
                if d_weight is not None and d_weight.dtype == x.dtype:
                    d_weight.addmm_(error.t(), x)
                elif d_weight is not None:
                    d_weight += error.t() @ x
        ctx.save_for_backward(d_features, d_weight, d_bias)
        ctx.count = len(features)
        return loss / len(features)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        scale = grad / ctx.count
        d_inputs = (d if d is None else d * scale.to(d.dtype) for d in ctx.saved_tensors)
        return (*d_inputs, None, None)
