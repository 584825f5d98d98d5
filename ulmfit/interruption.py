"""SIGTERM and Ctrl-C: a training saves and stops at its next step; anything else stops at once, since files are written atomically."""

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
    """The first SIGTERM or Ctrl-C inside the block only asks the runtime to stop; it is raised at the block's end as `OutOfTime`
    or KeyboardInterrupt. A second one takes its usual effect at once."""

    def ask(number: int, frame: object) -> None:
        runtime.asked_to_stop = signal.Signals(number).name
        put_back()

    put_back, asked = _handling({signal.SIGTERM: ask, signal.SIGINT: ask}), ""
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
        raise OutOfTime(f"{asked} received")


@contextmanager
def raised_on_terminate() -> Iterator[None]:
    """SIGTERM inside the block raises `OutOfTime`, so that `with` and `finally` blocks run."""

    def stop(number: int, frame: object) -> None:
        raise OutOfTime("SIGTERM received")

    put_back = _handling({signal.SIGTERM: stop})
    try:
        yield
    finally:
        put_back()


def _handling(handlers: dict[signal.Signals, Any]) -> Callable[[], None]:
    """Installs the handlers; returns a function that puts the former ones back. Ignored signals (nohup) stay ignored. Outside
    the main thread, where Python allows no handlers, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    kept = (signal.SIG_IGN, None)  # None: installed by other code than Python's
    before = {n: h for n in handlers if (h := signal.getsignal(n)) not in kept}
    for number in before:
        signal.signal(number, handlers[number])

    def put_back() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is handlers[number]:
                signal.signal(number, handler)

    return put_back
