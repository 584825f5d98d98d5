"""What comes out of the head: learnt, judged and told by the kind of label."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ulmfit.config import ClassifierConfig
from ulmfit.outputs import BoundedNumber, MultiLabel, Outputs, SingleLabel, outputs_for, outputs_of
from ulmfit.text.document import Document

PLAIN = ClassifierConfig()
KINDS = [SingleLabel(("a", "b")), MultiLabel(("a", "b", "c")), BoundedNumber(1.0, 5.0)]


def documents(*labels: Any) -> list[Document]:
    return [Document(f"text {i}", label) for i, label in enumerate(labels)]


def test_they_follow_from_the_labels() -> None:
    assert outputs_for(documents("b", "a", "b", None), PLAIN) == SingleLabel(("a", "b"))
    assert outputs_for(documents(("b",), (), ("a", "b")), PLAIN) == MultiLabel(("a", "b"))
    assert outputs_for(documents(2.5, 1.0, 4.0), PLAIN) == BoundedNumber(1.0, 4.0)
    wide = replace(PLAIN, y_range=(0, 10))
    assert outputs_for(documents(2.5, 1.0), wide) == BoundedNumber(0.0, 10.0)


@pytest.mark.parametrize(
    ("labels", "settings", "complaint"),
    [
        ((1.5, 1.5), {}, "can't be learnt: they must be finite and differ"),
        ((1.5, float("inf")), {}, "can't be learnt"),
        ((1.7e9, 1.7e9 + 59), {}, r"from 1700000000 to 1700000059 .*subtract the lowest"),
        ((1.5, 2.0), {"y_range": (2, 1)}, "from 2 to 1 can't be learnt"),
        ((1.5, 12.0), {"y_range": (0, 10)}, r"1 labels lie outside .* go from 1\.5 to 12\)"),
        ((1.5, 2.0), {"class_weight": "balanced"}, "class_weight balanced does not apply .* a num"),
        ((1.5, 2.0), {"label_smoothing": 0.1}, "label_smoothing 0.1 does not apply"),
        (("a", "b"), {"y_range": (0, 1)}, r"y_range \(0, 1\) does not apply .* one class"),
        ((("a",), ("b",)), {"y_range": (0, 1)}, "y_range .* several labels"),
        (("a", 0.5), {}, "several kinds"),
    ],
)
def test_settings_without_a_use_are_refused(labels: Any, settings: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        outputs_for(documents(*labels), replace(PLAIN, **settings))


@pytest.mark.parametrize("outputs", KINDS, ids=str)
def test_saved_and_read_they_are_the_same(outputs: Outputs) -> None:
    assert outputs_of(outputs.saved()) == outputs


def test_records_of_before_and_damaged_ones() -> None:
    assert outputs_of({"labels": ["x", "y"]}) == SingleLabel(("x", "y"))
    for broken in ({}, {"label_kind": "number", "labels": []}, {"label_kind": "?", "labels": []}):
        with pytest.raises((KeyError, ValueError)):
            outputs_of(broken)


@pytest.mark.parametrize("outputs", KINDS, ids=str)
def test_what_is_minimised_is_the_loss_that_is_shown(outputs: Outputs) -> None:
    """Without weights and smoothing: of the activated rows what the criterion is of the logits."""
    logits = torch.randn(7, outputs.size)
    labels = {
        "single": torch.tensor([0, 1, 1, 0, 1, 0, 0]),
        "multi": (torch.rand(7, 3) > 0.5).float(),
        "number": 1 + 4 * torch.rand(7),
    }[outputs.kind]
    criterion = outputs.criterion(labels.numpy(), PLAIN)
    rows = outputs.activate(logits)
    assert rows.shape == logits.shape
    shown = outputs.judge(labels.numpy(), rows.numpy())
    assert shown["loss"] == pytest.approx(float(criterion(logits, labels)), rel=1e-4)
    assert outputs.best in shown


def test_balanced_classes_weigh_the_same_in_all() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    balanced = replace(PLAIN, class_weight="balanced")
    criterion = SingleLabel(("a", "b")).criterion(truth, balanced)
    logits, labels = torch.randn(6, 2), torch.from_numpy(truth)
    each = F.cross_entropy(logits, labels, reduction="none")
    by_hand = (each[:4].mean() + each[4:].mean()) / 2
    torch.testing.assert_close(criterion(logits, labels), by_hand)


def test_balanced_labels_weigh_as_much_as_their_absence() -> None:
    truth = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    balanced = replace(PLAIN, class_weight="balanced")
    criterion = MultiLabel(("a", "b")).criterion(truth, balanced)
    logits, labels = torch.randn(4, 2), torch.from_numpy(truth)
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    halves = [each[:, k][labels[:, k] == yes].mean() for k in (0, 1) for yes in (0, 1)]
    torch.testing.assert_close(criterion(logits, labels), torch.stack(halves).mean())


def test_smoothing_spreads_a_share_of_the_label() -> None:
    smooth = replace(PLAIN, label_smoothing=0.2)
    logits = torch.randn(3, 2)
    criterion = SingleLabel(("a", "b")).criterion(np.array([0, 1, 1]), smooth)
    targets = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    wanted = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(criterion(logits, torch.tensor([0, 1, 1])), wanted)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    criterion = MultiLabel(("a", "b")).criterion(labels.numpy(), smooth)
    targets = torch.tensor([[0.9, 0.1], [0.1, 0.1], [0.9, 0.9]])
    wanted = F.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(criterion(logits, labels), wanted)


def test_numbers_stay_in_their_range_and_their_loss_does_not_know_it() -> None:
    logits = torch.tensor([[-100.0], [0.0], [100.0]])
    assert BoundedNumber(1, 10).activate(logits)[:, 0].tolist() == [1.0, 5.5, 10.0]
    small, large = BoundedNumber(0, 1), BoundedNumber(0, 100)
    labels, logits = torch.rand(3), torch.randn(3, 1)
    losses = [
        outputs.criterion(labels.numpy(), PLAIN)(logits, labels * outputs.high)
        for outputs in (small, large)
    ]
    torch.testing.assert_close(*losses)


def test_predictions() -> None:
    (one,) = SingleLabel(("a", "b")).predictions(np.array([[0.25, 0.75]], np.float32))
    assert (one.label, one.probability) == ("b", 0.75)
    rows = np.array([[0.5, 0.49, 0.9], [0.1, 0.2, 0.3]], np.float32)
    first, second = MultiLabel(("a", "b", "c")).predictions(rows)
    assert (first.labels, second.labels) == (("a", "c"), ())
    assert second.probabilities == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.3})
    (number,) = BoundedNumber(1, 5).predictions(np.array([[2.5]], np.float32))
    assert number.value == 2.5


def test_the_columns_of_a_table_are_known_before() -> None:
    assert [outputs.columns for outputs in KINDS] == [
        ("prediction", "probability"),
        ("prediction", "probability_a", "probability_b", "probability_c"),
        ("prediction",),
    ]


def test_truth() -> None:
    single, multi, number = KINDS
    assert single.truth(documents("b", "a")).tolist() == [1, 0]
    assert multi.truth(documents(("c", "a"), ())).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert number.truth(documents(1.5, 7.0)).tolist() == [1.5, 7.0]  # also beyond its range
    for outputs, labels, complaint in (
        (single, ("a", None), "1 of 2 documents have no label"),
        (single, ("a", "x"), r"\['x'\] are unknown .* \['a', 'b'\]"),
        (number, ("1", "2"), "one class here, but this classifier learnt a number: .*number"),
        (multi, (0.5, 1.5), "learnt several labels: .*--label-kind multi"),
    ):
        with pytest.raises(ValueError, match=complaint):
            outputs.truth(documents(*labels))
