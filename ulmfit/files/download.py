"""Files from the net: fetched once, verified, kept in a cache."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ulmfit.files import lock
from ulmfit.progress import Say, bar

CHUNK = 1 << 18  # bytes read at a time
TIMEOUT_S = 30.0  # seconds without a byte
PARTIAL, NOTHING_BEHIND = 206, 416  # HTTP status; the second: the file ends before that byte


class DownloadError(OSError):
    """A file can't be had, or is not the one that was wanted; the message says what to put where by hand."""


@dataclass(frozen=True)
class Remote:
    """A file on the net. `size` in bytes; `md5` as published, against broken downloads: it stops no attacker, so nothing
    that was downloaded is ever executed."""

    url: str
    md5: str
    size: int | None = None

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def cache_dir() -> Path:
    """Where downloads are kept: $ULMFIT_CACHE, or `ulmfit` in the system's folder for caches. It may not exist yet."""
    if chosen := os.environ.get("ULMFIT_CACHE"):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "ulmfit"


def fetch(remote: Remote, folder: Path, *, say: Say) -> Path:
    """The verified file in `folder`; one that is there already is verified, not fetched again.

    What an interrupted download has left (`.part`) is continued by the next call. `DownloadError` where the file can't
    be had or has another checksum; a download with another checksum is deleted, a file that was there is kept.
    """
    path = folder / remote.name
    by_hand = f"you may also download {remote.url} by hand and save it as {path.absolute()}"
    again = f"delete it to download it again; {by_hand}"
    if path.exists():  # needs no lock, and no right to write
        _verify(path, remote, again)
        return path
    with alone(folder):
        if path.exists():  # another process may just have done it
            _verify(path, remote, again)
            return path
        part = path.with_name(f"{path.name}.part")
        try:
            _receive(remote, part, say)
        except (OSError, HTTPException) as error:
            raise DownloadError(
                f"{remote.name} could not be downloaded: {_why(error)}; {by_hand}"
            ) from None
        try:
            _verify(part, remote, f"repeat the command to download it again; {by_hand}")
        except DownloadError:
            part.unlink()
            raise
        os.replace(part, path)
    return path


def _receive(remote: Remote, part: Path, say: Say) -> None:
    """Append to `part` what it lacks; all of it where the server does not continue. OSError: it still lacks something."""
    start = part.stat().st_size if part.exists() else 0
    if start and start == remote.size:
        return  # an earlier call ended before it had verified it
    headers = {"User-Agent": "ulmfit"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urlopen(Request(remote.url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code != NOTHING_BEHIND or not start:
            raise
        part.unlink()
        return _receive(remote, part, say)
    with cast(HTTPResponse, answer) as response:
        if response.status != PARTIAL:
            start = 0
        total = start + response.length if response.length is not None else remote.size
        if remote.size is not None and total != remote.size:
            raise OSError(f"expected {remote.size:,} bytes, the server has {total:,}")
        say(f"downloading {remote.url}" + (f", from byte {start:,} on" if start else ""))
        with (
            open(part, "ab" if start else "wb") as file,
            bar(remote.name, total=total, unit="bytes", done=start) as advance,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                advance(len(chunk), "")
    if total is not None and (got := part.stat().st_size) != total:
        raise OSError(f"it ended after {got:,} of {total:,} bytes; repeat the command to continue")


def _why(error: Exception) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        return f"no connection ({error.reason})"
    return str(error) or type(error).__name__


def _verify(path: Path, remote: Remote, remedy: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != remote.md5:
        raise DownloadError(
            f"{path} is damaged or a different file: expected MD5 {remote.md5}, found {found}; {remedy}"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Locks `folder`, since two processes would write to one `.part`. `DownloadError`: another is at work, or `folder`
    can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(folder)
    except lock.LockedError:
        raise DownloadError(
            f"another process is downloading into {folder}; wait for it, then repeat"
        ) from None
    except OSError as error:
        raise read_only(folder, error) from None
    try:
        yield
    finally:
        lock.release(folder)


def read_only(folder: Path, error: OSError) -> DownloadError:
    """The error for a cache that can't be written."""
    return DownloadError(
        f"the cache {folder} can't be written ({error.strerror}); set ULMFIT_CACHE to another folder"
    )
