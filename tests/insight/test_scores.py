"""Intervals, confusions and bins against their definitions."""

import json
from pathlib import Path

import numpy as np
import pytest

from ulmfit.files.checkpoint import CheckpointError
from ulmfit.insight.scores import (
    BINS,
    Predictions,
    calibration_error,
    class_scores,
    confused,
    confusion,
    paired_difference,
    reliability,
    wilson,
    worst_mistakes,
)

LABELS = ("bad", "good", "odd")


def predictions(n: int = 400, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    probabilities = draw.dirichlet([0.6, 0.6, 0.6], n)
    truth = np.array([draw.choice(3, p=p) for p in probabilities])  # calibrated by construction
    return Predictions(LABELS, truth, probabilities, None, tuple(map(str, range(n))))


@pytest.mark.parametrize(
    (
        "right",
        "n",
        "low",
        "high",
    ),  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right, n)
    assert found.value == right / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_the_same_for_right_and_wrong() -> None:
    for right in range(11):
        here, there = wilson(right, 10), wilson(10 - right, 10)
        assert (here.low, here.high) == pytest.approx((1 - there.high, 1 - there.low))


def test_the_paired_difference_covers_the_truth_about_as_often_as_it_says() -> None:
    draw, covered = np.random.default_rng(0), 0
    for _ in range(400):
        kind = draw.choice(4, 200, p=[0.7, 0.12, 0.06, 0.12])  # both, only ours, only theirs, none
        found = paired_difference(kind <= 1, (kind == 0) | (kind == 2))
        assert found.value == pytest.approx(((kind == 1).sum() - (kind == 2).sum()) / 200)
        covered += found.low <= 0.06 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_paired_difference_changes_sign_with_its_sides() -> None:
    ours, theirs = np.array([True] * 8 + [False] * 2), np.array([True] * 5 + [False] * 5)
    here, there = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert tuple(here) == pytest.approx((-there.value, -there.high, -there.low))


def test_confusions_and_class_scores_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    of = predictions()
    matrix = confusion(of.truth, of.predicted, 3)
    assert (matrix == metrics.confusion_matrix(of.truth, of.predicted)).all()
    expected = metrics.precision_recall_fscore_support(of.truth, of.predicted)
    pairs = [(int(matrix[i, j]), i, j) for i in range(3) for j in range(3) if i != j]
    assert confused(of.truth, of.predicted) == sorted(pairs, reverse=True)
    found = class_scores(of.truth, of.predicted, LABELS)
    assert [s.documents for s in found] == expected[3].tolist()
    for got, want in zip(
        ([s.precision for s in found], [s.recall for s in found], [s.f1 for s in found]),
        expected,
        strict=False,
    ):
        assert got == pytest.approx(want)


def test_a_label_that_does_not_occur_has_no_scores() -> None:
    same = np.array([0, 0])
    assert class_scores(same, same, ("a", "b"))[1][1:] == (0, None, None, None)
    assert confused(same, same) == []


def test_many_classes_take_no_table_of_all_pairs() -> None:
    """A hundred thousand squared are 80 GB."""
    labels, truth = tuple(map(str, range(100_000))), np.arange(50)
    assert confused(truth, truth + 1)[0] == (1, 49, 50)
    assert len(class_scores(truth, truth + 1, labels)) == len(labels)


def test_each_document_is_in_the_bin_of_its_confidence() -> None:
    of = predictions()
    bins = reliability(of)
    assert sum(b.documents for b in bins) == len(of.truth)
    place = np.minimum((of.confidence * BINS).astype(int), BINS - 1)
    assert [b.documents for b in bins] == [n for n in np.bincount(place).tolist() if n]
    for k, b in zip(np.unique(place), bins, strict=True):
        assert b.confidence == pytest.approx(of.confidence[place == k].mean())
        assert b.accuracy.value == pytest.approx(of.right[place == k].mean())


def test_probabilities_that_hold_have_a_small_error_and_others_a_large_one() -> None:
    of = predictions(4000)
    sure = Predictions(LABELS, of.truth, np.eye(3)[of.predicted], None, of.texts)
    assert calibration_error(of) < 0.03
    assert calibration_error(sure) == pytest.approx(1 - of.right.mean())


def test_mistakes_are_wrong_and_the_most_confident_come_first() -> None:
    of = predictions()
    rows = worst_mistakes(of, 5)
    assert len(rows) == 5 and not of.right[rows].any()
    shown = of.confidence[rows].tolist()
    assert shown == sorted(shown, reverse=True) and shown[0] == of.confidence[~of.right].max()
    assert len(worst_mistakes(of, 10_000)) == int((~of.right).sum())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    good = json.dumps({"label": "bad", "probabilities": [1, 0, 0]})
    path.write_text(good)
    assert Predictions.load(path, LABELS).baseline is None
    path.write_text("")
    with pytest.raises(CheckpointError, match="empty"):
        Predictions.load(path, LABELS)
    for line in (
        "{",
        "[]",
        '{"label": "new", "probabilities": [1, 0, 0]}',
        '{"label": "bad", "probabilities": [1]}',
    ):
        path.write_text(f"{good}\n{line}\n")
        with pytest.raises(CheckpointError, match=r"test\.jsonl is damaged.*--overwrite"):
            Predictions.load(path, LABELS)
