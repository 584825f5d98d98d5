"""What a user sees while something runs: sentences, and for anything long a progress bar with the time left (rich) on a
terminal, or a plain line every 15 seconds elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

Say = Callable[[str], object]  # receives one sentence for the user
Work = Callable[[int], float]  # cost of the first n items, in any unit
LINE_EVERY_S = 15.0  # seconds between two plain lines


def silent(sentence: str) -> None:
    """A `Say` that drops the sentence."""


def speaks() -> bool:
    """Whether this process prints for people: only the first of those that torchrun started does."""
    return os.environ.get("RANK", "0") == "0"


def track(
    items: Iterable[T], description: str, *, total: int | None = None, unit: str = "it"
) -> Iterator[T]:
    """Yields `items` while showing progress. `total` may be left out if `items` has a length."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with bar(description, total=total, unit=unit) as advance:
        for item in items:
            yield item
            advance(1, "")


@contextmanager
def bar(
    description: str, *, total: int | None, unit: str = "it", done: int = 0, work: Work = float
) -> Iterator[Callable[[int, str], None]]:
    """Yields `advance(amount, note)`; `note` is shown beside the bar. No description: no bar.

    `work`: if items take unequally long, the cost of the first n together, from which the time left is estimated.
    Writes to stderr, so that stdout stays data.
    """
    if not description or not speaks():
        yield lambda amount, note: None
        return
    rich_bar = _rich_bar if sys.stderr.isatty() else None
    try:
        if rich_bar:
            import rich  # noqa: F401
    except ImportError:
        rich_bar = None
    with (rich_bar or _plain_bar)(description, total, unit, done, work) as advance:
        yield advance


@contextmanager
def _rich_bar(
    description: str, total: int | None, unit: str, done: int, work: Work
) -> Iterator[Callable[[int, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[place]}"),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    count = done

    def state() -> dict[str, Any]:
        of = "" if total is None else f"/{total:,}"
        return {"completed": work(count), "place": f"{count:,}{of} {unit}"}

    with Progress(
        *columns, console=Console(stderr=True), refresh_per_second=4, speed_estimate_period=60
    ) as progress:
        whole = None if total is None else work(total)
        task = progress.add_task(description, total=whole, note="", **state())

        def advance(amount: int, note: str) -> None:
            nonlocal count
            count += amount
            progress.update(task, note=note, **state())

        yield advance


@contextmanager
def _plain_bar(
    description: str, total: int | None, unit: str, done: int, work: Work
) -> Iterator[Callable[[int, str], None]]:
    start = spoken = time.monotonic()
    first, count = done, done

    def advance(amount: int, note: str) -> None:
        nonlocal count, spoken
        count += amount
        now = time.monotonic()
        if now - spoken >= LINE_EVERY_S:
            spoken = now
            print(
                f"{description}: {_position(count, first, total, now - start, work)} {unit} {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    yield advance


def _position(count: int, first: int, total: int | None, seconds: float, work: Work) -> str:
    if not total or count <= first:
        return f"{count:,}"
    left = seconds / (work(count) - work(first)) * (work(total) - work(count))
    return f"{count:,}/{total:,} ({count / total:.0%}, about {left / 60:.1f} min left)"
