"""What the values of a label column mean: inferred, or told."""

from typing import Any

import pytest

from ulmfit.text.files import DataError
from ulmfit.text.label_column import labels_of


def read(values: list[Any], kind: Any = None, separator: str | None = None) -> list[Any]:
    return [labels_of(values, kind, separator, said.append, "f"), list(said), said.clear()][:2]


said: list[str] = []


@pytest.mark.parametrize(
    ("values", "labels", "remark"),
    [
        (["a", " b "], ["a", "b"], None),
        (["0", "1", None, " "], ["0", "1", None, None], None),
        ([0, 1], ["0", "1"], None),
        ([0, 1, 2], ["0", "1", "2"], "f: the numbers are read as class names (--label-kind number: as values to predict)"),
        (["1.5", "2", "x"], ["1.5", "2", "x"], None),
        ([1.0, float("nan")], ["1", None], "f: the whole numbers are read as class names (--label-kind number: as values to predict)"),
        ([1.0, 2.5], [1.0, 2.5], "f holds numbers, read as values to predict (--label-kind single: as class names)"),
        ([["a", "b"], []], [("a", "b"), ()], None),
    ],
)  # fmt: skip
def test_inferred_and_said(values: list[Any], labels: list[Any], remark: str | None) -> None:
    assert read(values) == [labels, [remark] if remark else []]


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("number", [1, 2], [1.0, 2.0]),
        ("number", ["1.5", " 2 ", "", None], [1.5, 2.0, None, None]),
        ("single", [1.0, 2.5], ["1", "2.5"]),
        ("single", [0, 1, 2], ["0", "1", "2"]),
        ("multi", [["a"], [1]], [("a",), ("1",)]),
    ],
)
def test_told_nothing_is_said(kind: str, values: list[Any], labels: list[Any]) -> None:
    assert read(values, kind) == [labels, []]
    assert [type(label) for label in read(values, kind)[0]] == [type(label) for label in labels]


@pytest.mark.parametrize("kind", [None, "multi"])
def test_several_labels_in_a_string(kind: str | None) -> None:
    found, remarks = read(["a|b c", " |b|", "", None, 7], kind, "|")
    assert found == [("a", "b c"), ("b",), (), (), ("7",)]
    assert remarks == ["f: 2 rows are empty: texts to which no label applies"]


@pytest.mark.parametrize(
    ("values", "kind", "separator", "complaint"),
    [
        (["a", "3"], "number", None, "f holds 'a'; expected finite numbers"),
        ([True], "number", None, "holds True; expected finite"),
        ([float("inf")], "number", None, "holds inf"),
        ([[1.0]], "number", None, "holds lists; expected one value a row for --label-kind number"),
        ([["a"]], "single", None, "holds lists"),
        (["a"], "multi", None, "single values such as 'a'; .* --label-separator"),
        ([["a"]], "multi", "|", "lists already; leave out --label-separator"),
        (["a"], "single", "|", "--label-kind single means one class"),
        (["a"], None, "", "separates nothing"),
        ([1.5, "a"], None, None, "both numbers and other labels"),
        ([["a"], "a"], None, None, "both lists and single values"),
        ([{"a": 1}], None, None, "objects"),
    ],
)
def test_what_does_not_fit(values: list[Any], kind: Any, separator: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read(values, kind, separator)
