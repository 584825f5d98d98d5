"""Loading the recorded numbers, building our nets with the recorded weights, comparing."""

from pathlib import Path

import pytest
import torch
from fastai_names import renamed
from safetensors.torch import load_file
from torch import Tensor, nn

from ulmfit.config import CLASSIFIER_DROPOUT, LM_DROPOUT, NO_DROPOUT, Dropout, ModelConfig
from ulmfit.nn.heads import ClassifierNet, LMNet

GOLDENS = Path(__file__).parents[1] / "goldens"
VOCAB, CONFIG = 100, ModelConfig(embedding_size=12, hidden_size=20, layers=3)
BPTT, MAX_LEN = 8, 32
TOLERANCE = 1e-5  # of a tensor's largest absolute value
# BatchNorm over four rows blows up rounding: the recorded gradients of training lie up to 1.0e-4
# from those computed in float64, ours up to 0.5e-4.
BATCHNORM_TOLERANCE = 2e-4


def load(name: str) -> dict[str, Tensor]:
    return load_file(GOLDENS / f"{name}.safetensors")


def lm_net(dropout: Dropout = LM_DROPOUT) -> LMNet:
    net = LMNet(VOCAB, CONFIG, dropout)
    net.load_state_dict(renamed(load("lm_weights")))
    return net


def classifier_net(*, drop: bool = True, weights: str = "clas_weights", **head) -> ClassifierNet:
    dropout = CLASSIFIER_DROPOUT.scaled(0.5) if drop else NO_DROPOUT
    head = {"n_classes": 3, **head} if drop else {"n_classes": 3, "head_dropouts": (0.0, 0.0)}
    net = ClassifierNet(VOCAB, CONFIG, dropout, bptt=BPTT, max_len=MAX_LEN, **head)
    net.load_state_dict(renamed(load(weights), "" if weights == "clas_weights" else "w."))
    return net


def error(got: Tensor, want: Tensor) -> float:
    """Largest difference as a share of the largest recorded value."""
    assert got.shape == want.shape
    got, want = got.detach(), want.detach()
    return float((got - want).abs().max() / want.abs().max().clamp(min=1e-9))


def assert_same(got: Tensor, want: Tensor, what: str = "", tolerance: float = TOLERANCE) -> None:
    found = error(got, want)
    assert found <= tolerance, f"{what}: {found:.1e}"


def assert_grads(
    net: nn.Module,
    golden: dict[str, Tensor],
    prefix: str = "grad.",
    tolerance: float = TOLERANCE,
) -> None:
    want = renamed(golden, prefix)
    parameters = dict(net.named_parameters())
    assert set(want) == set(parameters)
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert_same(parameter.grad, want[name], name, tolerance)


def replay_masks(monkeypatch: pytest.MonkeyPatch, golden: dict[str, Tensor]) -> list[Tensor]:
    """Serves fastai's recorded masks in their order. Gives back those not yet used."""
    masks = [golden[name] for name in sorted(golden) if name.startswith("mask")]

    def recorded(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
        mask = masks.pop(0)
        assert tuple(mask.shape) == shape
        kept = mask[mask > 0]
        assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)))
        return mask

    monkeypatch.setattr("ulmfit.nn.dropout.dropout_mask", recorded)
    return masks
