import copy
from dataclasses import replace

import pytest
import torch

from ulmfit.config import CLASSIFIER_DROPOUT, LM_DROPOUT, NO_DROPOUT, PAD_ID, ModelConfig
from ulmfit.nn.awd_lstm import AWDLSTM, State, detach

CONFIG = ModelConfig(embedding_size=6, hidden_size=10, layers=3)


@pytest.fixture
def encoder() -> AWDLSTM:
    return AWDLSTM(30, CONFIG, CLASSIFIER_DROPOUT)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(2, 30, (4, 11))


def test_shapes_and_names(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    output, state = encoder(tokens)
    assert output.shape == (4, 11, 6)
    assert [tuple(h.shape) for h, _ in state] == [(1, 4, 10), (1, 4, 10), (1, 4, 6)]
    assert "lstms.0.weight_hh_l0" in encoder.state_dict()
    assert len(encoder.state_dict()) == 1 + 3 * 4


def test_initial_weights() -> None:
    encoder = AWDLSTM(2000, CONFIG, NO_DROPOUT)
    weight = encoder.embedding.weight
    assert weight.abs().max().item() == pytest.approx(0.1, abs=1e-3)
    assert weight[PAD_ID].any()
    for i, units in enumerate((10, 10, 6)):
        assert all(p.abs().max() <= units**-0.5 for p in encoder.layer_parameters(i))


def test_one_long_call_equals_pieces_with_carried_state(
    encoder: AWDLSTM, tokens: torch.Tensor
) -> None:
    encoder.eval()
    whole = encoder(tokens)
    state: State | None = None
    pieces = []
    for piece in tokens.split([4, 1, 6], dim=1):
        output, state = encoder(piece, state)
        pieces.append(output)
    assert state is not None
    torch.testing.assert_close(torch.cat(pieces, 1), whole.output)
    for got, want in zip(state, whole.state, strict=True):
        torch.testing.assert_close(got, want)


def test_rows_do_not_see_each_other(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    encoder.eval()
    torch.testing.assert_close(encoder(tokens[2:3]).output[0], encoder(tokens).output[2])


def test_a_state_of_another_batch_size_is_refused(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    _, state = encoder(tokens)
    with pytest.raises(ValueError, match="4 rows but the batch has 3"):
        encoder(tokens[:3], state)


def test_detach_stops_the_gradient(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    _, state = encoder(tokens)
    assert all(x.requires_grad for pair in state for x in pair)
    assert not any(x.requires_grad for pair in detach(state) for x in pair)


def test_training_is_random_and_evaluation_is_not(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    encoder.train()
    assert not torch.equal(encoder(tokens).output, encoder(tokens).output)
    encoder.eval()
    assert torch.equal(encoder(tokens).output, encoder(tokens).output)


def test_dropout_can_be_replaced(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    want = encoder.eval()(tokens).output
    encoder.dropout = NO_DROPOUT
    torch.testing.assert_close(encoder.train()(tokens).output, want)


def test_masks_are_drawn_where_they_belong(
    encoder: AWDLSTM, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def record(shape: tuple[int, ...], p: float, like: torch.Tensor) -> torch.Tensor:
        drawn.append((shape, p))
        return torch.ones(shape)

    monkeypatch.setattr("ulmfit.nn.dropout.dropout_mask", record)
    encoder.train()(tokens)
    p = CLASSIFIER_DROPOUT
    assert drawn == [
        ((30, 1), p.embedding),
        ((4, 1, 6), p.input),
        ((40, 10), p.weight),
        ((4, 1, 10), p.hidden),
        ((40, 10), p.weight),
        ((4, 1, 10), p.hidden),
        ((24, 6), p.weight),  # and no hidden dropout behind the last layer
    ]


def test_weight_dropout_masks_the_recurrent_matrix_only(
    encoder: AWDLSTM, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All-zero masks must equal zero recurrent matrices, with every other weight untouched."""
    monkeypatch.setattr("ulmfit.nn.dropout.dropout_mask", lambda shape, p, like: torch.zeros(shape))
    encoder.dropout = replace(NO_DROPOUT, weight=0.5)
    before = copy.deepcopy(encoder.state_dict())
    got = encoder.train()(tokens).output
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name])
    with torch.no_grad():
        for lstm in encoder.lstms:
            lstm.get_parameter("weight_hh_l0").zero_()
    torch.testing.assert_close(got, encoder.eval()(tokens).output)


def test_gradients_reach_every_parameter(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    encoder.dropout = LM_DROPOUT
    encoder.train()(tokens).output.pow(2).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_frozen_layers_get_no_gradient(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    encoder.embedding.requires_grad_(False)
    encoder.lstms[0].requires_grad_(False)
    encoder.train()(tokens).output.sum().backward()
    assert encoder.embedding.weight.grad is None
    assert all(p.grad is None for p in encoder.layer_parameters(0))
    assert all(p.grad is not None for p in encoder.layer_parameters(1))


def test_copies_after_training_work(encoder: AWDLSTM, tokens: torch.Tensor) -> None:
    """Weight dropout leaves nothing behind in the LSTM that could not be copied."""
    encoder.train()(tokens).output.sum().backward()
    twin = copy.deepcopy(encoder).eval()
    torch.testing.assert_close(twin(tokens).output, encoder.eval()(tokens).output)
