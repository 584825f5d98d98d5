"""Plain text → documents, read line by line however long the file is."""

import re
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Literal

from ulmfit.progress import Say, silent
from ulmfit.text.bad_rows import Bad, OnBad, settle
from ulmfit.text.compression import FAILURES
from ulmfit.text.document import Document
from ulmfit.text.files import (
    HEAD,
    NOT_UTF8,
    DataError,
    check_text,
    encoding_of,
    lines,
    open_bytes,
    unreadable,
    western,
)
from ulmfit.text.shards import too_long

SplitOn = Literal["title", "blank-line", "line", "file"]

LONGEST_LINE = 2**28  # bytes, or characters; a line is held in memory
LARGE = 50_000_000  # bytes from which a file is hardly meant as one document
# WikiText's level-1 heading " = Title = "; " = = Section = = " is not one.
_TITLE = re.compile(r"= (?!=)(?:.*[^=\s] )?=$")


def plain_documents(
    path: Path, split_on: SplitOn | None, on_bad: OnBad, say: Say, longest: float = inf
) -> Iterator[Document]:
    """The documents of a file of plain text, cut by `split_on` (None: at titles where it begins with one).

    Looks at the beginning now, so that mistakes show at once, and reads the rest lazily. DataError: no text in it, or
    lines that are not text (unless on_bad="skip", which leaves them out and says so). `TooLong`: a document has more than
    `longest` characters; it is not read to its end (not checked with split_on="line").
    """
    check_text(path)
    first = next((line for line in _lines(path, on_bad, silent) if line.strip()), None)
    if first is None and on_bad == "skip":
        say(f"{path} is empty: skipped")
        return iter(())
    if first is None:
        raise DataError(f"{path} is empty.")
    if split_on is None:
        split_on = "title" if _TITLE.match(first.strip()) else "file"
        unit = "each ' = Title = ' begins a document" if split_on == "title" else "one document"
        say(f"{path.name}: {unit} (--split-on {split_on})")
        if split_on == "file" and path.stat().st_size > LARGE:
            say(f"{path.name} is large for one document; --split-on line or blank-line splits it")
    return _split(_lines(path, on_bad, say), split_on, longest, str(path))


def _split(
    lines: Iterator[str], split_on: SplitOn, longest: float, source: str
) -> Iterator[Document]:
    if split_on == "line":
        yield from (Document(line.rstrip("\n")) for line in lines if line.strip())
        return
    part, after_blank, size, number = list[str](), True, 0, 1
    for line in lines:
        blank = not line.strip()
        title = split_on == "title" and after_blank and _TITLE.match(line.strip())
        if title or (split_on == "blank-line" and blank):
            for document in _document(part):
                yield document
                number += 1
            part, size = [], 0
        part.append(line)
        after_blank = blank
        size += len(line)
        if size > longest:  # before the parts are joined
            raise too_long(source, number, "".join(part[:9]).strip(), size, "more than ")
    yield from _document(part)


def _document(lines: list[str]) -> Iterator[Document]:
    if text := "".join(lines).strip():
        yield Document(text)


def _lines(path: Path, on_bad: OnBad, say: Say) -> Iterator[str]:
    bad, number = list[Bad](), 0
    for number, text, whole in raw_lines(path, say):
        if whole and "\0" not in text:
            yield text.replace("\r\n", "\n")
            continue
        bad.append(Bad(path.name, "line", number, "a zero byte" if whole else NOT_UTF8))
        if on_bad == "error":
            break
    settle(bad, number, on_bad, say, str(path), "line")


def raw_lines(path: Path, say: Say) -> Iterator[tuple[int, str, bool]]:
    """The lines of a text file: (number from 1, text with its line end, whether it is undamaged); in a damaged line,
    bytes that are not UTF-8 become what `DAMAGED` finds."""
    number = 0
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD)
        encoding, mark = encoding_of(head)
        if encoding != "utf-8":
            say(f"{path.name} is read as {encoding.upper()}")
        decode = _decoder(path, head[mark:], say)
        with open_bytes(path) as file:
            file.read(mark)
            for number, line in enumerate(lines(file, encoding, LONGEST_LINE), 1):
                if len(line) > LONGEST_LINE:
                    raise DataError(
                        f"{path}: line {number} is longer than {LONGEST_LINE:,} characters; split it."
                    )
                if isinstance(line, str):
                    yield number, line, True
                elif (text := decode(line, number)) is not None:
                    yield number, text, True
                else:
                    yield number, line.decode("utf-8", "surrogateescape"), False
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged after line {number}: {error}.") from error
    except FAILURES as error:
        raise unreadable(path, error) from error


def _decoder(path: Path, head: bytes, say: Say) -> Callable[[bytes, int], str | None]:
    """A function from a line and its number to the text, None where it is damaged.

    A line that is not UTF-8 is damaged if an earlier line was UTF-8 beyond ASCII; otherwise it, and later ones like it,
    are Western European.
    """
    seen_utf8 = seen_western = False

    def decode(line: bytes, number: int) -> str | None:
        nonlocal seen_utf8, seen_western
        try:
            text = line.decode()
            seen_utf8 = seen_utf8 or not line.isascii()
            return text
        except UnicodeDecodeError as error:
            if seen_utf8 and not seen_western:
                return None
            if not seen_western and not head.isascii():
                western(head, path.name, number, _first_high(head), silent)
            text = western(line, path.name, number, error.start, silent if seen_western else say)
            seen_western = True
            return text

    return decode


def _first_high(content: bytes) -> int:
    return next(i for i, byte in enumerate(content) if byte > 127)
