"""What is handed in one by one is done together: in order, in bounds, and all of it."""

from concurrent.futures import CancelledError
from threading import Event
from time import monotonic, sleep

import pytest

from ulmfit.deploy.batching import Batcher, Full

PATIENCE = 60  # seconds


class Doubler:
    """Doubles numbers, once it is let go; keeps the batches."""

    def __init__(self, max_batch: int = 4, max_wait_s: float = 0.0, max_waiting: int = 10) -> None:
        self.batches: list[list[int]] = []
        self.go, self.began = Event(), Event()
        self.batcher: Batcher[int, int] = Batcher(
            self.work, max_batch=max_batch, max_wait_s=max_wait_s, max_waiting=max_waiting
        )

    def work(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.began.set()
        assert self.go.wait(PATIENCE)
        if 13 in numbers:
            raise ValueError("not 13")
        return [2 * number for number in numbers if number != 17]

    def occupy(self) -> None:
        """It is at work on a 0 when this comes back."""
        self.batcher.submit([0])
        assert self.began.wait(PATIENCE)


def test_in_order_and_in_batches_of_no_more_than_allowed() -> None:
    doubler = Doubler()
    doubler.occupy()
    futures = [f for n in range(1, 8) for f in doubler.batcher.submit([n])]
    assert len(doubler.batcher) == 7
    doubler.go.set()
    assert [future.result(PATIENCE) for future in futures] == list(range(2, 16, 2))
    assert doubler.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    doubler.batcher.close()


def test_a_full_batch_does_not_wait_and_a_lone_item_no_longer_than_told() -> None:
    patient = Doubler(max_batch=2, max_wait_s=PATIENCE)
    patient.go.set()
    begun = monotonic()
    assert [f.result(PATIENCE) for f in patient.batcher.submit([1, 2])] == [2, 4]
    assert monotonic() - begun < PATIENCE / 2
    patient.batcher.close()
    hasty = Doubler(max_wait_s=0.2)
    hasty.go.set()
    begun = monotonic()
    (future,) = hasty.batcher.submit([1])
    assert future.result(PATIENCE) == 2 and monotonic() - begun >= 0.2
    hasty.batcher.close()


def test_an_item_spoils_its_own_result_only() -> None:
    doubler = Doubler()
    doubler.occupy()
    futures = doubler.batcher.submit([12, 13, 14])
    doubler.go.set()
    assert futures[0].result(PATIENCE) == 24 and futures[2].result(PATIENCE) == 28
    assert str(futures[1].exception(PATIENCE)) == "not 13"
    (futures,) = doubler.batcher.submit([17])  # as many results as items, or none counts
    assert isinstance(futures.exception(PATIENCE), ValueError)
    assert doubler.batcher.alive
    doubler.batcher.close()


def test_all_of_them_or_none() -> None:
    doubler = Doubler()
    doubler.occupy()
    doubler.batcher.submit([*range(8)])
    with pytest.raises(Full):
        doubler.batcher.submit([8, 9, 10])
    doubler.batcher.submit([8, 9])
    with pytest.raises(Full):
        doubler.batcher.submit([10])
    doubler.go.set()
    doubler.batcher.close()
    assert [n for batch in doubler.batches for n in batch] == [0, *range(10)]


def test_what_is_cancelled_before_its_turn_costs_nothing() -> None:
    doubler = Doubler()
    doubler.occupy()
    futures = doubler.batcher.submit([1, 2, 3, 4, 5])
    assert all(f.cancel() for f in futures[:4])
    left = doubler.batcher.submit([6] * 9)  # there is room for nine again
    assert all(f.cancel() for f in left)
    doubler.go.set()
    assert futures[4].result(PATIENCE) == 10
    with pytest.raises(CancelledError):
        futures[0].result(PATIENCE)
    assert doubler.batches == [[0], [5]]
    doubler.batcher.close()


def test_it_works_on_where_all_that_waited_was_cancelled() -> None:
    doubler = Doubler(max_wait_s=0.4, max_waiting=2)
    doubler.go.set()
    (future,) = doubler.batcher.submit([1])
    sleep(0.1)  # the thread has seen it, and waits for company
    future.cancel()
    with pytest.raises(Full):
        doubler.batcher.submit([1, 2, 3])  # too many, even without the one that was cancelled
    sleep(0.5)
    assert doubler.batcher.alive
    assert doubler.batcher.submit([4])[0].result(PATIENCE) == 8
    doubler.batcher.close()


def test_closing_finishes_what_was_taken_and_takes_no_more() -> None:
    doubler = Doubler(max_wait_s=PATIENCE)
    futures = doubler.batcher.submit([1, 2])
    doubler.go.set()
    doubler.batcher.close()
    assert [future.result(0) for future in futures] == [2, 4]
    with pytest.raises(Full):
        doubler.batcher.submit([3])
    assert not doubler.batcher.alive
