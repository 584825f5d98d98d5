"""Labels of documents as an array: one class as its index, several as 0 and 1, numbers as they are."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import LabelKind
from ulmfit.text.document import Label, class_name, shown

UNLABELLED = -1
MOST_CLASSES = 100_000  # more are possible only with two documents each, on average
SAID: dict[LabelKind, str] = {
    "single": "one class",
    "multi": "several labels",
    "number": "a number",
}

Labels = NDArray[np.int64] | NDArray[np.float32]


def kind_of(labels: Iterable[Label | None]) -> LabelKind:
    """The kind of the labels; "single" where there are none. ValueError: they are of several kinds."""
    kinds: dict[LabelKind, Label] = {_kind(x): x for x in labels if x is not None}
    if len(kinds) > 1:
        examples = "; ".join(f"{label!r} is {SAID[kind]}" for kind, label in sorted(kinds.items()))
        raise ValueError(f"labels are of several kinds ({examples}); give labels of one kind")
    return next(iter(kinds)) if kinds else "single"


def names_of(label: Label) -> tuple[str, ...]:
    """The classes that a label names; none where it is a number."""
    if isinstance(label, tuple):
        return tuple(map(class_name, label))
    return () if _kind(label) == "number" else (class_name(label),)


def label_names(labels: Iterable[Label | None]) -> tuple[str, ...]:
    """All classes that the labels name, sorted."""
    return tuple(
        sorted({name for label in labels if label is not None for name in names_of(label)})
    )


def classes_to_learn(labels: Sequence[Label | None]) -> tuple[str, ...]:
    """`label_names` of documents to learn from. ValueError: so many that it must be the wrong column."""
    names = label_names(labels)
    if len(names) > max(MOST_CLASSES, len(labels) // 2):
        raise ValueError(
            f"{len(names):,} classes in {len(labels):,} labelled documents are too many to learn; name another column "
            "(--label-column), or read them as numbers (--label-kind number)"
        )
    return names


def label_array(labels: Sequence[Label | None], names: Sequence[str]) -> Labels | None:
    """One class per document: its index in `names` (D,), -1 where there is none. Several: 0 and 1 (D, C). Numbers: as they
    are (D,). In the last two NaN where there is none. None where no document has a label.

    ValueError: a label that is not in `names`, or labels of several kinds.
    """
    if all(label is None for label in labels):
        return None
    kind = kind_of(labels)
    if kind == "number":
        return np.array([np.nan if label is None else label for label in labels], np.float32)
    place = {name: i for i, name in enumerate(names)}
    if kind == "single":
        return np.array(
            [
                UNLABELLED if label is None else _places(row, label, place)[0]
                for row, label in enumerate(labels, 1)
            ],
            np.int64,
        )
    several = np.full((len(labels), len(names)), np.nan, np.float32)
    for row, label in enumerate(labels):
        if label is not None:
            several[row] = 0.0
            several[row, _places(row + 1, label, place)] = 1.0
    return several


def labels_of(array: NDArray[Any] | None, names: Sequence[str], count: int) -> list[Label | None]:
    """The inverse of `label_array`, for `count` documents."""
    if array is None:
        return [None] * count
    if array.ndim == 2:
        return [
            None if np.isnan(row).any() else tuple(names[i] for i in np.flatnonzero(row).tolist())
            for row in array
        ]
    if np.issubdtype(array.dtype, np.floating):
        return [None if np.isnan(number) else float(number) for number in array]
    places: list[int] = array.tolist()
    return [None if place == UNLABELLED else names[place] for place in places]


def _places(number: int, label: Label, place: dict[str, int]) -> list[int]:
    named = names_of(label)
    if unknown := [name for name in named if name not in place]:
        raise ValueError(
            f"Document {number} has the label {shown(unknown[0])!r}; known are {', '.join(repr(shown(name)) for name in place)}."
            " Correct it, or train with this label too."
        )
    return [place[name] for name in named]


def _kind(label: Any) -> LabelKind:
    """Also of what is no `Label` but is written as one: integers, NumPy's numbers."""
    if isinstance(label, tuple):
        return "multi"
    return "number" if isinstance(label, float | np.floating) else "single"
