"""A directory for one process at a time.

The kernel holds the lock on an open file and releases it when the process ends, however it ends. Windows has no such
lock; there, the process id in the file says who is at work.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "lock"
_held: dict[Path, int] = {}  # files that this process has locked, and their open handles


class LockedError(OSError):
    """Another process works in the directory."""


def acquire(directory: Path) -> None:
    """Take the directory for this process, also after one that was killed (on Windows its file has to be deleted first).
    `LockedError` where another is at work."""
    path = directory.absolute() / NAME
    if fcntl is None:
        _take_file(path)
    elif not _holds(path):
        _held[path] = _take_handle(path)


def release(directory: Path) -> None:
    """Give the directory back, if it is this process's."""
    path = directory.absolute() / NAME
    if fcntl is None:
        if _owner(path) == os.getpid():
            path.unlink(missing_ok=True)
        return
    holds = _holds(path)
    handle = _held.pop(path, None)
    if holds:
        path.unlink(missing_ok=True)  # before others can lock it
    if handle is not None:
        os.close(handle)


def _holds(path: Path) -> bool:
    """Whether this process has locked the file that is there now, not one that was deleted since."""
    return path in _held and _is_open_as(path, _held[path])


def _is_open_as(path: Path, handle: int) -> bool:
    return path.exists() and os.path.samestat(path.stat(), os.fstat(handle))


def _take_handle(path: Path) -> int:
    """An open handle with the kernel's lock on it."""
    assert fcntl is not None
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise _locked(path, _owner(path), "") from None
        except OSError:  # a file system without locks: better to work unlocked than not at all
            pass
        if _is_open_as(path, handle):
            break
        os.close(handle)  # its owner deleted it just before we locked it: try again
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())  # for the message that others see
    return handle


def _take_file(path: Path) -> None:
    """Creates the file, with this process's id in it."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        if (owner := _owner(path)) == os.getpid():
            return
        raise _locked(path, owner, f". If there is none, delete {path}") from None
    with os.fdopen(handle, "w") as file:
        file.write(str(os.getpid()))


def _locked(path: Path, owner: int | None, hint: str) -> LockedError:
    return LockedError(
        f"another process{f' ({owner})' if owner else ''} is working in {path.parent}; "
        f"wait for it, or give another --out{hint}"
    )


def _owner(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # just released, or not yet written
        return None
