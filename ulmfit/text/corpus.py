"""Encoded documents: all ids in one array, cut by offsets. Built once, memory-mapped afterwards."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import tee
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ulmfit.progress import track
from ulmfit.text.tokenizer import Ids, Tokenizer

UNLABELLED = -1

# name of a class; a number; names of several classes. Classifiers know the first so far.
Label = str | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One text and, where known, its label."""

    text: str
    label: Label | None = None


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents as ids. `corpus[i]` → ids of document i, xxbos first."""

    ids: Ids  # (N,)
    offsets: NDArray[np.int64]  # (D+1,) document i is ids[offsets[i]:offsets[i + 1]]
    labels: NDArray[np.int64] | None  # (D,) positions in label_names, -1 = unlabelled
    label_names: tuple[str, ...]
    fingerprint: str  # 16 hex digits of tokenizer and content

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        tokenizer: Tokenizer,
        *,
        path: Path | None = None,
        label_names: Sequence[str] | None = None,
        max_tokens: int | None = None,
        description: str = "encoding",
    ) -> "Corpus":
        """Encodes `documents`; they are read some way ahead. With `path`: written there, whole or not at all, and
        memory-mapped. `label_names` None: the labels found, sorted; otherwise a label outside it is
        a ValueError. So is a stream without documents. The document that reaches `max_tokens` is the last.
        """
        limit = math.inf if max_tokens is None else max_tokens
        if path is None:
            parts: list[Ids] = []
            offsets, labels, names = _encode(
                documents, tokenizer, parts.append, label_names, limit, description
            )
            ids = np.concatenate(parts)
            fingerprint = _fingerprint(tokenizer, names, ids, offsets, labels)
            return cls(ids, offsets, labels, names, fingerprint)
        with _whole_directory(path) as folder:
            with open(folder / "ids.bin", "wb") as file:
                offsets, labels, names = _encode(
                    documents,
                    tokenizer,
                    lambda ids: ids.tofile(file),
                    label_names,
                    limit,
                    description,
                )
            np.save(folder / "offsets.npy", offsets)
            if labels is not None:
                np.save(folder / "labels.npy", labels)
            ids = np.memmap(folder / "ids.bin", tokenizer.dtype, "r")
            fingerprint = _fingerprint(tokenizer, names, ids, offsets, labels)
            content = {
                "dtype": np.dtype(tokenizer.dtype).name,
                "label_names": names,
                "fingerprint": fingerprint,
            }
            (folder / "corpus.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
            del ids  # Windows can't rename a folder with a mapped file
        return cls.load(path)

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """The directory `build` wrote, ids memory-mapped. ValueError: not one, or damaged."""
        path = Path(path)
        try:
            content = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
            ids = np.memmap(path / "ids.bin", content["dtype"], "r")
            offsets = np.load(path / "offsets.npy")
            labelled = (path / "labels.npy").exists()
            labels = np.load(path / "labels.npy") if labelled else None
            names, fingerprint = tuple(content["label_names"]), content["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no encoded corpus: {error}. Encode it again.") from error
        if offsets[-1] != len(ids):
            raise ValueError(
                f"{path} is damaged: {offsets[-1]:,} ids expected, {len(ids):,} there. Delete it"
                " and encode again."
            )
        return cls(ids, offsets, labels, names, fingerprint)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Ids:
        """Ids of document i; negative i count from the end, as in a list."""
        if not -len(self) <= i < len(self):  # IndexError also ends `for ids in corpus`
            raise IndexError(f"document {i} of a corpus of {len(self)}")
        i %= len(self)
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    @property
    def n_tokens(self) -> int:
        """N, special tokens included."""
        return len(self.ids)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document (D,)."""
        return np.diff(self.offsets)

    def subset(self, indices: ArrayLike) -> "Corpus":
        """Some of the documents, in the order given, copied into memory; `label_names` stay."""
        order = np.asarray(indices, dtype=np.int64)
        return Corpus(
            join([self[int(i)] for i in order], self.ids.dtype),
            np.concatenate([[0], np.cumsum(self.lengths[order])]).astype(np.int64),
            None if self.labels is None else self.labels[order],
            self.label_names,
            _digest(self.fingerprint, order),
        )


def join(documents: Sequence[Ids], dtype: np.dtype) -> Ids:
    """The documents' ids one after the other; an empty array where there are none."""
    return np.concatenate(documents) if documents else np.empty(0, dtype)


def class_name(label: Label) -> str:
    """The name of a single class. ValueError: a number with a fraction or several labels, which nothing here learns."""
    if isinstance(label, str | int | np.integer | np.bool_):  # people write Document(text, 1)
        return str(label)
    what = "a number" if isinstance(label, float | np.floating) else "several labels"
    raise ValueError(
        f"the label {label!r} is {what}; classifiers learn one class per text so far:"
        " give its name as a string, or choose another label column"
    )


def _encode(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    write: Callable[[Ids], object],
    label_names: Sequence[str] | None,
    limit: float,
    description: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, tuple[str, ...]]:
    """(offsets, labels, label names); the ids go to `write`."""
    offsets, labels = [0], list[int]()
    known = {name: i for i, name in enumerate(label_names or ())}
    ahead, read = tee(track(documents, description, unit="documents"))
    encoded = tokenizer.encode_all(document.text for document in ahead)
    for document, ids in zip(read, encoded, strict=True):
        label = None if document.label is None else class_name(document.label)
        if label is not None and label not in known:
            if label_names is not None:
                raise ValueError(
                    f"Document {len(labels) + 1} has the label {label!r}; known are"
                    f" {', '.join(map(repr, label_names))}. Correct it, or train with it."
                )
            known[label] = len(known)
        write(ids)
        offsets.append(offsets[-1] + len(ids))
        labels.append(UNLABELLED if label is None else known[label])
        if offsets[-1] >= limit:
            break
    if not labels:
        raise ValueError("There are no documents to encode.")
    names = tuple(label_names) if label_names is not None else tuple(sorted(known))
    # Labels were numbered as they came; their final number is their place in `names`.
    final = np.array([*(names.index(name) for name in known), UNLABELLED], dtype=np.int64)
    labelled = any(label != UNLABELLED for label in labels)
    return np.array(offsets), final[np.array(labels)] if labelled else None, names


def _fingerprint(tokenizer: Tokenizer, names: tuple[str, ...], *arrays: NDArray | None) -> str:
    return _digest(json.dumps([tokenizer.fingerprint, names]), *arrays)


def _digest(base: str, *arrays: NDArray | None) -> str:
    digest = hashlib.sha256(base.encode())
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


@contextmanager
def _whole_directory(path: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `path` when all went well and vanishes otherwise."""
    if path.exists() and not (path / "corpus.json").exists():
        raise ValueError(f"{path} exists and is no encoded corpus; choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that renaming is one step; a new name each time, whatever a killed encoding left.
    with TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as temporary:
        folder = (
            Path(temporary) / path.name
        )  # a folder inside: the temporary one is closed to others
        folder.mkdir()
        yield folder
        if path.exists():  # a directory can't be renamed over another
            shutil.rmtree(path)
        folder.rename(path)
