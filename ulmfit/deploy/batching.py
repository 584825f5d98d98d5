"""`Batcher`: one thread that works on items of many callers together, with little delay."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Full(Exception):
    """The queue has no room for these items; try again later."""


@dataclass(frozen=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: "Future[Result]" = field(default_factory=Future)
    since: float = field(default_factory=monotonic)


class Batcher(Generic[Item, Result]):
    """A bounded queue and the thread that empties it, first come, first served.

    A batch begins as soon as `max_batch` items wait, or the first of them has waited `max_wait_s`, time while the thread was
    busy included. `work` returns a result for each item, in order.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_wait_s: float,
        max_waiting: int,
    ) -> None:
        self._work, self._max_batch, self._max_wait = work, max_batch, max_wait_s
        self.max_waiting = max_waiting
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._changed, self._closed = Condition(), False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> "list[Future[Result]]":
        """A future for each item; one cancelled before its turn costs no work. `Full`: the queue is closed, or has no room for
        all items; then it takes none."""
        with self._changed:
            if len(self._waiting) + len(items) > self.max_waiting:  # cancelled ones make room
                self._waiting = deque(w for w in self._waiting if not w.future.cancelled())
            if self._closed or len(self._waiting) + len(items) > self.max_waiting:
                raise Full
            taken = [_Waiting[Item, Result](item) for item in items]
            self._waiting.extend(taken)
            self._changed.notify()
        return [waiting.future for waiting in taken]

    def __len__(self) -> int:
        """The number of items that wait."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Accepts no more items, and returns when all accepted ones are done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._do([w for w in batch if w.future.set_running_or_notify_cancel()])

    def _do(self, batch: "list[_Waiting[Item, Result]]") -> None:
        if not batch:  # all of them were cancelled
            return
        try:
            results = self._work([waiting.item for waiting in batch])
            done = list(zip(batch, results, strict=True))
        except Exception as error:
            if len(batch) == 1:
                return batch[0].future.set_exception(error)
            for waiting in batch:  # one by one, so that only the failing item gets the error
                self._do([waiting])
            return
        for waiting, result in done:
            waiting.future.set_result(result)

    def _next(self) -> "list[_Waiting[Item, Result]]":
        """Waits for the next batch; empty if the queue is closed and empty."""
        with self._changed:
            while not self._closed:
                left = None  # seconds to wait; None: until `submit` notifies
                if self._waiting:  # `submit` may have removed cancelled items
                    left = self._waiting[0].since + self._max_wait - monotonic()
                    if left <= 0 or len(self._waiting) >= self._max_batch:
                        break
                self._changed.wait(left)
            return [
                self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))
            ]
