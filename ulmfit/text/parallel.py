"""Work spread over several processes; results come back in the order of the tasks."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2  # tasks per process that are read before they are needed


class WorkerDied(OSError):
    """A worker process ended before its work was done."""


class Workers:
    """`n` processes for a `with` block; they live, and keep their caches, from one `map` to the next.

    n=1 is this process. Otherwise processes are spawned, on every system: functions and tasks are
    pickled, and a script that uses them needs `if __name__ == "__main__"`. ValueError: n < 1.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"--workers {n}: expected 1 or more.")
        self.n = n
        self._pool = None if n == 1 else ProcessPoolExecutor(n, get_context("spawn"), _begin)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results in order; tasks are read a few ahead. `WorkerDied`: one was killed."""
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting = deque[Future[Result]]()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(function, task))
                if len(waiting) > AHEAD * self.n:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                f"one of the {self.n} worker processes was killed (often because memory ran out)."
                " The work was stopped, and no half-written file is left. Try fewer --workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _begin() -> None:
    """In each worker: leave Ctrl-C to the parent, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent: Any = parent_process()

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
