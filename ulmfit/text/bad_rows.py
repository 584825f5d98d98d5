"""Rows that can't be used: each with its place, and one sentence for all of them, as an error or a note."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ulmfit.progress import Say
from ulmfit.text.files import DataError

OnBad = Literal["error", "skip"]  # stop, or leave bad rows out and say so

SHOWN = 5  # places named of each kind


class Skipped(str):
    """The message that says which rows were left out; its type tells it from other messages."""


class Bad(NamedTuple):
    """A row, line or file that can't be used."""

    source: str  # file
    unit: str  # what `place` counts or names: "line", "row" or "file"
    place: int | str
    why: str  # "no text"


def settle(
    bad: Sequence[Bad], total: int, on_bad: OnBad, say: Say, source: str, noun: str = "row"
) -> None:
    """DataError where something is `bad`: each kind of trouble with its count and first places, out of `total` rows, which
    are called `noun`. With "skip" the same sentence is said instead."""
    if not bad:
        return
    kinds: dict[str, list[Bad]] = {}
    for one in bad:
        kinds.setdefault(one.why, []).append(one)
    listed = "; ".join(
        f"{why} in {len(rows)} {noun}{'s'[: len(rows) > 1]} ({places(rows)})"
        for why, rows in kinds.items()
    )
    several = f"{len(bad):,} of {total:,} {noun}s"
    if on_bad == "skip":
        say(Skipped(f"{source}: {several} skipped: {listed}"))
        return
    raise DataError(
        f"{source}: {several} can't be used: {listed}. Correct them, or leave them out with --on-bad skip"
        ' (on_bad="skip").'
    )


def places(bad: Sequence[Bad]) -> str:
    """`lines 3, 9`, each with its file where these differ."""
    shown, more = bad[:SHOWN], ", …" if len(bad) > SHOWN else ""
    if len({(one.source, one.unit) for one in bad}) > 1:
        return ", ".join(f"{one.source} {one.unit} {one.place}" for one in shown) + more
    unit = shown[0].unit + "s"[: len(bad) > 1]
    return f"{unit} {', '.join(str(one.place) for one in shown)}{more}"
