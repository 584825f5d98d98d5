import pytest
import torch
import torch.nn.functional as F

from ulmfit.config import PAD_ID
from ulmfit.nn import dropout
from ulmfit.nn.dropout import (
    dropout_mask,
    elementwise_dropout,
    embedding_dropout,
    variational_dropout,
    weight_dropout,
)


@pytest.mark.parametrize("p", [0.0, 0.02, 0.3, 0.5, 0.9, 1 - 1e-6])
def test_mask_keeps_the_expected_value(p: float) -> None:
    mask = dropout_mask((2000, 501), p, torch.ones(()))  # no multiple of four
    share, scale = (mask > 0).double().mean().item(), mask.max().item()
    assert mask.unique().tolist() == ([0.0, scale] if p else [1.0])
    assert share == pytest.approx(1 / scale, abs=5 * (p / scale / mask.numel()) ** 0.5 + 1e-9)
    if p <= 0.9:  # p is a multiple of 1/65,536, and never quite 1
        assert scale == pytest.approx(1 / (1 - p), rel=1e-4)


def test_neighbours_in_a_mask_are_independent() -> None:
    """Four elements come out of one random number."""
    kept = (dropout_mask((1_000_000,), 0.5, torch.ones(())) > 0).double() - 0.5
    for step in (1, 2, 3, 4):
        assert abs(float((kept[step:] * kept[:-step]).mean())) < 5 * 0.25 / 1000


def test_masks_repeat_with_the_random_state() -> None:
    state = torch.get_rng_state()
    mask = dropout_mask((33, 7), 0.3, torch.ones(()))
    torch.set_rng_state(state)
    assert torch.equal(mask, dropout_mask((33, 7), 0.3, torch.ones(())))


@pytest.mark.parametrize("p", [1.0, -0.1, 1.5])
def test_impossible_probability(p: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        dropout_mask((2, 2), p, torch.ones(()))


def test_one_mask_for_all_time_steps_another_for_each_row() -> None:
    dropped = variational_dropout(torch.ones(3, 7, 50), 0.5, True)
    assert (dropped == dropped[:, :1]).all()
    assert not torch.equal(dropped[0], dropped[1])


def test_nothing_happens_in_evaluation_or_with_p_zero() -> None:
    x, matrix = torch.randn(2, 3, 4), torch.randn(3, 4)
    for p, training in ((0.5, False), (0.0, True)):
        assert variational_dropout(x, p, training) is x
        assert weight_dropout(matrix, p, training) is matrix
        assert elementwise_dropout(matrix, p, training) is matrix
        assert embedding_dropout(x, torch.tensor([[0, 2, 1]] * 2), 5, p, training) is x


def test_embedding_dropout_equals_masking_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = dropout_mask((20, 1), 0.4, torch.ones(()))
    monkeypatch.setattr(dropout, "dropout_mask", lambda shape, p, like: mask)
    tokens = torch.randint(0, 20, (4, 9))
    tokens[0, 0] = PAD_ID
    weights = [torch.randn(20, 5, requires_grad=True)]
    weights.append(weights[0].detach().clone().requires_grad_())
    embedded = F.embedding(tokens, weights[0], padding_idx=PAD_ID)
    gathered = embedding_dropout(embedded, tokens, 20, 0.4, True)
    masked = F.embedding(tokens, weights[1] * mask, padding_idx=PAD_ID)
    assert torch.equal(gathered, masked)

    upstream = torch.randn_like(gathered)
    gathered.backward(upstream)
    masked.backward(upstream)
    torch.testing.assert_close(weights[0].grad, weights[1].grad)
    assert weights[0].grad is not None
    assert not weights[0].grad[PAD_ID].any()


def test_a_dropped_word_is_dropped_everywhere() -> None:
    tokens = torch.randint(2, 20, (8, 40))
    dropped = embedding_dropout(torch.ones(8, 40, 3), tokens, 20, 0.5, True)[..., 0]
    for word in tokens.unique():
        assert len(dropped[tokens == word].unique()) == 1


def test_weight_dropout_is_elementwise() -> None:
    zeros = weight_dropout(torch.ones(100, 100), 0.25, True) == 0
    assert zeros.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert 0 < zeros[0].sum() < 100
    assert 0 < zeros[:, 0].sum() < 100
