"""Compressed files: whole or refused, and never more in memory than their size allows."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.text import compression
from ulmfit.text.compression import FAILURES, most_bytes, open_decompressed
from ulmfit.text.files import DataError, open_bytes, read_bytes

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def test_what_a_file_may_become() -> None:
    assert most_bytes(10) == 64_000_000 and most_bytes(10**9) == 10**11


@pytest.mark.parametrize("suffix", COMPRESS)
def test_bombs_are_refused_at_the_bound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    one = COMPRESS[suffix](bytes(10**7))
    path.write_bytes(one * 7)  # 70 MB out of 70 KB or less
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"more than 64,000,000 bytes, 100 times its size; unpack"):
        read_bytes(path)
    with open_bytes(path) as file, pytest.raises(OSError, match="more than 64,000,000"):
        while file.read(10**6):
            pass
    path.write_bytes(one * 6)
    assert len(read_bytes(path)) == 6 * 10**7


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_larger_file_may_become_more(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "ALWAYS", 1000)
    path, text = tmp_path / f"a{suffix}", b"".join(b"%d\n" % n for n in range(5000))
    path.write_bytes(COMPRESS[suffix](text))
    assert read_bytes(path) == text


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zst").write_bytes(COMPRESS[".zst"](b"a"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ImportError, match="pip install zstandard"):
        open_bytes(tmp_path / "a.zst")


@pytest.mark.parametrize("suffix", COMPRESS)
def test_any_bytes_are_decompressed_or_refused(tmp_path: Path, suffix: str) -> None:
    whole, path = COMPRESS[suffix](b"text,label\n" * 50), tmp_path / f"a{suffix}"
    places = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3)

    @given(places, st.binary(max_size=20) | st.none())
    def check(changes: list[tuple[int, int]], other: bytes | None) -> None:
        content = bytearray(whole if other is None else other)
        for place, value in changes:
            if place < len(content):
                content[place] = value
        path.write_bytes(content)
        try:
            with open_decompressed(path) as file:
                file.read()
        except FAILURES:
            pass

    check()
