"""Files from the net: fetched once, checked, kept in a cache; archives unpacked so that they can't do harm."""

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedIOBase
from pathlib import Path, PureWindowsPath
from typing import IO, cast
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ulmfit import lock
from ulmfit.progress import bar

CHUNK = 1 << 18  # bytes read at a time
TIMEOUT_S = 30.0  # seconds without a byte
PARTIAL, NOTHING_BEHIND = 206, 416  # HTTP status; the second: no bytes at that place


class DownloadError(OSError):
    """A file can't be had, or is not the one that was wanted; the message says what to put where by hand."""


@dataclass(frozen=True)
class Remote:
    """A file on the net. `size` in bytes; `md5` as published, against broken downloads: it stops no attacker, so
    nothing that was downloaded is ever executed."""

    url: str
    md5: str
    size: int | None = None

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def cache_dir() -> Path:
    """Where downloads are kept: $ULMFIT_CACHE, or `ulmfit` in the place for caches. It may not exist yet."""
    if told := os.environ.get("ULMFIT_CACHE"):
        return Path(told).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "ulmfit"


def fetch(remote: Remote, folder: Path, *, say: Callable[[str], None]) -> Path:
    """The verified file in `folder`; one that is there already is verified, not fetched again.

    What an interrupted download has left (`.part`) is continued by the next call. `DownloadError` where the file can't
    be had or has another checksum; then there is nothing under its name.
    """
    path = folder / remote.name
    by_hand = f"wanted is {remote.url}; you may put it by hand at {path.absolute()}"
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


def _receive(remote: Remote, part: Path, say: Callable[[str], None]) -> None:
    """Append to `part` what it lacks; all of it where the server does not continue. OSError: it still lacks something."""
    start = part.stat().st_size if part.exists() else 0
    if start and start == remote.size:
        return  # an earlier call ended before it was verified
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
        raise OSError(
            f"it ended after {got:,} of {total:,} bytes; repeat the command to go on there"
        )


def _why(error: Exception) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        return f"no connection ({error.reason})"
    return str(error) or type(error).__name__


def _verify(path: Path, remote: Remote, remedy: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != remote.md5:
        raise DownloadError(
            f"{path} is damaged or another file: expected MD5 {remote.md5}, found {found}; {remedy}"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two processes would write into one `.part`. `DownloadError`: another is at work, or `folder` can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(folder)
    except lock.LockedError:
        raise DownloadError(
            f"another process downloads into {folder}; wait for it, then repeat"
        ) from None
    except OSError as error:
        raise _read_only(folder, error) from None
    try:
        yield
    finally:
        lock.release(folder)


def _read_only(folder: Path, error: OSError) -> DownloadError:
    return DownloadError(
        f"the cache {folder} can't be written ({error.strerror}); set ULMFIT_CACHE to another folder"
    )


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> None:
    """A tar file, compressed by gzip or not, becomes `folder`, whole or not at all.

    `DownloadError`: it holds anything but files and folders, or a path that leads outside; it is more than `max_bytes`
    unpacked (headers count); it is damaged; `folder` is there already, or can't be written.
    """
    if folder.exists():
        raise DownloadError(f"{folder} is there already; delete it to unpack {archive} again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _read_only(folder.parent, error) from None
    inside = temporary / folder.name  # mkdtemp's own folder is for its owner only
    inside.mkdir()
    try:
        with _decompressed(archive) as content:
            _extract(_Bounded(content, archive, max_bytes), archive, inside)
        os.replace(inside, folder)
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DownloadError(
            f"{archive} is no archive, or damaged ({error}); download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _decompressed(archive: Path) -> Iterator[BufferedIOBase]:
    with open(archive, "rb") as file:
        if file.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(file) as content:
                yield content
        else:
            yield file


def _extract(content: "_Bounded", archive: Path, folder: Path) -> None:
    with tarfile.open(fileobj=cast(IO[bytes], content), mode="r|") as tar:
        for member in tar:
            name = PureWindowsPath(member.name)  # knows / as well as \ and drives
            if name.anchor or name.drive or ".." in name.parts:
                raise DownloadError(
                    f"{archive} holds {member.name!r}, a path that leads outside; nothing was unpacked"
                )
            target = folder.joinpath(*name.parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isfile() and not member.issparse():  # holes take no bytes, until written
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "wb") as out:
                    shutil.copyfileobj(cast(IO[bytes], tar.extractfile(member)), out)
            else:
                raise DownloadError(
                    f"{archive} holds {member.name!r}, neither file nor folder; nothing was unpacked"
                )


class _Bounded:
    """Reads on until `most` bytes: neither a file nor an endless header gets beyond."""

    def __init__(self, file: BufferedIOBase, archive: Path, most: int) -> None:
        self.file, self.archive, self.most, self.left = file, archive, most, most

    def read(self, size: int) -> bytes:
        found = self.file.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise DownloadError(
                f"{self.archive} is more than {self.most:,} bytes unpacked; nothing was unpacked"
            )
        return found
