"""Files → bytes → text: encodings. Whatever is not plain UTF-8 is reported, or refused with its place."""

import codecs
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

from ulmfit.progress import Say, silent
from ulmfit.text.compression import FAILURES, OPENERS, open_decompressed

MARKS = {  # byte order marks; UTF-32's come first, since one begins like UTF-16's
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb")
NOT_TEXT = (".json", ".ods", ".zip", ".tar", ".tgz", ".pdf", ".docx", ".pkl", ".npy")
HEAD = 65_536  # bytes from which the encoding is detected
DAMAGED = re.compile("[\udc80-\udcff]")  # how a byte that is not UTF-8 stands in decoded text
NOT_UTF8 = "bytes that are not UTF-8"
FOREIGN = 0.25  # share of non-ASCII letters that no Western European text reaches


class DataError(ValueError):
    """A file can't be used as it is; the message says what is wrong where, and what to do."""


def suffix_of(path: Path) -> str:
    """`.csv` of `a.CSV` and of `a.csv.gz`."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def check_text(path: Path) -> None:
    """DataError: the file's name says that it is neither text nor a table that can be read."""
    if (suffix := suffix_of(path)) in EXCEL:
        raise DataError(f"{path} is an Excel workbook; save the sheet as CSV.")
    if suffix in NOT_TEXT:
        raise DataError(
            f"{path} is neither a readable table nor plain text; save it as CSV or .txt (UTF-8)."
        )


def open_bytes(path: Path) -> io.BufferedIOBase:
    """The file's content as a stream of bytes, decompressed within bounds. DataError: it is missing."""
    if not path.exists():
        raise DataError(f"There is no file {path} (looked in {Path.cwd()}).")
    return open_decompressed(path)


def read_bytes(path: Path) -> bytes:
    """The file's whole content, decompressed. DataError: it is missing, damaged or too large."""
    try:
        with open_bytes(path) as file:
            return file.read()
    except FAILURES as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> DataError:
    """The DataError for one of the `FAILURES`."""
    return DataError(f"{path} can't be read as a {path.suffix} file: {error}")


# ---- encodings ----


def encoding_of(head: bytes) -> tuple[str, int]:
    """(encoding, length of the byte order mark) of a file that begins with `head`. Without a mark: UTF-16 where most bytes
    at even places, or at odd ones, are zero, else UTF-8, which the rest may yet contradict."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
    least = max(3, 0.3 * min(len(head), 4096))  # six in ten of one parity, none of the other
    if odd > least and not even:
        return "utf-16-le", 0
    return ("utf-16-be", 0) if even > least and not odd else ("utf-8", 0)


def decode(content: bytes, name: object, say: Say = silent) -> str:
    """The text of a whole file: by its byte order mark, as UTF-8, or as Western European; all but UTF-8 is reported.

    In a file that is UTF-8 except for some bytes, these become U+DC80 to U+DCFF (`DAMAGED` finds them), so that only
    their rows are lost. DataError: other encodings.
    """
    encoding, mark = encoding_of(content[:HEAD])
    content = content[mark:] if mark else content
    if encoding != "utf-8":
        say(
            f"{name} is read as {encoding.upper()} ({'by its' if mark else 'without a'} byte order mark)"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise DataError(
                f"{name} begins as {encoding.upper()}, but is not valid from byte {error.start + mark:,} on:"
                " is it cut short? Save it as UTF-8 and try again."
            ) from error
        text = content.decode("utf-8", "surrogateescape")
        wrong = sum(1 for _ in DAMAGED.finditer(text))
        if _high(content) - wrong >= wrong:  # at least half of what is not ASCII is UTF-8
            return text
        return western(content, name, 1 + content.count(b"\n", 0, error.start), error.start, say)


def western(content: bytes, name: object, line: int, start: int, say: Say) -> str:
    """`content` as cp1252, or Latin-1 where cp1252 lacks a byte; reported, with the first byte (at `start`, in `line`) that
    is not UTF-8. DataError: it does not look Western European."""
    where = f"{name} is not UTF-8 (byte 0x{content[start]:02x} in line {line})"
    letters = len(content) - len(content.translate(None, string.ascii_letters.encode()))
    if b"\0" in content or _high(content) > FOREIGN * (letters + _high(content)) + 2:
        raise DataError(
            f"{where}, and not Western European either. Save the file as UTF-8 and try again."
        )
    encoding = "cp1252"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = content.decode(encoding)
    before, behind = text[max(0, start - 20) : start], text[start : start + 20]
    sample = re.findall(r"[^\W\d]*$", before)[0] + behind[0] + re.findall(r"^\w*", behind[1:])[0]
    say(f"{where}: read as {encoding}, which gives {sample!r}; if that is wrong, save it as UTF-8")
    return text


def read_text(path: Path, say: Say = silent) -> str:
    """The text of a whole file. DataError: it is missing, or holds bytes that are not text, with their line."""
    text = decode(read_bytes(path), path, say)
    if match := DAMAGED.search(text):
        raise DataError(f"{path} is not UTF-8: {byte_in_line(text, match)}. Save it as UTF-8.")
    return text


def byte_in_line(text: str, match: re.Match[str]) -> str:
    """ "byte 0xe9 in line 3" for a match of `DAMAGED`."""
    line = 1 + text.count("\n", 0, match.start())
    return f"byte 0x{ord(match[0]) - 0xDC00:02x} in line {line}"


def _high(content: bytes) -> int:
    """How many bytes are not ASCII."""
    return len(content.translate(None, bytes(range(128))))


def lines(file: io.BufferedIOBase, encoding: str, longest: int) -> Iterator[bytes | str]:
    """Lines of a stream: of UTF-8 as bytes, since single lines may be damaged; of other encodings as text. A line of
    more than `longest` bytes, or characters, is given as its first `longest` + 1."""
    as_bytes = encoding == "utf-8"
    text = file if as_bytes else io.TextIOWrapper(file, encoding, newline="\n")  # pyright: ignore[reportArgumentType]
    with text as stream:
        while line := stream.readline(longest + 1):
            yield line
