"""Values of JSON as a column for polars, with nothing lost or changed on the way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ulmfit.text.files import DataError

if TYPE_CHECKING:
    import polars


def series(name: str, values: Sequence[Any], source: str) -> "polars.Series":
    """The column `name` of the file `source`. DataError: polars would change its values, as where it holds 1 and true, or
    two objects of which one has a number where the other has a string."""
    import polars

    kinds = _kinds(values)
    try:
        uniform = _ints_as_floats(values)
        if kinds & {dict, list}:  # not every row has all keys
            column = polars.from_dicts([{name: v} for v in uniform], infer_schema_length=None)[name]
        else:
            column = polars.Series(name, uniform)
    except OverflowError:
        raise DataError(
            f"{source}: column {name!r} holds a whole number with more digits than a table can hold; write it as a string"
        ) from None
    except (TypeError, polars.exceptions.PolarsError):
        column = None
    if column is None or not all(map(_same, values, column.to_list())):
        listed = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(
            f"{source}: column {name!r} holds values of several kinds ({listed}), or objects or lists that do;"
            " give one kind"
        )
    return column


def _kinds(values: Sequence[Any]) -> set[type]:
    return {type(v) for v in values if v is not None}


def _ints_as_floats(values: Sequence[Any]) -> Sequence[Any]:
    """Integers beside floats as floats, also inside lists: JSON writes 1 where 1.0 is meant."""
    kinds = _kinds(values)
    if kinds == {int, float}:
        return [v if v is None else float(v) for v in values]
    if kinds == {list}:
        return [v if v is None else _ints_as_floats(v) for v in values]
    return values


def _same(value: Any, stored: Any) -> bool:
    """Whether polars gives a value back as it was; an object may have gained keys without a value."""
    if isinstance(value, dict):
        alike = isinstance(stored, dict)
        return alike and all(k in stored and _same(v, stored[k]) for k, v in value.items())
    if isinstance(value, list):
        alike = isinstance(stored, list) and len(stored) == len(value)
        return alike and all(map(_same, value, stored))
    equal = value == stored or value != value  # Python's JSON may hold NaN, which equals nothing
    return equal and isinstance(value, bool) == isinstance(stored, bool)
