"""Accuracy and macro-F1 against hand-made counts."""

import sys

import numpy as np
import pytest
import torch

from ulmfit.training.metrics import (
    binary_log_loss,
    classification_metrics,
    log_loss,
    multi_label_metrics,
    number_metrics,
)


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


def test_several_labels_by_hand() -> None:
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    rows = np.array([[0.9, 0.6, 0.1], [0.5, 0.4, 0.2], [0.2, 0.8, 0.3]], np.float32)
    found = multi_label_metrics(truth, rows)
    # given: a a· right twice; b once right, once wrong, once missed; c neither there nor given
    assert found["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert found["macro_f1"] == pytest.approx((1 + 2 / 4 + 0) / 3)
    # b: by rank 0.8 (right), 0.6 (wrong), 0.4 (right); c is left out, as nothing can be ranked
    assert found["average_precision"] == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    nothing = multi_label_metrics(truth * 0, rows * 0)
    assert nothing == {"micro_f1": 0.0, "macro_f1": 0.0}


def test_f1_of_several_labels_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(0)
    truth, rows = (draw.random((50, 6)) > 0.6), draw.random((50, 6))
    found = multi_label_metrics(truth.astype(np.float32), rows)
    for average in ("micro", "macro"):
        wanted = f1_score(truth, rows >= 0.5, average=average)  # pyright: ignore
        assert found[f"{average}_f1"] == pytest.approx(wanted)


def test_numbers_by_hand() -> None:
    found = number_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0], np.float32))
    assert found == pytest.approx({"mae": 1.0, "rmse": (5 / 3) ** 0.5, "r2": 1 - 5 / 2})
    for number in (2.0, 0.1):  # the mean of seven 0.1 in fp32 is another number
        same = np.full(7, number, np.float32)
        assert number_metrics(same, same + 1).keys() == {"mae", "rmse"}


def test_binary_log_loss_stays_finite() -> None:
    logits, truth = torch.randn(7, 3), (torch.rand(7, 3) > 0.5).float()
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    found = binary_log_loss(truth.numpy(), logits.sigmoid().numpy())
    assert found == pytest.approx(float(wanted), rel=1e-5)
    assert 80 < binary_log_loss(np.array([[1, 0]]), np.array([[0, 1]], np.float32)) < 90
