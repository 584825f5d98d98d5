import pytest
import torch
from torch import Tensor

from ulmfit.nn.kernels.linear_cross_entropy import ROWS, linear_cross_entropy, reference

N, E, V = 2 * ROWS + 17, 8, 50


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, weight, bias = torch.randn(N, E), torch.randn(V, E), torch.randn(V)
    return features.to(dtype), weight.to(dtype), bias.to(dtype), torch.randint(0, V, (N,))


def gradients(function, inputs: tuple[Tensor, ...], wanted: tuple[bool, ...], factor: float):
    *floats, targets = (x.clone() for x in inputs)
    for x, want in zip(floats, wanted, strict=True):
        x.requires_grad_(want)
    loss = function(*floats, targets)
    (factor * loss).backward()
    return loss.detach(), [x.grad for x in floats]


@pytest.mark.parametrize(
    "wanted", [(True, True, True), (True, False, False), (False, True, True), (False, False, True)]
)
def test_equals_the_reference(wanted: tuple[bool, ...]) -> None:
    inputs = problem()
    got, got_grads = gradients(linear_cross_entropy, inputs, wanted, 3.0)
    want, want_grads = gradients(reference, inputs, wanted, 3.0)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    for a, b in zip(got_grads, want_grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_huge_logits_stay_finite() -> None:
    features, weight, bias, targets = problem()
    weight.mul_(1000).requires_grad_()
    loss = linear_cross_entropy(features, weight, bias, targets)
    loss.backward()
    torch.testing.assert_close(loss, reference(features, weight, bias, targets))
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_without_gradients() -> None:
    features, weight, bias, targets = problem()
    weight.requires_grad_()
    with torch.no_grad():
        loss = linear_cross_entropy(features, weight, bias, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, reference(features, weight, bias, targets).detach())


def test_backward_twice_gives_the_same() -> None:
    features, weight, bias, targets = problem()
    weight.requires_grad_()
    loss = linear_cross_entropy(features, weight, bias, targets)
    first, second = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_half_precision_features() -> None:
    """As under autocast: features in bfloat16, weights and their gradients in float32."""
    features, weight, bias, targets = problem()
    half = features.bfloat16().requires_grad_()
    weight.requires_grad_()
    loss = linear_cross_entropy(half, weight, bias, targets)
    loss.backward()
    want, (_, want_weight, _) = gradients(
        reference, (half.detach().float(), weight.detach(), bias, targets), (True, True, True), 1.0
    )
    assert half.grad is not None
    assert weight.grad is not None
    assert half.grad.dtype == torch.bfloat16
    assert weight.grad.dtype == torch.float32
    torch.testing.assert_close(loss.detach(), want, rtol=0.01, atol=0.01)
    torch.testing.assert_close(weight.grad, want_weight, rtol=0.05, atol=0.003)
