"""Files and folders → documents: tables, folders of texts by label, plain text; several files at once."""

import glob
from collections.abc import Iterable, Sequence
from itertools import chain
from math import inf
from pathlib import Path

from ulmfit.config import LabelKind
from ulmfit.progress import Say, silent
from ulmfit.text.bad_rows import Bad, OnBad, settle
from ulmfit.text.columns import Reading, documents, documents_of, stream, wrong_with
from ulmfit.text.document import Document
from ulmfit.text.files import (
    DAMAGED,
    NOT_UTF8,
    DataError,
    check_text,
    decode,
    read_bytes,
    suffix_of,
)
from ulmfit.text.pieces import pieces_of
from ulmfit.text.plain import SplitOn, plain_documents
from ulmfit.text.tables import TABLES, open_table, read_table

__all__ = ["DataError", "OnBad", "SplitOn", "documents_of", "files_of", "read_documents", "read_table"]  # fmt: skip

UNLABELLED_FOLDERS = frozenset({"unsup", "unlabelled", "unlabeled"})  # the first as in aclImdb


def read_documents(
    path: str | Path,
    *,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    split_on: SplitOn | None = None,
    on_bad: OnBad = "error",
    say: Say | None = None,
    label_kind: LabelKind | None = None,
    label_separator: str | None = None,
    longest: float = inf,
) -> Iterable[Document]:
    """The documents of a file, folder or pattern ("data/*.csv"), in order; a list, or a stream for plain text and for large
    tables whose labels are not wanted.

    Tables are .csv .tsv .jsonl .ndjson .parquet; several of them, by a pattern or in a folder, are read as one and need
    the same columns. Any other folder holds one sub-folder of texts per label. Anything else is plain text, never
    labelled, cut by `split_on` (None: at WikiText titles if it begins with one, else a file is a document). .gz .bz2 .xz
    .zst are decompressed; what is not UTF-8 is read as UTF-16, UTF-32 or Western European where possible, and reported.

    `labelled=False`: only texts are wanted; labels are not read. `label_kind`: "single" class, "multi" (several) or
    "number", where it does not follow from the label column; `label_separator`: between several labels in one string.
    `say` is told what was chosen and left out.

    DataError: missing, empty, no such column, another encoding; and bad rows, each with its place: broken ones, no text,
    no label. on_bad="skip" leaves these out and says so. `TooLong`: plain text of more than `longest` characters would be
    one document.
    """
    path, say = Path(path), say or silent
    how = Reading(text_column, label_column, labelled, on_bad, say, label_kind, label_separator)
    if path.is_dir():
        return _folder(path, how, split_on, longest)
    files = files_of(path)
    if not files:
        raise DataError(f"There is no file or folder {path} (looked in {Path.cwd()}).")
    for file in files:
        check_text(file)
    tables = [file for file in files if suffix_of(file) in TABLES]
    if tables and len(tables) < len(files):
        others = [file for file in files if file not in tables]
        raise DataError(f"{path} matches tables ({_some(tables)}) and other files ({_some(others)}); read them separately.")  # fmt: skip
    if tables:
        return _tables(tables, path, how, split_on)
    if labelled:
        raise DataError(
            f"{path} is plain text and has no labels. Expected a table ({', '.join(TABLES)}) or a"
            " folder with one sub-folder per label."
        )
    return _plain(files, how, split_on, longest)


def files_of(path: str | Path) -> list[Path]:
    """The file itself, or those that a pattern matches, sorted by name."""
    if Path(path).is_file():
        return [Path(path)]
    return [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]  # fmt: skip


def _tables(
    files: list[Path], path: Path, how: Reading, split_on: SplitOn | None
) -> Iterable[Document]:
    if split_on is not None:
        raise DataError(f"--split-on is for plain text; in a table each row is a document: {path}.")
    if len(files) > 1:
        how.say(f"{path}: {len(files)} tables read as one: {_some(files)}")
    if len(files) == 1 and not how.labelled and (pieces := pieces_of(files[0], how.say)):
        texts = stream(pieces, how, path.name)
        return chain([next(texts)], texts)  # mistakes in the first piece show now
    return documents([open_table(file, how.say) for file in files], how, path.name)


def _plain(
    files: Iterable[Path], how: Reading, split_on: SplitOn | None, longest: float
) -> Iterable[Document]:
    """The first file is looked at now, the others when they are reached."""
    several = (plain_documents(file, split_on, how.on_bad, how.say, longest) for file in files)
    return chain(next(several), chain.from_iterable(several))


# ---- folders ----


def _folder(
    path: Path, how: Reading, split_on: SplitOn | None, longest: float
) -> Iterable[Document]:
    labelled, say = how.labelled, how.say
    visible = _visible(path)
    folders, files = [p for p in visible if p.is_dir()], [p for p in visible if p.is_file()]
    by_label = {folder: texts for folder in folders if (texts := _texts(folder))}
    if by_label:
        if files:
            say(f"{path}: files next to the folders of texts, not read: {_some(files)}")
        if others := [folder for folder in folders if folder not in by_label]:
            say(f"{path}: folders without texts directly inside, not read: {_some(others)}")
        return _texts_by_label(by_label, how, split_on, path.name, longest)
    if tables := [file for file in files if suffix_of(file) in TABLES]:
        if others := [p for p in visible if p not in tables]:
            say(f"{path}: next to the tables, not read: {_some(others)}")
        return _tables(tables, path, how, split_on)
    for file in files if not folders else ():
        check_text(file)
    if labelled or not files:
        raise DataError(
            f"{path} holds {_some(visible)}; expected tables, or one sub-folder per label with texts (.txt)"
            f" inside{'' if labelled else ', or texts'}. Name a folder or file further down?"
        )
    return _plain(files, how, split_on, longest)


def _texts(folder: Path) -> list[Path]:
    """The texts directly inside a folder; none where sub-folders hold texts, as in aclImdb/train."""
    inside = _visible(folder)
    if any(p.is_dir() and _texts(p) for p in inside):
        return []
    return [p for p in inside if p.is_file() and suffix_of(p) == ".txt"]


def _visible(folder: Path) -> list[Path]:
    """What lies directly inside, by name, without what systems and editors hide there."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _texts_by_label(
    by_label: dict[Path, list[Path]],
    how: Reading,
    split_on: SplitOn | None,
    source: str,
    longest: float,
) -> Iterable[Document]:
    if not how.labelled and split_on not in (None, "file"):
        return _plain(chain.from_iterable(by_label.values()), how, split_on, longest)
    if how.labelled and (how.label_kind not in (None, "single") or how.label_separator):
        raise DataError(
            f"{source}: in folders each text has one class; for other kinds of labels give a table."
        )
    kept, bad, notes = list[Document](), list[Bad](), list[str]()
    for folder, files in by_label.items():
        label = None if folder.name in UNLABELLED_FOLDERS or not how.labelled else folder.name
        for file in files:
            try:
                text = decode(read_bytes(file), file.name, notes.append)
                why = wrong_with(text if text.strip() else None)
                why = NOT_UTF8 if DAMAGED.search(text) else why
            except DataError as error:
                text, why = "", str(error).removeprefix(str(file)).lstrip(": ").rstrip(".")
            if why:
                bad.append(Bad(source, "file", f"{folder.name}/{file.name}", why))
            else:
                kept.append(Document(text, label))
    if notes:
        how.say(f"{source}: {len(notes):,} files are not UTF-8; {notes[0]}")
    settle(bad, len(kept) + len(bad), how.on_bad, how.say, source, "file")
    if not kept:
        raise DataError(f"{source}: no file can be used.")
    return kept


def _some(paths: list[Path]) -> str:
    names = ", ".join(p.name for p in paths[:5])
    return f"{names}{f', … ({len(paths)} in all)' if len(paths) > 5 else ''}" or "nothing"
