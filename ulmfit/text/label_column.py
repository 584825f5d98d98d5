"""A column of labels: their kind, and the labels that its values stand for."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from ulmfit.config import LabelKind
from ulmfit.progress import Say
from ulmfit.text.document import Label
from ulmfit.text.files import DataError
from ulmfit.text.labels import SAID

SEEN_AS_CLASSES = 2  # up to so many different numbers are taken as classes without saying so


def labels_of(
    values: Sequence[Any], kind: LabelKind | None, separator: str | None, say: Say, where: str
) -> list[Label | None]:
    """A label for each row, None where there is none. `kind` None: lists are several labels, floats numbers, all else
    classes; floats are classes, too, if all are whole, since one missing value turns a column of integers into floats. The
    choice is reported where another kind could be meant.

    `separator`: between the labels in a string; an empty string then has no labels, which is reported. DataError: values of
    another kind than `kind`, or of several kinds.
    """
    present = [value for value in values if not missing(value)]
    lists = sum(isinstance(value, list) for value in present)
    if any(isinstance(value, dict) for value in present) or lists not in (0, len(present)):
        raise DataError(
            f"{where} holds objects, or both lists and single values; expected labels of one kind."
        )
    if separator is not None:
        if kind is None or kind == "multi":
            return _split_strings(values, lists, separator, say, where)
        raise DataError(
            f"--label-separator is for several labels per text; --label-kind {kind} means {SAID[kind]}. Leave one of them out."
        )
    if kind is None:
        kind = "multi" if lists else _inferred(present, say, where)
    if lists and kind != "multi":
        raise DataError(f"{where} holds lists; expected one value a row for --label-kind {kind}.")
    if present and not lists and kind == "multi":
        raise DataError(
            f"{where} holds single values such as {present[0]!r}; expected lists, or strings and --label-separator."
        )
    parsers: dict[LabelKind, Callable[[Any], Label | None]]
    parsers = {"multi": _names, "single": _name, "number": _number}
    parse = parsers[kind]
    try:
        return [None if missing(value) else parse(value) for value in values]
    except ValueError as error:
        raise DataError(f"{where} holds {error}") from None


def missing(value: Any) -> bool:
    """Whether a cell is empty."""
    return value is None or value != value  # NaN


def written(value: Any) -> str:
    """A value as people would write it: `true`, `1` for 1.0."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _inferred(present: Sequence[Any], say: Say, where: str) -> LabelKind:
    fractions = any(isinstance(value, float) and not value.is_integer() for value in present)
    if fractions:
        if not all(isinstance(v, float | int) and not isinstance(v, bool) for v in present):
            raise DataError(f"{where} holds both numbers and other labels; expected labels of one kind.")  # fmt: skip
        say(
            f"{where} holds numbers, read as values to predict (--label-kind single: as class names)"
        )
        return "number"
    floats = any(isinstance(value, float) for value in present)
    if floats or (len(set(present)) > SEEN_AS_CLASSES and all(map(_is_number, present))):
        say(
            f"{where}: the {'whole ' if floats else ''}numbers are read as class names (--label-kind number: as values to predict)"
        )
    return "single"


def _split_strings(
    values: Sequence[Any], lists: int, separator: str, say: Say, where: str
) -> list[Label | None]:
    if not separator.strip() and separator != " ":
        raise DataError(f"--label-separator {separator!r} separates nothing; give what stands between two labels.")  # fmt: skip
    if lists:
        raise DataError(f"{where} holds lists already; leave out --label-separator.")
    strings = ["" if missing(value) else written(value) for value in values]
    rows: list[Label | None] = [
        tuple(name.strip() for name in string.split(separator) if name.strip())
        for string in strings
    ]
    if empty := sum(not row for row in rows):
        say(f"{where}: {empty:,} rows are empty: texts to which no label applies")
    return rows


def _names(values: list[Any]) -> tuple[str, ...] | None:
    """The labels of one row, which may be none; None where one of them is missing."""
    names = tuple("" if missing(value) else written(value).strip() for value in values)
    return names if all(names) else None


def _name(value: Any) -> str | None:
    return written(value).strip() or None  # "good " is a slip of the typist


def _number(value: Any) -> float | None:
    if isinstance(value, str) and not value.strip():
        return None
    if not _is_number(value):
        raise ValueError(
            f"{value!r}; expected finite numbers, such as 4.5, for --label-kind number."
        )
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
