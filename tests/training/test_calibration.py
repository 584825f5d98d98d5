"""Temperature, calibration error and thresholds, as functions of numbers."""

import numpy as np
import pytest
import torch

from ulmfit.training.calibration import (
    BINS,
    Calibration,
    calibration_error,
    fit_temperature,
    lower_bound,
    precision_of,
    reliability,
    tempered,
    thresholds,
)


def drawn(n: int, classes: int, heat: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `heat` times too large, and labels drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, classes))
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random((n, 1)) > right.cumsum(1)[:, :-1]).sum(1)
    return tempered(right, 1 / heat).astype(np.float32), truth


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("heat", [0.1, 0.5, 1.0, 3.0, 6.0])
def test_the_temperature_is_found_again(classes: int, heat: float) -> None:
    rows, truth = drawn(4_000, classes, heat)
    assert fit_temperature(rows, truth) == pytest.approx(heat, rel=0.1)


def test_no_other_temperature_has_a_lower_loss() -> None:
    rows, truth = drawn(2_000, 3, 2.0)
    best = fit_temperature(rows, truth)

    def loss(temperature: float) -> float:
        return float(-np.log(tempered(rows, temperature)[np.arange(len(truth)), truth]).mean())

    assert all(loss(best) <= loss(best * factor) + 1e-6 for factor in (0.5, 0.95, 1.05, 2.0))


def test_tempered_probabilities_are_those_of_divided_logits() -> None:
    logits = torch.randn(20, 4)
    rows = logits.softmax(1).numpy()
    wanted = (logits / 2.5).softmax(1).numpy()
    np.testing.assert_allclose(tempered(rows, 2.5), wanted, atol=1e-6)
    assert tempered(rows, 1.0) is rows
    np.testing.assert_array_equal(tempered(rows, 2.5).argmax(1), rows.argmax(1))


def test_few_documents_all_right_give_no_extreme_temperature() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], np.float32)
    assert 0.2 < fit_temperature(rows, [0, 1, 0]) < 1
    assert fit_temperature(rows[:0], []) == 1.0
    certain = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)  # a probability that became 0
    assert fit_temperature(certain, [0, 1]) > 1


def test_the_error_by_hand() -> None:
    rows = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], np.float32)
    truth = [0, 1, 1, 1]  # 0.9 is right half of the time, 0.6 always
    assert calibration_error(rows, truth, bins=2, equal="mass") == pytest.approx(0.4, abs=1e-6)
    assert calibration_error(rows, truth, bins=4, equal="width") == pytest.approx(0.4, abs=1e-6)
    assert calibration_error(rows, truth, bins=2, equal="width") == pytest.approx(0, abs=1e-6)
    bins = reliability(rows, truth, bins=10, equal="width")
    assert [(b.documents, b.accuracy) for b in bins] == [(2, 1.0), (2, 0.5)]
    assert calibration_error(rows[:0], []) == 0


@pytest.mark.parametrize("equal", ["mass", "width"])
def test_bins_hold_every_document_once(equal: str) -> None:
    rows, truth = drawn(1_000, 3, 2.0)
    bins = reliability(rows, truth, equal=equal)  # pyright: ignore[reportArgumentType]
    assert sum(b.documents for b in bins) == 1_000
    accuracy = sum(b.documents * b.accuracy for b in bins) / 1_000
    assert accuracy == pytest.approx((rows.argmax(1) == truth).mean())
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    if equal == "mass":
        assert len(bins) == BINS and {b.documents for b in bins} == {66, 67}


def test_the_right_temperature_takes_the_error_away() -> None:
    rows, truth = drawn(20_000, 3, 3.0)
    assert calibration_error(rows, truth) > 0.15
    assert calibration_error(tempered(rows, 3.0), truth) < 0.02


def test_thresholds_keep_their_promise_on_other_documents() -> None:
    """Nineteen times of twenty, or nearly; the plain share would keep it half of the time."""
    kept = total = 0
    for seed in range(40):
        rows, truth = drawn(3_000, 2, 1.0, seed)
        found = thresholds(rows[:1_000], truth[:1_000], ("a", "b"), 0.9)
        for number, threshold in enumerate(found.values()):
            sure = (rows[1_000:].argmax(1) == number) & (rows[1_000:].max(1) >= (threshold or 2))
            total += 1
            kept += threshold is None or (truth[1_000:][sure] == number).mean() >= 0.88
    assert kept / total >= 0.95


def test_too_few_documents_are_never_sure() -> None:
    rows = np.tile(np.array([[0.99, 0.01]], np.float32), (51, 1))
    assert thresholds(rows, [0] * 51, ("a", "b"), 0.95) == {"a": None, "b": None}
    rows = np.tile(rows[:1], (52, 1))
    assert thresholds(rows, [0] * 52, ("a", "b"), 0.95)["a"] == pytest.approx(0.99)


def test_documents_of_one_probability_stay_together() -> None:
    rows = np.array([[0.9, 0.1]] * 60 + [[0.8, 0.2]] * 60, np.float32)
    found = thresholds(rows, [0] * 61 + [1] * 59, ("a", "b"), 0.9)
    assert found["a"] == pytest.approx(0.9)  # not within the 0.8s


def test_the_threshold_is_the_lowest_that_keeps_the_promise() -> None:
    sureness = np.linspace(0.99, 0.6, 100)
    rows = np.stack([sureness, 1 - sureness], axis=1)
    assert thresholds(rows, [0] * 100, ("a", "b"), 0.95)["a"] == pytest.approx(0.6)
    wrong_below = [0] * 80 + [1] * 20
    found = thresholds(rows, wrong_below, ("a", "b"), 0.95)["a"]
    assert found is not None and sureness[81] < found <= sureness[79]


def test_the_lower_bound_by_hand() -> None:
    assert lower_bound(np.array([45]), np.array([50]))[0] == pytest.approx(0.8085, abs=1e-4)
    assert lower_bound(np.array([10]), np.array([10]))[0] == pytest.approx(
        1 / (1 + 0.2706), abs=1e-4
    )


def test_sure_by_label() -> None:
    calibration = Calibration(thresholds={"a": 0.7, "b": None})
    assert calibration.sure("a", 0.7) and not calibration.sure("a", 0.69)
    assert not calibration.sure("b", 1.0)
    assert calibration.sure("c", 0.1)
    assert Calibration(**calibration.to_json()) == calibration
    with pytest.raises(ValueError, match="above 0"):
        Calibration(0.0)


def test_the_rule_is_read() -> None:
    assert precision_of("precision=0.95") == 0.95
    for wrong in ("0.95", "recall=0.9", "precision=95", "precision=1", "precision=", "precision=x"):
        with pytest.raises(ValueError, match=r"precision=0\.95, not"):
            precision_of(wrong)
