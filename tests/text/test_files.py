import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ulmfit.text.files import DAMAGED, DataError, decode, open_bytes, read_bytes, read_text

TEXT = "text,label\nDas Café war schön,gut\n" * 9
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_are_whole_or_refused(tmp_path: Path, suffix: str) -> None:
    path, one = tmp_path / f"a.csv{suffix}", COMPRESS[suffix]
    path.write_bytes(one(TEXT.encode()) + one(b"more"))  # several pieces are one file
    assert read_bytes(path) == TEXT.encode() + b"more"
    with open_bytes(path) as file:
        assert file.readline() == b"text,label\n"
    for damaged in (one(TEXT.encode() * 50)[:-5], one(b"a") + one(TEXT.encode())[:-9], b"no such thing"):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"can't be read as a {suffix} file"):
            read_bytes(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_bytes(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", ["f is read as UTF-16-LE (by its byte order mark)"]),
        ("utf-32", ["f is read as UTF-32-LE (by its byte order mark)"]),
        ("utf-16-le", ["f is read as UTF-16-LE (without a byte order mark)"]),
        ("utf-16-be", ["f is read as UTF-16-BE (without a byte order mark)"]),
        (
            "cp1252",
            [
                "f is not UTF-8 (byte 0xe9 in line 2): read as cp1252, which gives 'Café'; if that is wrong,"
                " save it as UTF-8"
            ],
        ),
    ],
)
def test_encodings_are_found_and_said(encoding: str, said: list[str]) -> None:
    heard = list[str]()
    assert decode(TEXT.encode(encoding), "f", heard.append) == TEXT
    assert heard == said


def test_a_byte_that_cp1252_lacks_makes_it_latin_1() -> None:
    heard = list[str]()
    assert decode(b"a long caf\xe9 \x81", "f", heard.append) == "a long café \x81"
    assert "read as latin-1" in heard[0]


def test_what_would_become_gibberish_is_refused(tmp_path: Path) -> None:
    for content in ("Очень хороший фильм, смотреть всем".encode("cp1251"), b"caf\xe9 \0 and more text"):  # fmt: skip
        with pytest.raises(DataError, match=r"not UTF-8 \(byte .* in line 1\), and not Western"):
            decode(content, "f")
    with pytest.raises(DataError, match=r"begins as UTF-16-LE, but is not valid from byte 8 on"):
        decode("café".encode("utf-16")[:-1], "f")


def test_a_few_wrong_bytes_in_utf_8_are_marked_not_mangled(tmp_path: Path) -> None:
    content = "ä\nö\nü\n".encode() + b"caf\xe9\n"
    text = decode(content, "f")
    assert text.startswith("ä\nö\nü\ncaf") and len(DAMAGED.findall(text)) == 1
    (tmp_path / "f.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.txt is not UTF-8: byte 0xe9 in line 4"):
        read_text(tmp_path / "f.txt")
