"""Columns of tables → documents: which column is the text, which the label."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ulmfit.config import LabelKind
from ulmfit.progress import Say, silent
from ulmfit.text.bad_rows import Bad, OnBad, places, settle
from ulmfit.text.document import Document, Label, shown
from ulmfit.text.files import DataError, suffix_of
from ulmfit.text.label_column import labels_of, missing, written
from ulmfit.text.rules import FIELD
from ulmfit.text.tables import Table, named, table_of

if TYPE_CHECKING:
    import polars

TEXT_NAMES = """
    text texts review sentence comment content body message tweet question document headline
    abstract utterance post
"""
LABEL_NAMES = """
    label labels sentiment class category target emotion intent topic rating stars polarity y
"""


@dataclass(frozen=True)
class Reading:
    """How to read tables; what is None is guessed, and the guess reported."""

    text_column: str | Sequence[str] | None
    label_column: str | None
    labelled: bool  # whether labels are read
    on_bad: OnBad
    say: Say
    label_kind: LabelKind | None = None
    label_separator: str | None = None  # between several labels that stand in one string


def documents_of(
    frame: "polars.DataFrame",
    *,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    on_bad: OnBad = "error",
    say: Say | None = None,
    label_kind: LabelKind | None = None,
    label_separator: str | None = None,
    source: str = "the table",
) -> list[Document]:
    """One document per row, in order. A column that is not named is chosen if it alone has a usual name; several text
    columns become one text, marked as fastai does.

    `labelled=False`: labels are not read. `label_kind`, `label_separator`: as for `read_documents`. DataError: no such
    column, or rows without text or label (unless on_bad="skip", which leaves them out and says so).
    """
    how = Reading(
        text_column, label_column, labelled, on_bad, say or silent, label_kind, label_separator
    )
    return documents([table_of(frame, source)], how, source)


def documents(tables: Sequence[Table], how: Reading, source: str) -> list[Document]:
    """`documents_of` for tables that are read as one. DataError also where their columns differ."""
    _agree(tables)
    say = how.say
    fields = _TextFields(_text_columns(tables, how.text_column, say, source))
    texts = [text for table in tables for text in fields.of(table)]
    fields.say(say, source)
    labels: list[Label | None] = [None] * len(texts)
    if how.labelled:
        name = _column(tables[0].names, how.label_column, "label", LABEL_NAMES, say, source)
        values = [value for table in tables for value in table.values(name)]
        labels = labels_of(
            values, how.label_kind, how.label_separator, say, f"{source}: column {name!r}"
        )
    kept, bad = list[Document](), list[Bad]()
    start = 0
    for table in tables:
        bad += table.bad
        for row, text in enumerate(texts[start : start + len(table)]):
            label = labels[start + row]
            if why := wrong_with(text) or ("no label" if how.labelled and label is None else ""):
                bad.append(table.bad_row(row, why))
            else:
                kept.append(Document(text or "", label))
        start += len(table)
    settle(bad, len(kept) + len(bad), how.on_bad, say, source)
    if not kept:
        raise DataError(f"{source}: no row can be used.")
    return kept


def stream(tables: Iterable[Table], how: Reading, source: str) -> Iterator[Document]:
    """The texts of a table in pieces; columns are chosen by the first one. DataError: as `documents`, at the first piece
    that has such rows."""
    kept = 0
    for _, texts in texts_by_piece(tables, how.text_column, how.on_bad, how.say, source):
        usable = [text for text in texts if text is not None]
        kept += len(usable)
        yield from map(Document, usable)
    if not kept:
        raise DataError(f"{source}: no row can be used.")


def usable_texts(
    table: Table, text_column: str | Sequence[str] | None, on_bad: OnBad, say: Say
) -> list[str | None]:
    """The text of each row, None where it has none. DataError: such rows, or rows that could not be read (unless
    on_bad="skip", which says so)."""
    pieces = list(texts_by_piece([table], text_column, on_bad, say, table.source))
    return pieces[0][1]


def texts_by_piece(
    tables: Iterable[Table],
    text_column: str | Sequence[str] | None,
    on_bad: OnBad,
    say: Say,
    source: str,
) -> Iterator[tuple[Table, list[str | None]]]:
    """The pieces of a table with the text of each row, None where it has none; columns are chosen by the first piece.
    DataError: no rows; rows without text or that could not be read, at the first piece that has any (unless
    on_bad="skip", which reports all of them at the end)."""
    tables = iter(tables)
    first = next(tables, None)
    if first is None or not (len(first) or first.bad):
        raise DataError(f"{source} has no rows.")
    fields = _TextFields(_text_columns([first], text_column, say, source))
    bad, rows = list[Bad](), 0
    for table in chain([first], tables):
        texts = fields.of(table)
        reasons = list(map(wrong_with, texts))
        bad += [*table.bad, *(table.bad_row(row, why) for row, why in enumerate(reasons) if why)]
        rows += len(texts) + len(table.bad)
        if on_bad == "error":  # before any text of the piece is used
            settle(bad, rows, on_bad, say, source)
        yield table, [None if why else text for text, why in zip(texts, reasons, strict=True)]
    fields.say(say, source)
    settle(bad, rows, on_bad, say, source)


def wrong_with(text: str | None) -> str:
    """Why a text can't be used; empty where it can."""
    if text is None:
        return "no text"
    return "a zero byte" if "\0" in text else ""


# ---- which columns ----


def _agree(tables: Sequence[Table]) -> None:
    first = tables[0]
    for table in tables[1:]:
        if set(table.names) != set(first.names):
            raise DataError(
                f"{table.source} has the columns {named(table.names)}, {first.source} has {named(first.names)}; "
                "tables that are read together need the same columns."
            )


def _text_columns(
    tables: Sequence[Table], wanted: str | Sequence[str] | None, say: Say, source: str
) -> list[str]:
    several: Sequence[str | None] = [wanted] if wanted is None or isinstance(wanted, str) else wanted  # fmt: skip
    if len(set(several)) < len(several) or not several:
        raise DataError(f"--text-column needs one or more columns, each once; found {', '.join(map(repr, several)) or 'none'}.")  # fmt: skip
    names, bad = tables[0].names, tables[0].bad
    if bad and not names:
        raise DataError(
            f"{source}: none of {len(bad):,} lines is a JSON object ({places(bad)}); give one object a line (in pandas:"
            ' to_json(…, orient="records", lines=True)).'
        )
    return [_column(names, name, "text", TEXT_NAMES, say, source) for name in several]


def _column(
    columns: list[str],
    wanted: str | None,
    kind: Literal["text", "label"],
    usual: str,
    say: Say,
    source: str,
) -> str:
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise DataError(f"{source} has no column {shown(wanted)!r}; there are {named(columns)}.")
    candidates = [name for name in columns if name.strip().lower() in usual.split()]
    if len(candidates) == 1:
        say(f"{source}: {kind} is column {candidates[0]!r}")
        return candidates[0]
    if candidates:
        trouble = f"several could be the {kind}. Name it with --{kind}-column."
    else:
        lines = suffix_of(Path(source)) not in (".jsonl", ".ndjson", ".parquet")
        name = "Is the header line missing? If not, name" if lines else "Name"
        trouble = f"none has a usual name for the {kind}. {name} it with --{kind}-column; usual are {', '.join(usual.split())}."
    raise DataError(f"{source} has the columns {named(columns)}; {trouble}")


# ---- what values mean ----


class _TextFields:
    """The columns that make a text, and how many rows lacked some of them."""

    def __init__(self, columns: list[str]) -> None:
        self.columns, self.incomplete = columns, 0

    def of(self, table: Table) -> list[str | None]:
        """The text of each row; None where it is empty, or nothing but white space."""
        parts, texts = [_strings(table, column) for column in self.columns], list[str | None]()
        for row in zip(*parts, strict=True):
            if len(row) == 1 or not any(row):
                texts.append(row[0])
                continue
            self.incomplete += not all(row)
            texts.append(" ".join(f"{FIELD} {i} {part or ''}" for i, part in enumerate(row, 1)))
        return texts

    def say(self, say: Say, source: str) -> None:
        """Reports how many rows lacked some of them."""
        if self.incomplete:
            say(
                f"{source}: {self.incomplete:,} rows lack one of {named(self.columns)}; the missing fields are read as empty"
            )


def _strings(table: Table, column: str) -> list[str | None]:
    values = table.values(column)
    if any(isinstance(value, list | dict) for value in values):
        raise DataError(
            f"{table.source}: column {column!r} holds lists or objects; expected one value a row."
        )
    texts = [None if missing(value) else written(value) for value in values]
    return [text if text is not None and text.strip() else None for text in texts]
