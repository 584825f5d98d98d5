"""Values of JSON as a column for polars, with nothing lost or changed on the way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ulmfit.text.files import DataError

if TYPE_CHECKING:
    import polars


def series(name: str, values: Sequence[Any], source: str) -> "polars.Series":
    """The column `name` of the file `source`. DataError: it would not come back as it is, as one that holds 1 and true, or
    two objects of which one has a number where the other has a string."""
    import polars

    kinds = _kinds(values)
    try:
        given = _alike(values)
        if kinds & {dict, list}:  # not every row has all keys
            made = polars.from_dicts([{name: v} for v in given], infer_schema_length=None)[name]
        else:
            made = polars.Series(name, given)
    except OverflowError:
        raise DataError(
            f"{source}: column {name!r} holds a whole number of more digits than a table can; write it as a string"
        ) from None
    except (TypeError, polars.exceptions.PolarsError):
        made = None
    if made is None or not all(map(_same, values, made.to_list())):
        told = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(
            f"{source}: column {name!r} holds values of several kinds ({told}), or such values in objects or lists;"
            " give one kind"
        )
    return made


def _kinds(values: Sequence[Any]) -> set[type]:
    return {type(v) for v in values if v is not None}


def _alike(values: Sequence[Any]) -> Sequence[Any]:
    """Whole numbers beside others, also inside lists, as these: JSON writes 1 where 1.0 is meant."""
    kinds = _kinds(values)
    if kinds == {int, float}:
        return [v if v is None else float(v) for v in values]
    if kinds == {list}:
        return [v if v is None else _alike(v) for v in values]
    return values


def _same(value: Any, made: Any) -> bool:
    """Whether a value has come back as it was; an object may have got keys without a value."""
    if isinstance(value, dict):
        got = isinstance(made, dict)
        return got and all(k in made and _same(v, made[k]) for k, v in value.items())
    if isinstance(value, list):
        got = isinstance(made, list) and len(made) == len(value)
        return got and all(map(_same, value, made))
    equal = value == made or value != value  # Python's JSON may hold NaN, which equals nothing
    return equal and isinstance(value, bool) == isinstance(made, bool)
