"""SIGTERM and Ctrl-C: a training asks itself to stop; elsewhere they act at once."""

import os
import signal
import threading

import pytest

from ulmfit.config import OutOfTime
from ulmfit.interruption import raised_on_terminate, stopped_by_signals
from ulmfit.runtime import Runtime


def handlers() -> list[object]:
    return [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, OutOfTime), (signal.SIGINT, KeyboardInterrupt)]
)
def test_the_first_one_asks(
    number: signal.Signals, error: type[BaseException], runtime: Runtime
) -> None:
    before, went_on = handlers(), False
    with pytest.raises(error), stopped_by_signals(runtime):
        send(number)
        assert runtime.out_of_time() and handlers() == before  # a second one would act at once
        went_on = True
        raise OutOfTime  # the loop does so when it has saved
    assert went_on and handlers() == before
    assert not runtime.out_of_time()  # a caller that goes on may train again


def test_at_the_last_step_it_stops_as_well(runtime: Runtime) -> None:
    with pytest.raises(OutOfTime, match="SIGTERM received"), stopped_by_signals(runtime):
        send(signal.SIGTERM)


def test_the_second_one_acts_at_once(runtime: Runtime) -> None:
    with pytest.raises(KeyboardInterrupt), stopped_by_signals(runtime):
        send(signal.SIGINT)
        send(signal.SIGINT)
        pytest.fail("went on")
    assert not runtime.out_of_time()


def test_other_errors_and_time_pass_through(runtime: Runtime) -> None:
    before = handlers()
    for error in (ValueError, OutOfTime):
        with pytest.raises(error), stopped_by_signals(runtime):
            raise error
    with stopped_by_signals(runtime):
        pass
    assert handlers() == before


def test_elsewhere_terminate_is_raised() -> None:
    before = handlers()
    with pytest.raises(OutOfTime, match="SIGTERM received"), raised_on_terminate():
        send(signal.SIGTERM)
        pytest.fail("went on")
    assert handlers() == before


def test_what_is_ignored_stays_ignored(runtime: Runtime) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup and & in scripts do
    try:
        with stopped_by_signals(runtime):
            send(signal.SIGINT)
            assert not runtime.out_of_time()
    finally:
        signal.signal(signal.SIGINT, before)


def test_only_the_main_thread_may_take_them(runtime: Runtime) -> None:
    failed = list[BaseException]()

    def work() -> None:
        try:
            with stopped_by_signals(runtime), raised_on_terminate():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
