"""Public data sets on disk → documents: a reader for each published layout, and one for tables.

A `Reader` gives None where its files are not in the folder, so that layouts can be tried in turn.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ulmfit.progress import Say
from ulmfit.text.columns import documents_of
from ulmfit.text.document import Document, class_name
from ulmfit.text.files import DataError, read_text
from ulmfit.text.tables import read_table

if TYPE_CHECKING:
    import polars

Part = Literal["train", "valid", "test", "unlabelled"]
Reader = Callable[[Path, Part, Say], list[Document] | None]

FILE_NAMES: dict[Part, tuple[str, ...]] = {"unlabelled": ("unsup", "unlabelled")}  # of tables
TREC_FILES: dict[Part, str] = {"train": "train_5500.label", "test": "TREC_10.label"}
REVIEW_FOLDERS = {"negative": "neg", "positive": "pos"}  # labels as people read them


def review_folders(folder: Path, part: Part, say: Say) -> list[Document] | None:
    """IMDB: `train/neg/*.txt`, `train/pos/*.txt`; unlabelled in `unsup` (fast.ai) or `train/unsup` (Stanford)."""
    by_label = [(label, folder / part / name) for label, name in REVIEW_FOLDERS.items()]
    if part == "unlabelled":
        places = [folder / name for name in ("unsup", "train/unsup")]
        by_label = [(None, place) for place in places if place.is_dir()]
    if not by_label or not all(place.is_dir() for _, place in by_label):
        return None
    documents = [
        Document(read_text(file, say), label)
        for label, place in by_label
        for file in sorted(place.glob("[!.]*.txt"))
    ]
    return _with_text(documents, str(folder), say)


def sample_csv(folder: Path, part: Part, say: Say) -> list[Document] | None:
    """IMDB sample: `texts.csv` with the columns label, text and is_valid."""
    path = folder / "texts.csv"
    if not path.is_file():
        return None
    frame = read_table(path, say)
    _expect_columns(frame, ("label", "text", "is_valid"), path)
    frame = frame.filter(frame["is_valid"].str.to_lowercase() == str(part == "valid").lower())
    return _documents(frame, True, path, say)


def articles_csv(folder: Path, part: Part, say: Say) -> list[Document] | None:
    """WikiText as fast.ai ships it: one article a row, one column, no header."""
    path = folder / f"{part}.csv"
    if not path.is_file():
        return None
    frame = _without_header(path)
    if frame.width != 1:
        raise DataError(f"{path}: expected one column, the text; found {frame.width}.")
    texts = frame.to_series().to_list()
    if (texts[0] or "").strip().lower() == "text":  # a header after all
        return None
    return _with_text([Document(text or "") for text in texts], str(path), say)


def class_csv(classes: Sequence[str], columns: int, *, escaped: bool = False) -> Reader:
    """A reader of Zhang, Zhao & LeCun's CSV files: class number from 1, then texts; no header.

    Several texts (title and description) are joined by a space. `escaped`: `\\n` stands for a new line.
    """

    def read(folder: Path, part: Part, say: Say) -> list[Document] | None:
        path = folder / f"{part}.csv"
        if not path.is_file():
            return None
        frame = _without_header(path)
        if not (frame.item(0, 0) or "").strip().isdigit():  # a header: see `table`
            return None
        if frame.width != columns:
            raise DataError(f"{path}: expected {columns} columns; found {frame.width}.")
        names = {str(number): name for number, name in enumerate(classes, 1)}
        documents = list[Document]()
        for row, (number, *fields) in enumerate(frame.iter_rows(), 1):
            if number not in names:
                raise DataError(
                    f"{path}, row {row}: class {number!r}; expected 1 to {len(classes)}."
                )
            text = fields[0] or ""
            if columns > 2:
                text = " ".join(field.strip() for field in fields if field and field.strip())
            text = text.replace("\\n", "\n") if escaped else text
            documents.append(Document(text, names[number]))
        if columns > 2:
            say(f"{path.name}: title and description are joined by a space")
        return _with_text(documents, str(path), say)

    return read


def question_lines(folder: Path, part: Part, say: Say) -> list[Document] | None:
    """TREC: lines `COARSE:fine text` in Latin-1; the coarse label is kept."""
    path = folder / TREC_FILES[part]
    if not path.is_file():
        return None
    documents = list[Document]()
    for number, line in enumerate(path.read_text(encoding="latin-1").split("\n"), 1):
        if not line.strip():
            continue
        label, _, text = line.strip().partition(" ")
        coarse, colon, _ = label.partition(":")
        if not (coarse and colon and text):
            raise DataError(
                f"{path}, line {number}: expected COARSE:fine text, found {line[:60]!r}."
            )
        documents.append(Document(text, coarse))
    return documents


def table(classes: Sequence[str], *, numbered: bool = True) -> Reader:
    """A reader of `<part>.parquet` or `<part>.csv` with the columns text and label (names, or numbers).

    `numbered=False`: the classes have no agreed order, so numbers stay numbers, which is reported; in the train part
    there must be as many of them as classes.
    """

    def read(folder: Path, part: Part, say: Say) -> list[Document] | None:
        names = [n + end for n in FILE_NAMES.get(part, (part,)) for end in (".parquet", ".csv")]
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            return None
        labelled = bool(classes) and part != "unlabelled"
        frame = read_table(path, say)
        _expect_columns(frame, ("text", "label") if labelled else ("text",), path)
        documents = _documents(frame, labelled, path, say)
        if labelled and numbered:
            return _named(documents, classes, path)
        return _unordered(documents, classes, part, path, say) if labelled else documents

    return read


def _named(documents: list[Document], classes: Sequence[str], path: Path) -> list[Document]:
    """Labels as names of classes; numbers count from 0 where a 0 occurs, from 1 where the last one does."""
    labels = set(map(_class, documents))
    if labels <= set(classes) and not any(name.isdigit() for name in classes):  # stars are both
        return documents
    first = 0 if "0" in labels else 1
    names = {str(number): name for number, name in enumerate(classes, first)}
    if not labels <= names.keys() or (first == 1 and str(len(classes)) not in labels):
        raise _other_labels(labels, classes, path)
    return [Document(d.text, names[_class(d)]) for d in documents]


def _class(document: Document) -> str:
    return "" if document.label is None else class_name(document.label)


def _unordered(
    documents: list[Document], classes: Sequence[str], part: Part, path: Path, say: Say
) -> list[Document]:
    """Labels as they are: names of classes, or numbers that can be theirs."""
    labels = set(map(_class, documents))
    if labels <= set(classes):
        return documents
    enough = len(labels) == len(classes) or (part != "train" and len(labels) < len(classes))
    if not enough or not labels <= {str(number) for number in range(len(classes) + 1)}:
        raise _other_labels(labels, classes, path)
    say(
        f"{path.name}: labels stay numbers, since copies of this data number the classes differently"
    )
    return documents


def _other_labels(labels: set[str], classes: Sequence[str], path: Path) -> DataError:
    return DataError(
        f"{path} has the labels {', '.join(sorted(labels)[:8])}; expected {', '.join(classes)}, or their"
        f" numbers 0 to {len(classes) - 1} or 1 to {len(classes)}."
    )


def _documents(frame: "polars.DataFrame", labelled: bool, path: Path, say: Say) -> list[Document]:
    return documents_of(
        frame,
        text_column="text",
        label_column="label" if labelled else None,
        labelled=labelled,
        on_bad="skip",
        say=say,
        source=path.name,
    )


def _expect_columns(frame: "polars.DataFrame", wanted: Sequence[str], path: Path) -> None:
    if not set(wanted) <= set(frame.columns):
        raise DataError(
            f"{path} has the columns {', '.join(frame.columns)}; expected {', '.join(wanted)}."
        )


def _without_header(path: Path) -> "polars.DataFrame":
    """A CSV file whose first row is data; all columns are strings."""
    import polars

    try:
        return polars.read_csv(path, has_header=False, infer_schema=False)
    except polars.exceptions.PolarsError as error:
        raise DataError(f"{path} is not well-formed: {str(error).splitlines()[0]}") from error


def _with_text(documents: list[Document], source: str, say: Say) -> list[Document]:
    kept = [d for d in documents if d.text.strip()]
    if len(kept) < len(documents):
        say(f"{source}: {len(documents) - len(kept)} documents without text skipped")
    return kept
