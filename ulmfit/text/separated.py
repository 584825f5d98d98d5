"""CSV and TSV → rows, by RFC 4180 and line by line: a row that breaks its rules costs that row, not the file.

Fast parsers give up at an unclosed quote, or take all up to the next one for a single field without a word. Here a quote
may open only where a field begins and close only where it ends, and each row has as many fields as the header.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

SEPARATORS = ",;\t|"
DOUBT = 100  # lines behind a broken row within which a stray quote is taken for its end

Row = list[str | None]  # None: nothing between two separators; "" was written as ""


@dataclass
class Rows:
    """What `scan` found; `lines` and `bad` count lines of the file from 1."""

    header: list[str]
    rows: list[Row] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # where each row begins
    bad: list[tuple[int, str]] = field(default_factory=list)  # line, what is wrong


def separator_of(text: str, suffix: str) -> str:
    """The suffix's own separator where the header has it, else the first of the usual ones that it has."""
    header, own = text.partition("\n")[0], "\t" if suffix == ".tsv" else ","
    return next((s for s in (own, *SEPARATORS) if s in header), own)


def read(text: str, separator: str) -> tuple[Rows, bool]:
    """All rows, and whether quotes mean something. Many TSV files know no quotes, and a field that happens to begin
    with one would swallow lines."""
    found = scan(text, separator)
    if separator != "\t" or '"' not in text:
        return found, True
    begun = re.finditer(r'(?:^|(?<=\t))"[^\t\r\n]*', text, re.MULTILINE)
    if all(re.fullmatch(r'"(?:[^"]|"")*"', one[0]) for one in begun):
        return found, True
    plain = scan(text, separator, quotes=False)
    return (plain, False) if len(plain.bad) <= len(found.bad) else (found, True)


def scan(text: str, separator: str, *, quotes: bool = True) -> Rows:
    """The rows of a table with a header. Lines without anything in them count only where there is one column."""
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as on old Macs
    text = text.rstrip("\r\n")
    record = _parser(text, separator, quotes)
    header, end, _ = record(0) or _unquoted(text, 0, _line_end(text, 0), separator)
    found, width = Rows([name or "" for name in header]), len(header)
    start, line = end + 1, 2 + text.count("\n", 0, end)
    broken, behind = -DOUBT, 0  # line of the last broken row that may go on, and the row behind it
    while start < len(text):
        row, end, kind = record(start) or ([], 0, "broken")
        doubt = line - broken <= DOUBT
        if kind == "stray" and doubt:  # the broken row had lines, and this is the last of them
            wrong = [*found.lines[behind:], line]
            found.bad += [(number, "the rest of a broken row") for number in wrong]
            del found.rows[behind:], found.lines[behind:]
            broken = -DOUBT
        elif kind == "broken":
            found.bad.append((line, "a quote that is not closed, or closed within a field"))
        elif width > 1 and len(row) == 1 and not (row[0] or "").strip():
            pass  # a blank line
        elif len(row) != width:
            found.bad.append((line, f"{len(row)} field{'s'[: len(row) > 1]} instead of {width}"))
        else:
            found.rows.append(row)
            found.lines.append(line)
            broken = -DOUBT if kind == "quoted" else broken
        lines = text.count("\n", start, end) if kind in ("quoted", "stray") else 0
        if kind == "broken" or (lines and len(row) != width):
            # Its quote may not be closed at all: only the first line is given up.
            broken, behind, lines, end = line, len(found.rows), 0, _line_end(text, start)
        start, line = end + 1, line + lines + 1
    found.bad.sort()
    return found


# ---- one record ----

Record = tuple[Row, int, str]  # fields; where its last line ends; plain, quoted or stray


def _parser(text: str, separator: str, quotes: bool) -> Callable[[int], Record | None]:
    """A function from a record's start to the record; None where its quotes break the rules."""
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
                return None
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
