"""Archives unpacked so that they can't do harm: inside one folder, within bounds, atomically."""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from math import inf
from pathlib import Path, PureWindowsPath
from typing import IO, cast

from ulmfit.files.download import DownloadError, read_only

MOST_HEADER = 100_000  # bytes between two files; a path and some attributes take a thousand
DAMAGE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    ValueError,
    LookupError,
    OverflowError,
    RecursionError,  # too many headers in a row
)


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> None:
    """Unpacks a tar file, compressed by gzip or not, as `folder`, atomically.

    `DownloadError`: it holds anything but files and folders, a path twice, or a path that leads outside; it is more than
    `max_bytes` unpacked (headers count); it is damaged; `folder` is there already, or can't be written.
    """
    if folder.exists():
        raise DownloadError(f"{folder} is there already; delete it to unpack {archive} again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise read_only(folder.parent, error) from None
    inside = temporary / folder.name  # other users can't read mkdtemp's own folder
    inside.mkdir()
    try:
        with _decompressed(archive) as content:
            _extract(_Bounded(content, archive, max_bytes), archive, inside)
        os.replace(inside, folder)
    except DAMAGE as error:
        raise DownloadError(
            f"{archive} is not an archive, or is damaged ({str(error)[:200]}); download it again"
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


class _Header(tarfile.TarInfo):
    """A header, or an error where it is damaged: after the first, tarfile takes a damaged one for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:  # pyright: ignore
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # pyright: ignore  # the zeros at the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {tar.offset:,}") from None


def _extract(content: "_Bounded", archive: Path, folder: Path) -> None:
    file = cast(IO[bytes], content)
    content.bound(MOST_HEADER)
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as tar:
        while (member := tar.next()) is not None:
            content.bound(inf)
            _write(member, tar, archive, folder)
            tar.members.clear()  # pyright: ignore  # else all of them stay in memory
            content.bound(MOST_HEADER)


def _write(member: tarfile.TarInfo, tar: tarfile.TarFile, archive: Path, folder: Path) -> None:
    name = PureWindowsPath(member.name)  # knows / as well as \ and drives
    shown = repr(member.name[:200])
    if name.anchor or name.drive or ".." in name.parts:
        raise DownloadError(f"{archive} holds {shown}, a path that leads outside the folder; nothing was unpacked")  # fmt: skip
    target = folder.joinpath(*name.parts)
    if not (member.isdir() or (member.isfile() and not member.issparse())):
        # links lead elsewhere, and holes take no bytes until they are written
        raise DownloadError(f"{archive} holds {shown}, neither file nor folder; nothing was unpacked")  # fmt: skip
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as out:  # two names may be one to a file system
            shutil.copyfileobj(cast(IO[bytes], tar.extractfile(member)), out)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{archive} holds {shown}, which can't be written ({error.strerror}); nothing was unpacked"
        ) from None


class _Bounded:
    """Reads at most `most` bytes in all, and at most those of the last `bound`: neither huge files nor endless headers."""

    def __init__(self, file: BufferedIOBase, archive: Path, most: int) -> None:
        self.file, self.archive, self.most, self.left = file, archive, most, most
        self.left_here = inf

    def bound(self, most: float) -> None:
        """From here on at most `most` bytes."""
        self.left_here = most

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left, self.left_here = self.left - len(data), self.left_here - len(data)
        if self.left < 0:
            raise DownloadError(
                f"{self.archive} is more than {self.most:,} bytes unpacked; nothing was unpacked"
            )
        if self.left_here < 0:
            raise DownloadError(
                f"{self.archive} has a header of more than {MOST_HEADER:,} bytes; nothing was unpacked"
            )
        return data
