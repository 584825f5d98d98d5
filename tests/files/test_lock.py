"""One process at a time: refused while it lives, taken over when it is gone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.files import lock
from ulmfit.files.lock import NAME, LockedError, acquire, release

HOLD = "import sys, pathlib, ulmfit.files.lock as l; l.acquire(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"


def holder(directory: Path) -> subprocess.Popen[str]:
    """Another process that has taken the directory."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout and other.stdout.readline() == "held\n"
    return other


def test_taken_and_given_back(tmp_path: Path) -> None:
    acquire(tmp_path)
    acquire(tmp_path)  # the same process may go on
    assert (tmp_path / NAME).read_text() == str(os.getpid())
    release(tmp_path)
    release(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(lock.fcntl is None, reason="no locks of the kernel")
def test_a_living_process_is_respected_and_a_dead_one_is_not(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        with pytest.raises(LockedError, match=rf"process \({other.pid}\) is working in"):
            acquire(tmp_path)
        release(tmp_path)
        assert (tmp_path / NAME).exists()  # not ours to give back
        other.kill()
    acquire(tmp_path)
    assert (tmp_path / NAME).read_text() == str(os.getpid())
    release(tmp_path)


@pytest.mark.skipif(lock.fcntl is None, reason="no locks of the kernel")
def test_a_process_id_alone_is_no_lock(tmp_path: Path) -> None:
    """In another container the same number means another process."""
    (tmp_path / NAME).write_text(str(os.getppid()))
    acquire(tmp_path)
    release(tmp_path)


def test_a_deleted_directory_is_taken_anew(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in range(2):
        run.mkdir()
        acquire(run)
        assert (run / NAME).exists()
        shutil.rmtree(run)
    release(run)


def test_without_locks_of_the_kernel_the_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    acquire(tmp_path)
    acquire(tmp_path)
    release(tmp_path)
    assert not list(tmp_path.iterdir())
    for owner in (str(os.getppid()), ""):
        (tmp_path / NAME).write_text(owner)
        with pytest.raises(LockedError, match=f"delete .*{NAME}"):
            acquire(tmp_path)
        release(tmp_path)
        assert (tmp_path / NAME).exists()
