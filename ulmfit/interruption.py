"""SIGTERM and Ctrl-C: a training stops at its next step, saved; anything else stops at once, as files are atomic."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ulmfit.config import OutOfTime

if TYPE_CHECKING:
    from ulmfit.runtime import Runtime


@contextmanager
def stopped_by_signals(runtime: "Runtime") -> Iterator[None]:
    """A first SIGTERM or Ctrl-C inside the block only asks the runtime to stop, and is raised at its end, as `OutOfTime` or
    KeyboardInterrupt. A second one has its usual effect, at once."""

    def ask(number: int, frame: object) -> None:
        runtime.asked_to_stop = signal.Signals(number).name
        put_back()

    put_back, asked = _taken({signal.SIGTERM: ask, signal.SIGINT: ask}), ""
    try:
        try:
            yield
        finally:
            put_back()
            asked, runtime.asked_to_stop = runtime.asked_to_stop, ""
    except OutOfTime:
        if not asked:
            raise
    if asked == "SIGINT":
        raise KeyboardInterrupt
    if asked:
        raise OutOfTime(f"{asked} came")


@contextmanager
def raised_on_terminate() -> Iterator[None]:
    """SIGTERM inside the block raises `OutOfTime`, so that what is open is closed."""

    def stop(number: int, frame: object) -> None:
        raise OutOfTime("SIGTERM came")

    put_back = _taken({signal.SIGTERM: stop})
    try:
        yield
    finally:
        put_back()


def _taken(handlers: dict[signal.Signals, Any]) -> Callable[[], None]:
    """Handlers in place of those that are there, and how to put these back. Ignored signals (nohup) stay ignored; only the
    main thread may take any."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    kept = (signal.SIG_IGN, None)  # None: not Python's
    before = {n: h for n in handlers if (h := signal.getsignal(n)) not in kept}
    for number in before:
        signal.signal(number, handlers[number])

    def put_back() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is handlers[number]:
                signal.signal(number, handler)

    return put_back
