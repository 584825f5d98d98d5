"""Whatever people keep texts in → documents: tables, folders of texts by label, plain text."""

import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from ulmfit.text.corpus import Document
from ulmfit.text.tables import (
    TABLES,
    DataError,
    Say,
    decode,
    documents_of,
    open_bytes,
    quiet,
    read_bytes,
    read_table,
    suffix_of,
)

__all__ = ["DataError", "SplitOn", "documents_of", "read_documents", "read_table"]

SplitOn = Literal["title", "blank-line", "line", "file"]

UNLABELLED_FOLDERS = frozenset({"unsup", "unlabelled", "unlabeled"})  # the first as in aclImdb
NOT_TEXT = (
    ".json",
    ".xlsx",
    ".xls",
    ".ods",
    ".zip",
    ".tar",
    ".tgz",
    ".pdf",
    ".docx",
    ".pkl",
    ".npy",
)
LARGE = 50_000_000  # bytes of plain text from which one document of it all is hardly meant
# WikiText's level-1 heading " = Title = "; " = = Section = = " is not one.
_TITLE = re.compile(r"= (?!=)(?:.*[^=\s] )?=$")


def read_documents(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    split_on: SplitOn | None = None,
    on_empty: Literal["error", "skip"] = "error",
    say: Say | None = None,
) -> Iterable[Document]:
    """The documents of a file or folder, in its order; a list for tables, a stream for plain text.

    Tables are .csv .tsv .jsonl .ndjson .parquet, a folder holds one sub-folder of texts per label,
    anything else is plain text, never labelled, cut by `split_on` (None: at WikiText titles where
    it begins with one, else a file is a document). .gz .bz2 .xz are read as they are.
    `labelled=False`: only texts are wanted, and labels not looked at. `say` hears what was chosen.
    DataError: missing, empty, malformed, not UTF-8, no such column, no text, no label.
    """
    path, say = Path(path), say or quiet
    if not path.exists():
        raise DataError(f"There is no file or folder {path} (looked in {Path.cwd()}).")
    if path.is_dir():
        return _folder(path, labelled, split_on, on_empty, say)
    if suffix_of(path) in TABLES:
        if split_on is not None:
            raise DataError(
                f"--split-on is for plain text; in a table a row is a document: {path}."
            )
        return documents_of(
            read_table(path, say),
            text_column=text_column,
            label_column=label_column,
            labelled=labelled,
            on_empty=on_empty,
            say=say,
            source=path.name,
        )
    if labelled:
        raise DataError(
            f"{path} is plain text and has no labels. Expected a table ({', '.join(TABLES)}) or a"
            " folder with one sub-folder per label."
        )
    return _plain(path, split_on, say)


# ---- folders ----


def _folder(
    path: Path, labelled: bool, split_on: SplitOn | None, on_empty: str, say: Say
) -> Iterable[Document]:
    visible = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    folders, files = [p for p in visible if p.is_dir()], [p for p in visible if p.is_file()]
    by_label = {folder: texts for folder in folders if (texts := _texts(folder))}
    if by_label:
        if files:
            say(f"{path}: not read, beside the folders of texts: {_some(files)}")
        if others := [folder for folder in folders if folder not in by_label]:
            say(f"{path}: not read, no texts directly inside: {_some(others)}")
        if labelled:
            return _labelled_texts(by_label, on_empty, say)
        return chain.from_iterable(
            _plain(file, split_on or "file", say) for files in by_label.values() for file in files
        )
    if labelled or not files:
        raise DataError(
            f"{path} holds {_some(visible)}; expected one sub-folder per label with texts (.txt)"
            f" inside{'' if labelled else ', or texts'}. Name a folder or file further down?"
        )
    for file in files:
        if suffix_of(file) in TABLES:
            raise DataError(f"{path} is a folder with tables ({file.name}); give one table itself.")
    return chain.from_iterable(_plain(file, split_on, say) for file in files)


def _texts(folder: Path) -> list[Path]:
    """The texts directly inside; none where more lie further down, as in aclImdb/train."""
    if any(p.is_dir() and _texts(p) for p in folder.iterdir()):
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and suffix_of(p) == ".txt")


def _labelled_texts(by_label: dict[Path, list[Path]], on_empty: str, say: Say) -> list[Document]:
    documents, empty = list[Document](), list[Path]()
    for folder, files in by_label.items():
        label = None if folder.name in UNLABELLED_FOLDERS else folder.name
        for file in files:
            text = decode(read_bytes(file), file)
            if text.strip():
                documents.append(Document(text, label))
            else:
                empty.append(file)
    if empty and on_empty == "error":
        raise DataError(f"{len(empty)} texts are empty: {_some(empty)}. Remove or skip them.")
    if empty:
        say(f"{len(empty)} empty texts skipped: {_some(empty)}")
    return documents


def _some(paths: list[Path]) -> str:
    names = ", ".join(p.name for p in paths[:5])
    return f"{names}{f', … ({len(paths)} in all)' if len(paths) > 5 else ''}" or "nothing"


# ---- plain text ----


def _plain(path: Path, split_on: SplitOn | None, say: Say) -> Iterator[Document]:
    """Looks at the beginning now, so that mistakes show at once, and reads the rest when asked."""
    if suffix_of(path) in NOT_TEXT:
        raise DataError(
            f"{path} is not plain text. Save it as CSV or .txt (UTF-8); tables are"
            f" {', '.join(TABLES)}."
        )
    first = next((line for line in _lines(path) if line.strip()), None)
    if first is None:
        raise DataError(f"{path} is empty.")
    if split_on is None:
        split_on = "title" if _TITLE.match(first.strip()) else "file"
        unit = "each ' = Title = ' begins a document" if split_on == "title" else "one document"
        say(f"{path.name}: {unit} (--split-on {split_on})")
        if split_on == "file" and path.stat().st_size > LARGE:
            say(f"{path.name} is large for one document; --split-on line or blank-line cuts it")
    return _split(_lines(path), split_on)


def _split(lines: Iterator[str], split_on: SplitOn) -> Iterator[Document]:
    if split_on == "line":
        yield from (Document(line.rstrip("\n")) for line in lines if line.strip())
        return
    part, after_blank = list[str](), True
    for line in lines:
        blank = not line.strip()
        title = split_on == "title" and after_blank and _TITLE.match(line.strip())
        if title or (split_on == "blank-line" and blank):
            yield from _document(part)
            part = []
        part.append(line)
        after_blank = blank
    yield from _document(part)


def _document(lines: list[str]) -> Iterator[Document]:
    if text := "".join(lines).strip():
        yield Document(text)


def _lines(path: Path) -> Iterator[str]:
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, 1):
                text = decode(line, path, number)
                if "\0" in text:
                    raise DataError(f"{path} is not plain text: a zero byte in line {number}.")
                yield text.replace("\r\n", "\n")
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} can't be read as a {path.suffix} file: {error}") from error
