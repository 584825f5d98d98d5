"""Public data sets by name: `load` reads a part from the cache or from your disk, and downloads it only if it is in neither."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ulmfit.catalogue import DATASETS, DataSet
from ulmfit.files.archive import unpack
from ulmfit.files.download import DownloadError, Remote, cache_dir, fetch
from ulmfit.progress import Say, silent
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.layouts import Part

# What texts are used for: as the part of that name, or as "texts", all those that a language model may read.
Use = Literal["train", "valid", "test", "unlabelled", "texts"]

MAX_UNPACKED = 2_000_000_000  # bytes; the largest set takes about a quarter of it
ARCHIVES = (".tgz", ".tar.gz")
ENDS = (*ARCHIVES, "_v1.tar.gz")  # endings after a folder's name; the last as in Stanford's aclImdb


def load(
    name: str, part: Part = "train", *, data_dir: str | Path | None = None, say: Say = silent
) -> list[Document]:
    """The documents of a part, in the order of its files; the archive is downloaded and unpacked once.

    `data_dir`: the data set on disk, an archive or a folder; then nothing is downloaded.
    DataError: no such data set or part, or unexpected files. DownloadError: the download failed.
    """
    dataset = _known(name, part)
    root = _on_disk(name, part, say) if data_dir is None else Path(data_dir)
    if not root.exists():
        raise DataError(f"There is no file or folder {root} (--data-dir) to read {name} from.")
    found = set[str]()
    for place in _places(name, root):
        found |= {p.name for p in place.iterdir() if not p.name.startswith(".")}
        for read in dataset.readers:
            if (documents := read(place, part, say)) is not None:
                _count(f"{name}/{part}", len(documents), dataset.parts[part].documents, place, say)
                return documents
    raise DataError(
        f"{root} does not hold {name}/{part}: expected {dataset.layout}, or tables (train.parquet, train.csv, …) with"
        f" the column text{' and label' if dataset.classes else ''}; found {', '.join(sorted(found)[:9]) or 'nothing'}."
    )


def cards() -> dict[str, dict[str, Any]]:
    """Facts about each data set, without downloading it; `bytes`: size of the download, None if not published."""
    return {
        name: {
            "parts": {part: share.documents for part, share in dataset.parts.items()},
            "classes": list(dataset.classes),
            "bytes": _sum([file.size for file in dataset.files]),
            "files": [file.url for file in dataset.files],
            "cite": dataset.source,
            "licence": dataset.licence,
            "cached": all(_cached(name, file).exists() for file in dataset.files),
        }
        for name, dataset in DATASETS.items()
    }


# ---- names ----


def is_name(name: str) -> bool:
    """Whether it is a data set's name, or one with a part: "imdb", "imdb/test"."""
    return name.partition("/")[0] in DATASETS


def documents_for(
    name: str, use: Use, *, labelled: bool, data_dir: str | None, say: Say
) -> list[Document]:
    """The documents of a named part ("imdb/test"), or those that a bare name ("imdb") means for that use; `labelled=False`:
    texts only.

    A language model reads a validation or test part only if it is named, and `say` is told.
    """
    name, slash, part = name.partition("/")
    dataset, documents = DATASETS[name], list[Document]()
    chosen = _explicit(name, part) if slash else _implied(name, use)
    if labelled and (not dataset.classes or "unlabelled" in chosen):
        raise DataError(f"{'/'.join([name, *chosen])} has no labels; name a labelled set here.")
    if not slash:
        left = [f"{name}/{other}" for other in dataset.parts if other not in chosen]
        meant = " and ".join(f"{name}/{one}" for one in chosen)
        say(f"{name} means {meant} here; not read: {', '.join(left)}")
    for one in chosen:
        if use in ("texts", "unlabelled") and one in ("test", "valid"):
            say(f"{name}/{one}: texts for scoring, read by a language model because you named them")
        documents += load(name, one, data_dir=data_dir, say=say)
    return documents if labelled else [Document(d.text) for d in documents]


def _explicit(name: str, part: str) -> list[Part]:
    _known(name, part)
    return [known for known in DATASETS[name].parts if known == part]


def _implied(name: str, use: Use) -> list[Part]:
    """The parts that a data set's bare name means for a use. DataError: it has none."""
    parts = DATASETS[name].parts
    if use == "texts":
        return [part for part in parts if part in ("train", "unlabelled")]
    if use in parts:
        return [use]
    if use == "unlabelled":
        return ["train"]
    raise DataError(
        f"{name} has no {use} part; name the part you mean: "
        + ", ".join(f"{name}/{part}" for part in parts if part != "unlabelled")
    )


def _known(name: str, part: str) -> DataSet:
    if name not in DATASETS:
        bare, _, behind = name.partition("/")
        if bare in DATASETS:
            raise DataError(f"Give the part as the second argument: load({bare!r}, {behind!r}).")
        raise DataError(f"There is no data set {name!r}; there are {', '.join(DATASETS)}.")
    if part not in DATASETS[name].parts:
        raise DataError(f"{name} has no part {part!r}; it has {', '.join(DATASETS[name].parts)}.")
    return DATASETS[name]


# ---- files ----


def _cached(name: str, file: Remote) -> Path:
    """Where a file lies once it is downloaded; an archive is unpacked into a folder named by its MD5."""
    home = cache_dir() / "datasets" / name
    return home / (file.md5 if file.name.endswith(ARCHIVES) else file.name)


def _on_disk(name: str, part: Part, say: Say) -> Path:
    """The folder in the cache that holds the part; downloaded if it is not there yet."""
    dataset, home = DATASETS[name], cache_dir() / "datasets" / name
    file = dataset.parts[part].file
    content = _cached(name, file)
    if content.is_dir():
        return content
    if not (home / file.name).exists():
        say(f"{name}: {dataset.source}; licence: {dataset.licence}")
    try:
        path = fetch(file, home, say=say)
    except DownloadError as error:
        raise DownloadError(f"{error}; or name its folder or archive with --data-dir") from None
    return _unpacked(name, path) if content.name == file.md5 else home


def _places(name: str, root: Path) -> Iterator[Path]:
    """Folders to look in: `root` itself; the folder inside it that has the data set's usual name, or is the only one; then
    what the archives in it hold."""
    if root.is_file():
        if not root.name.endswith(ARCHIVES):
            raise DataError(f"--data-dir needs a folder or an archive (.tgz, .tar.gz), not {root}.")
        yield from _places(name, _unpacked(name, root))
        return
    yield root
    usual = {other: {other, *dataset.folders} for other, dataset in DATASETS.items()}
    folders = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    of_other_sets = set[str]().union(*usual.values()) - usual[name]
    yield from (
        p
        for p in folders
        if p.name in usual[name] or (len(folders) == 1 and p.name not in of_other_sets)
    )
    archives = {folder + end for folder in DATASETS[name].folders for end in ENDS}
    for archive in sorted(root.iterdir()):
        if archive.name in archives:
            yield from _places(name, archive)


def _unpacked(name: str, archive: Path) -> Path:
    with open(archive, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    folder = cache_dir() / "datasets" / name / md5
    if not folder.exists():
        try:
            unpack(archive, folder, max_bytes=MAX_UNPACKED)
        except OSError:
            if not folder.exists():  # otherwise another process has just unpacked it
                raise
    return folder


def _count(what: str, found: int, published: int | None, place: Path, say: Say) -> None:
    differs = published is not None and found != published
    if published is not None and found > published:
        raise DataError(
            f"{place} holds another set: {found:,} documents for {what}, but {published:,} were published."
        )
    say(f"{what}: {found:,} documents" + (f"; {published:,} were published" if differs else ""))


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
