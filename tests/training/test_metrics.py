"""Accuracy and macro-F1 against hand-made counts."""

import sys

import numpy as np
import pytest
import torch

from ulmfit.training.metrics import classification_metrics, log_loss


def test_by_hand() -> None:
    # class 0: precision 2/3, recall 1; class 1: never right; class 2: precision 1, recall 1/2
    found = classification_metrics([0, 0, 1, 2, 2], [0, 0, 0, 2, 1])
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 0 + 2 / 3) / 3)


def test_without_scikit_learn_macro_f1_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    assert classification_metrics([0, 1], [0, 0]) == {"accuracy": 0.5}


def test_log_loss_is_the_mean_cross_entropy_and_stays_finite() -> None:
    logits, truth = torch.randn(7, 3), [0, 1, 2, 2, 1, 0, 0]
    expected = float(torch.nn.functional.cross_entropy(logits, torch.tensor(truth)))
    assert log_loss(truth, logits.softmax(dim=1).numpy()) == pytest.approx(expected, rel=1e-5)
    assert 80 < log_loss([0], np.array([[0, 1]], np.float32)) < 90
