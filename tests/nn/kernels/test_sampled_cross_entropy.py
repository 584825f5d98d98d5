import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ulmfit.nn.kernels import sampled_cross_entropy as kernel
from ulmfit.nn.kernels.linear_cross_entropy import reference
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler, sampled_cross_entropy

N, E, V = 64, 8, 200


@pytest.fixture
def problem() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, weight = torch.randn(N, E), torch.randn(V, E) * 0.5
    return features, weight.requires_grad_(), torch.randn(V), torch.randint(0, V, (N,))


def counts() -> Tensor:
    return 10_000 // torch.arange(1, V + 1)  # Zipf


def test_every_word_once_is_exact(problem: tuple[Tensor, ...]) -> None:
    features, weight, bias, targets = problem
    sampled = sampled_cross_entropy(*problem, torch.arange(V), torch.zeros(V))
    full = reference(features, weight, bias, targets)
    torch.testing.assert_close(sampled, full)
    got, want = (torch.autograd.grad(loss, weight)[0] for loss in (sampled, full))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_rows_in_pieces_equal_the_whole_matrix(
    problem: tuple[Tensor, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, weight, bias, targets = problem
    features, bias = features.requires_grad_(), bias.requires_grad_()
    negatives, corrections = NegativeSampler(counts(), 150)()
    monkeypatch.setattr(kernel, "ROWS", 10)
    fast = sampled_cross_entropy(features, weight, bias, targets, negatives, corrections)
    target = (features * weight[targets]).sum(1) + bias[targets]
    plain = kernel.reference(
        features,
        target,
        weight[negatives],
        bias[negatives] + corrections,
        targets,
        negatives,
    )
    torch.testing.assert_close(fast, plain)
    for got, want in zip(
        *(torch.autograd.grad(loss, (features, weight, bias)) for loss in (fast, plain)),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def test_many_negatives_approach_the_full_loss(problem: tuple[Tensor, ...]) -> None:
    features, weight, bias, targets = problem
    sampled = sampled_cross_entropy(*problem, *NegativeSampler(counts(), 200_000)())
    full = reference(features, weight, bias, targets)
    assert sampled.item() == pytest.approx(full.item(), abs=0.01)
    got, want = (torch.autograd.grad(loss, weight)[0].flatten() for loss in (sampled, full))
    assert F.cosine_similarity(got, want, dim=0) > 0.999


def test_few_negatives_give_the_full_loss_on_average(problem: tuple[Tensor, ...]) -> None:
    features, weight, bias, targets = problem
    sampler = NegativeSampler(counts(), 100)
    losses, grads = [], []
    for _ in range(200):
        loss = sampled_cross_entropy(*problem, *sampler())
        losses.append(loss.item())
        grads.append(torch.autograd.grad(loss, weight)[0].flatten())
    full = reference(features, weight, bias, targets)
    mean = sum(losses) / len(losses)
    assert full.item() - 0.1 < mean < full.item()  # the logarithm makes it a little low
    want = torch.autograd.grad(full, weight)[0].flatten()
    assert F.cosine_similarity(torch.stack(grads).mean(0), want, dim=0) > 0.99


def test_only_hits_still_give_a_finite_gradient() -> None:
    features, weight = torch.randn(3, E), torch.randn(V, E).requires_grad_()
    targets, negatives = torch.full((3,), 7), torch.tensor([7])
    loss = sampled_cross_entropy(
        features, weight, torch.zeros(V), targets, negatives, torch.zeros(1)
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_sampler_draws_what_it_expects() -> None:
    words, corrections = (sampler := NegativeSampler(counts(), 400_000))()
    assert torch.equal(words, torch.arange(V))
    torch.testing.assert_close(corrections, torch.zeros(V), rtol=0.0, atol=0.15)
    times = (corrections + sampler.log_expected).exp()
    assert times.sum().item() == pytest.approx(400_000, rel=1e-4)


def test_a_word_drawn_twice_counts_twice(problem: tuple[Tensor, ...]) -> None:
    """The reference takes repetitions as they are."""
    features, weight, bias, targets = problem
    state, sampler = torch.get_rng_state(), NegativeSampler(counts(), 300)
    words, _ = distinct = sampler()
    torch.set_rng_state(state)
    drawn = torch.searchsorted(sampler.cumulative, torch.rand(300, dtype=torch.float64))
    assert len(words) < 200 and set(words.tolist()) == set(drawn.tolist())
    shifts = bias[drawn] - sampler.log_expected[drawn].float()
    target = (features * weight[targets]).sum(1) + bias[targets]
    repeated = kernel.reference(features, target, weight[drawn], shifts, targets, drawn)
    merged = sampled_cross_entropy(*problem, *distinct)
    torch.testing.assert_close(merged, repeated)
    got, want = (torch.autograd.grad(loss, weight)[0] for loss in (merged, repeated))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def test_sampler_repeats_itself_from_a_saved_random_state() -> None:
    sampler, state = NegativeSampler(counts().numpy(), 50), torch.get_rng_state()
    first, _ = sampler()
    torch.set_rng_state(state)
    assert torch.equal(sampler()[0], first)
    assert not torch.equal(sampler()[0], first)


def test_words_that_never_occur_can_be_drawn() -> None:
    words, corrections = NegativeSampler(torch.tensor([0, 5, 0]), 100).to("cpu")()
    assert words.tolist() == [0, 1, 2] and corrections.isfinite().all()
