import csv
import io
import random
import re

import pytest

from ulmfit.text.separated import Rows, pieces, read, scan

QUOTE = "a quote that is not closed, or closed within a field"
REST = "the rest of a broken row"


def written(rows: list[list[str]], **options: object) -> str:
    file = io.StringIO()
    csv.writer(file, **options).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


def test_what_is_written_by_the_rules_is_read_back() -> None:
    draw = random.Random(0)
    for number in range(400):
        width = 2 + number % 3
        rows = [
            [
                "".join(draw.choices('ab,;"\n\t \u2028é', k=draw.randrange(1, 9)))
                for _ in range(width)
            ]
            for _ in range(6)
        ]
        rows = [row for row in rows if "".join(row).strip()]
        separator, end = draw.choice(",;\t"), draw.choice(["\n", "\r\n"])
        quoting = draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
        text = written([["h"] * width, *rows], delimiter=separator, lineterminator=end, quoting=quoting)  # fmt: skip
        found = scan(text, separator)
        assert (found.bad, found.rows) == ([], rows), text
        starts = {0, *(i + 1 for i, c in enumerate(text) if c == "\n")}
        assert set(found.lines) <= set(range(2, len(starts) + 1))


@pytest.mark.parametrize(
    ("text", "rows", "lines", "bad"),
    [
        ('a,b\n"x\ny",1\nz,2\n', [["x\ny", "1"], ["z", "2"]], [2, 4], []),
        ('a,b\n"",1\n,\n', [["", "1"], [None, None]], [2, 3], []),
        ('a,b\n5" pipe,1\n', [['5" pipe', "1"]], [2], []),
        ("a,b\n1,2\n\n \n3,4\n\n", [["1", "2"], ["3", "4"]], [2, 5], []),  # blank lines
        ("a\n1\n\n2\n\n", [["1"], [None], ["2"]], [2, 3, 4], []),  # no blank line but an empty text
        ("a,b\r1,2\r", [["1", "2"]], [2], []),
        ("a,b", [], [], []),
        ("a,b\n1\n1,2,3\n4,5\n", [["4", "5"]], [4], [(2, "1 field instead of 2"), (3, "3 fields instead of 2")]),
        # an unclosed quote: at the end, closed by a later one, and by one that takes a row with it
        ('a,b\n"x,1\ny,2\n', [["y", "2"]], [3], [(2, QUOTE)]),
        ('a,b\n"x,1\n"y, y",2\nz,3\n', [["y, y", "2"], ["z", "3"]], [3, 4], [(2, QUOTE)]),
        ('a,b,c\n"x,1,1\nu,v,w\ny,"2\n2",3\n', [["u", "v", "w"], ["y", "2\n2", "3"]], [3, 4], [(2, QUOTE)]),
        ('a,b\n"x,1\n",2,3\n"z",4\n', [["z", "4"]], [4], [(2, "3 fields instead of 2"), (3, QUOTE)]),
        # a quote in the middle of a field: the rest of the row, with what looks like a row, goes with it
        ('a,b\n"no "x" and\nso, on\nend",1\n"y",2\n', [["y", "2"]], [5], [(2, QUOTE), (3, REST), (4, REST)]),
        ('a,b\n"x" y,1\nz,2\n', [["z", "2"]], [3], [(2, QUOTE)]),
    ],
)  # fmt: skip
def test_a_broken_row_costs_that_row(
    text: str, rows: list, lines: list[int], bad: list[tuple[int, str]]
) -> None:
    found = scan(text, ",")
    assert (found.rows, found.lines, found.bad) == (rows, lines, bad)


def test_ten_thousand_rows_behind_an_unclosed_quote_stay() -> None:
    rows = [[f"text {i}, or so", str(i)] for i in range(10_000)]
    lines = written([["text", "label"], *rows], lineterminator="\n").splitlines()
    lines.insert(5_000, '"an unclosed one,1')
    found = scan("\n".join(lines), ",")
    assert found.rows == rows and found.bad == [(5_001, QUOTE)]


def test_tsv_that_knows_no_quotes() -> None:
    text = 'a\tb\n"open and\tx\nshut" again\ty\n"\tx\n'
    found, quotes = read(text, "\t")
    assert not quotes and found.bad == []
    assert found.rows == [['"open and', "x"], ['shut" again', "y"], ['"', "x"]]
    found, quotes = read(text + "ragged\n", "\t")  # one bad row does not change that
    assert not quotes and found.bad == [(5, "1 field instead of 2")]
    found, quotes = read('a\tb\n"two\nlines"\tx\n', "\t")
    assert quotes and found.rows == [["two\nlines", "x"]]


def test_pieces_are_the_whole() -> None:
    draw = random.Random(3)
    fields = ["a", "", '"q"', '"q, r"', '"two\nlines"', '"x', 'y"', '"he said ""no"""', "\r", "b c"]
    for _ in range(100):
        rows = [
            ",".join(draw.choice(fields if draw.random() < 0.3 else "abc") for _ in range(2))
            for _ in range(draw.randrange(1, 150))
        ]
        text = "text,label\n" + "".join(row + draw.choice(["\n", "\r\n", "\n\n"]) for row in rows)
        whole, made = scan(text, ","), Rows(["text", "label"])
        for piece in pieces(iter(re.findall(r"[^\n]*\n", text)), ",", draw.choice([10, 200, 1000])):
            made.rows += piece.rows
            made.lines += piece.lines
            made.bad += piece.bad
            assert piece.header == whole.header
        assert made == whole
