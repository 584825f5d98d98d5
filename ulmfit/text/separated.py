"""CSV and TSV → rows, by RFC 4180 and line by line: a row that breaks the rules costs that row, not the file.

Fast parsers give up at an unclosed quote, or silently take all up to the next one for a single field. Here a quote may
open only where a field begins and close only where it ends, and each row has as many fields as the header.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SEPARATORS = ",;\t|"
PIECE = 8_000_000  # characters of a large table processed together
LONGEST_WAIT = 64_000_000  # characters; the quote of a longer field is taken to be unclosed
DOUBT = 100  # lines after a broken row within which a stray quote is taken for its end

Row = list[str | None]  # None: nothing between two separators; "": two quotes


@dataclass
class Rows:
    """The result of `scan`; `lines` and `bad` count lines of the file from 1."""

    header: list[str]
    rows: list[Row] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # where each row begins
    bad: list[tuple[int, str]] = field(default_factory=list)  # line, what is wrong


def separator_of(text: str, suffix: str) -> str:
    """The suffix's own separator where the header has it, else the first of the usual ones that it has."""
    header, own = text.partition("\n")[0], "\t" if suffix == ".tsv" else ","
    return next((s for s in (own, *SEPARATORS) if s in header), own)


def read(text: str, separator: str) -> tuple[Rows, bool]:
    """All rows, and whether quotes mean something. Many TSV files do not quote, and a field that happens to begin with a
    quote would swallow lines."""
    quoted = scan(text, separator)
    if separator != "\t" or '"' not in text:
        return quoted, True
    begun = re.finditer(r'(?:^|(?<=\t))"[^\t\r\n]*', text, re.MULTILINE)
    if all(re.fullmatch(r'"(?:[^"]|"")*"', match[0]) for match in begun):
        return quoted, True
    plain = scan(text, separator, quotes=False)
    return (plain, False) if len(plain.bad) <= len(quoted.bad) else (quoted, True)


def scan(text: str, separator: str, *, quotes: bool = True) -> Rows:
    """The rows of a table with a header. Blank lines count only where there is one column."""
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as on old Macs
    result, start, line = _begin(text, separator, quotes)
    _scan(result, text, start, line, separator, quotes=quotes, final=True)
    return result


def pieces(lines: Iterator[str], separator: str, size: int = PIECE) -> Iterator[Rows]:
    """The result of `scan` on all lines, about `size` characters at a time. Rows that later text could change wait for it,
    up to `LONGEST_WAIT` characters."""
    text, more = _read(lines, size)
    result, start, line = _begin(text, separator, True)
    while True:
        final = not more or len(text) > LONGEST_WAIT
        start, line = _scan(result, text, start, line, separator, quotes=True, final=final)
        yield result
        if not more:
            return
        result, text = Rows(result.header), text[start:]
        new, more = _read(lines, max(size, len(text)))
        text, start = text + new, 0


def _read(lines: Iterator[str], size: int) -> tuple[str, bool]:
    """Some lines as one text, and whether there may be more."""
    read, characters = list[str](), 0
    for line in lines:
        read.append(line)
        characters += len(line)
        if characters >= size:
            return "".join(read), True
    return "".join(read), False


def _begin(text: str, separator: str, quotes: bool) -> tuple[Rows, int, int]:
    """(a result with the header and no rows, where the first row begins, its line)."""
    record = _parser(text, separator, quotes)(0)
    header, end, kind = record or ([], 0, "broken")
    if kind in ("broken", "open"):
        header, end, _ = _unquoted(text, 0, _line_end(text, 0), separator)
    return Rows([name or "" for name in header]), end + 1, 2 + text.count("\n", 0, end)


def _scan(
    result: Rows, text: str, start: int, line: int, separator: str, *, quotes: bool, final: bool
) -> tuple[int, int]:
    """Adds rows to `result`; gives where it stopped, and the line there. If more text is to come (not `final`), it stops
    before anything that text could change."""
    limit, width = len(text.rstrip("\r\n")), len(result.header)
    record = _parser(text[:limit] if final else text, separator, quotes)
    broken, behind = -DOUBT, 0  # line of the last broken row that may go on; the row after it
    certain = start, line, 0, 0  # what can't change any more: place, line, rows, bad ones
    while start < limit:
        row, end, kind = record(start) or ([], 0, "broken")
        doubt = line - broken <= DOUBT
        if not doubt:
            certain = start, line, len(result.rows), len(result.bad)
        if kind == "open" and not final:
            break
        if kind == "stray" and doubt:  # the broken row has several lines; this is the last of them
            wrong = [*result.lines[behind:], line]
            result.bad += [(number, "the rest of a broken row") for number in wrong]
            del result.rows[behind:], result.lines[behind:]
            broken = -DOUBT
        elif kind in ("broken", "open"):
            result.bad.append((line, "a quote that is not closed, or closed within a field"))
        elif width > 1 and len(row) == 1 and not (row[0] or "").strip():
            pass  # a blank line
        elif len(row) != width:
            result.bad.append((line, f"{len(row)} field{'s'[: len(row) > 1]} instead of {width}"))
        else:
            result.rows.append(row)
            result.lines.append(line)
            broken = -DOUBT if kind == "quoted" else broken
        lines = text.count("\n", start, end) if kind in ("quoted", "stray") else 0
        if kind in ("broken", "open") or (lines and len(row) != width):
            # Its quote may not be closed at all: only the first line is given up.
            broken, behind, lines, end = line, len(result.rows), 0, _line_end(text, start)
        start, line = end + 1, line + lines + 1
    if not final and line - broken <= DOUBT:
        start, line, rows, bad = certain
        del result.rows[rows:], result.lines[rows:], result.bad[bad:]
    result.bad.sort()
    return start, line


# ---- one record ----

# fields; where its last line ends; "plain", "quoted", "stray" or "open" (a quote, to the end of the text)
Record = tuple[Row, int, str]


def _parser(text: str, separator: str, quotes: bool) -> Callable[[int], Record | None]:
    """A function from a record's start to the record, or None where its quotes break the rules."""
    opened = re.compile(r'"(?:[^"]++|"")*+\Z')
    quoted = re.compile(rf'"((?:[^"]++|"")*+)"(?=[{separator}\n]|\r\n|\r?\Z)')
    plain = re.compile(rf"[^{separator}\n]*")

    def record(start: int) -> Record | None:
        end = _line_end(text, start)
        if not quotes or text.find('"', start, end) < 0:
            return _unquoted(text, start, end, separator)
        row, stray = Row(), False
        while True:
            match = (quoted if text.startswith('"', start) else plain).match(text, start)
            if match is None:
                return ([], 0, "open") if opened.match(text, start) else None
            start = match.end()
            if match.re is quoted:
                row.append(match[1].replace('""', '"'))
            else:
                last = not text.startswith(separator, start)
                value = match[0].removesuffix("\r") if last else match[0]
                stray = stray or '"' in value
                row.append(value or None)
            if not text.startswith(separator, start):
                end = start + text.startswith("\r", start)
                return row, end, "stray" if stray else "quoted"
            start += 1

    return record


def _unquoted(text: str, start: int, end: int, separator: str) -> Record:
    fields = text[start:end].removesuffix("\r").split(separator)
    return [value or None for value in fields], end, "plain"


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
