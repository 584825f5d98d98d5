"""Processes that share work, and how they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ulmfit.text.parallel import AHEAD, WorkerDied, Workers


def slow_first(number: int) -> tuple[int, int]:
    """Later tasks are done before earlier ones."""
    time.sleep(0.2 if number == 0 else 0)
    return number, os.getpid()


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number: int) -> int:
    raise ValueError(f"task {number} is wrong")


def test_one_worker_is_this_process() -> None:
    with Workers(1) as workers:
        assert list(workers.map(slow_first, range(3))) == [(n, os.getpid()) for n in range(3)]
    with pytest.raises(ValueError, match="--workers 0"):
        Workers(0)


def test_results_come_in_order_and_tasks_are_read_a_few_ahead() -> None:
    read = list[int]()

    def tasks() -> Iterator[int]:
        for number in range(12):
            read.append(number)
            yield number

    with Workers(2) as workers:
        found = list[int]()
        for number, pid in workers.map(slow_first, tasks()):
            assert pid != os.getpid() and len(read) <= number + AHEAD * 2 + 1
            found.append(number)
        assert found == list(range(12))
        with pytest.raises(ValueError, match="task 0 is wrong"):
            list(workers.map(fail, range(9)))
        assert [n for n, _ in workers.map(slow_first, range(3))] == [0, 1, 2]  # goes on afterwards
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_said_and_the_others_end() -> None:
    with (
        pytest.raises(WorkerDied, match="one of the 2 worker processes was killed"),
        Workers(2) as w,
    ):
        list(w.map(die, range(9)))
    assert not multiprocessing.active_children()


PARENT = """
import time
from ulmfit.text.parallel import Workers
from os import getpid
def pid(task):
    time.sleep(0.3)
    return getpid()
if __name__ == "__main__":
    with Workers(2) as workers:
        print(*set(workers.map(pid, range(6))), flush=True)
        time.sleep(60)
"""


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert pids and all(map(alive, pids))
        parent.kill()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # nobody here reaps what an orphan leaves
