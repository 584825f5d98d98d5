"""What readers give and everything else works on: a text and, where known, its label."""

from dataclasses import dataclass

import numpy as np

SHOWN = 40  # characters of a name in a message

# the name of a class; a number; any number of names
Label = str | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One text and, where known, its label."""

    text: str
    label: Label | None = None


def class_name(label: Label) -> str:
    """The name of a single class. ValueError: a number with a fraction or several labels, which are other kinds of label."""
    if isinstance(label, str | int | np.integer | np.bool_):  # people write Document(text, 1)
        return str(label)
    what = "a number" if isinstance(label, float | np.floating) else "several labels"
    raise ValueError(
        f"the label {label!r} is {what}; expected one class per text: give its name as a string,"
        " or choose another label column"
    )


def shown(name: str) -> str:
    """A column's or label's name, cut for a message: what was taken for a name may be a whole text."""
    return name if len(name) <= SHOWN else f"{name[:SHOWN].rstrip()}…"
