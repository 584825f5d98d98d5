"""Compressed files as streams of bytes: complete, and no more than a file of that size can plausibly hold."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

MOST_TIMES = 100  # × its size on disk; texts compress 3 to 10 times, repetitive logs up to 50
ALWAYS = 64_000_000  # bytes that any file may hold, however small
PIECE = 1024  # bytes of Zstandard decompressed at once: they may become 32 MB
FAILURES = (EOFError, OSError, lzma.LZMAError, zlib.error)  # of a damaged compressed file


def most_bytes(size: int) -> int:
    """What `size` bytes on disk may become in memory."""
    return max(ALWAYS, MOST_TIMES * size)


class _Bounded(io.RawIOBase):
    """Reads at most `most` bytes. OSError: there are more, as in a decompression bomb."""

    def __init__(self, file: io.BufferedIOBase, most: int) -> None:
        self._file, self._most, self._left = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer)
        self._left -= n
        if self._left < 0:
            raise OSError(
                f"it holds more than {self._most:,} bytes, {MOST_TIMES} times its size; unpack it by hand"
                " if that is right"
            )
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


class _Zstandard(io.RawIOBase):
    """Decompressed bytes of a stream of Zstandard frames. EOFError: it ends inside a frame, which the package's own
    reader takes for the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._ready, self._rest = file, memoryview(b""), b""
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._more():
            pass
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n

    def _more(self) -> bool:
        """Decompress another piece; False at the end."""
        import zstandard

        piece, self._rest = self._rest or self._file.read(PIECE), b""
        if not piece:
            if self._frame is not None:
                raise EOFError("it is cut short, as after an interrupted download")
            return False
        if self._frame is None:  # windows of up to 2 GiB, as `zstd --long=31` makes them
            self._frame = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(piece))
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error
        if self._frame.eof:
            self._frame, self._rest = None, self._frame.unused_data
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def _open_zstandard(path: Path, mode: str) -> io.BufferedReader:
    try:
        import zstandard  # noqa: F401
    except ImportError:
        raise ImportError(f"{path}: reading .zst needs a package: pip install zstandard") from None
    return io.BufferedReader(_Zstandard(cast(BinaryIO, open(path, mode))))


OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}


def open_decompressed(path: Path) -> io.BufferedIOBase:
    """The file's content as a stream of bytes. Raises one of the `FAILURES`, now or while it is read, where the file is
    missing, damaged, or holds more than `most_bytes`."""
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        return open(path, "rb")
    return io.BufferedReader(
        _Bounded(opener(path, "rb"), most_bytes(path.stat().st_size)), io.DEFAULT_BUFFER_SIZE * 8
    )
