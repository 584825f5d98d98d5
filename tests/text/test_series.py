"""Columns of JSON: what comes out is what went in, or an error."""

import math
from typing import Any

import pytest

from ulmfit.text.files import DataError
from ulmfit.text.series import series


def test_numbers_with_and_without_a_point_are_one_kind() -> None:
    assert series("a", [1, 2.5, None], "a.jsonl").to_list() == [1.0, 2.5, None]
    assert series("a", [[1, 2.5], None, [3]], "a.jsonl").to_list() == [[1.0, 2.5], None, [3.0]]
    for values in ([2**200], [10**400, 0.5]):
        with pytest.raises(DataError, match=r"a\.jsonl: column 'a' holds a whole number with more"):
            series("a", values, "a.jsonl")


def test_no_number_is_one() -> None:
    """As Python's own JSON writes it."""
    assert math.isnan(series("a", [1.5, math.nan], "a.jsonl").to_list()[1])
    assert math.isnan(series("a", [{"x": math.nan}], "a.jsonl").to_list()[0]["x"])


def test_objects_keep_keys_that_only_some_rows_have() -> None:
    values = [{"a": 1}, {"b": [2]}, *[{"a": i} for i in range(200)], {"c": "x"}]
    made = series("m", values, "a.jsonl").to_list()
    assert [{k: v for k, v in row.items() if v is not None} for row in made] == values


@pytest.mark.parametrize(
    "values",
    [[1, True], [{"k": 1}, {"k": "x"}], [[1], ["x"]], [2**53 + 1, 0.5], [{"k": 1}, 2], [1, "1"]],
)
def test_what_a_column_would_change_is_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match="column 'a' holds values of several kinds"):
        series("a", values, "a.jsonl")
