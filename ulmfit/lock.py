"""A directory for one process at a time: a file in it names the process that works there."""

import os
from pathlib import Path

NAME = "lock"


class LockedError(OSError):
    """Another process works in the directory."""


def acquire(directory: Path) -> None:
    """Take the directory for this process, also from one that is gone. `LockedError` where another is at work."""
    path = directory / NAME
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            owner = _owner(path)
            if owner == os.getpid():
                return
            if owner is None or _lives(owner):
                raise LockedError(
                    f"another process{f' ({owner})' if owner else ''} works in {directory}; wait for it, or give "
                    f"another --out. If there is none, delete {path}"
                ) from None
            path.unlink(missing_ok=True)
        else:
            with os.fdopen(handle, "w") as file:
                file.write(str(os.getpid()))
            return


def release(directory: Path) -> None:
    """Give the directory back, if it is this process's."""
    path = directory / NAME
    if _owner(path) == os.getpid():
        path.unlink(missing_ok=True)


def _owner(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # just released, or not yet written
        return None


def _lives(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 is no question but Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, but is somebody else's
        return True
    return True
