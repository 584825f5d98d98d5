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

    kinds, given = {type(v) for v in values if v is not None}, values
    if kinds == {int, float}:  # JSON writes 1 where 1.0 is meant
        given = [None if v is None else float(v) for v in values]
    try:
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


def _same(value: Any, made: Any) -> bool:
    """Whether a value has come back as it was; an object may have got keys without a value."""
    if isinstance(value, dict):
        got = isinstance(made, dict)
        return got and all(k in made and _same(v, made[k]) for k, v in value.items())
    if isinstance(value, list):
        got = isinstance(made, list) and len(made) == len(value)
        return got and all(map(_same, value, made))
    return value == made and isinstance(value, bool) == isinstance(made, bool)
