"""One process at a time: refused while it lives, taken over when it is gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.lock import NAME, LockedError, acquire, release


def test_taken_and_given_back(tmp_path: Path) -> None:
    acquire(tmp_path)
    acquire(tmp_path)  # the same process may go on
    assert (tmp_path / NAME).read_text() == str(os.getpid())
    release(tmp_path)
    release(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_living_process_is_respected_and_a_dead_one_is_not(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / NAME).write_text(str(other.pid))
    with pytest.raises(LockedError, match=rf"process \({other.pid}\) works in"):
        acquire(tmp_path)
    release(tmp_path)
    assert (tmp_path / NAME).exists()  # not ours to give back
    other.communicate(b"\n")
    acquire(tmp_path)
    assert (tmp_path / NAME).read_text() == str(os.getpid())


def test_a_lock_that_names_nobody_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with pytest.raises(LockedError, match=f"delete .*{NAME}"):
        acquire(tmp_path)
