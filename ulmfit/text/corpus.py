"""Encoded documents: ids cut by offsets. Built once, memory-mapped afterwards (`stored.py`)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import tee
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ulmfit.progress import track
from ulmfit.text.document import Document, Label
from ulmfit.text.joined import Joined
from ulmfit.text.labels import Labels, label_array, labels_of
from ulmfit.text.labels import label_names as names_among
from ulmfit.text.stored import digest_of, read, short, whole_directory, write_index
from ulmfit.text.tokenizer import Ids, Tokenizer

PIECE = 10_000_000  # ids processed at a time


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents as ids. `corpus[i]` → ids of document i, xxbos first."""

    ids: Ids | Joined  # (N,)
    offsets: NDArray[np.int64]  # (D+1,) document i is ids[offsets[i]:offsets[i + 1]]
    # (D,) indices into label_names, -1 = unlabelled; (D, C) 0 and 1; (D,) numbers
    labels: Labels | None
    label_names: tuple[str, ...]
    fingerprint: str  # 16 hex digits of tokenizer and content
    tokenizer: Tokenizer | None = None  # that encoded it, if one did

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
        """Encodes `documents`, which are read some way ahead; the one that reaches `max_tokens` is the last. With `path`:
        written there, atomically, and memory-mapped. `label_names` None: the labels found, sorted (numbers have no names).

        ValueError: no documents, or a label that is not in `label_names`.
        """
        limit = math.inf if max_tokens is None else max_tokens
        if path is None:
            parts: list[Ids] = []
            offsets, labels, names = _encode(
                documents, tokenizer, parts.append, label_names, limit, description
            )
            ids = np.concatenate(parts)
            fingerprint = _fingerprint(tokenizer, names, ids, offsets, labels)
            return cls(ids, offsets, labels, names, fingerprint, tokenizer)
        with whole_directory(path) as folder:
            with open(folder / "ids.bin", "wb") as file:
                offsets, labels, names = _encode(
                    documents,
                    tokenizer,
                    lambda ids: ids.tofile(file),
                    label_names,
                    limit,
                    description,
                )
            ids = np.memmap(folder / "ids.bin", tokenizer.dtype, "r")
            fingerprint = _fingerprint(tokenizer, names, ids, offsets, labels)
            write_index(folder, tokenizer, offsets, labels, names, fingerprint)
            del ids  # Windows can't rename a folder with a mapped file
        return cls.load(path)

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """The directory that `build` wrote, or a folder with all its shards; ids are memory-mapped.

        ValueError: no corpus, damaged, or incomplete.
        """
        return cls(*read(Path(path)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Ids:
        """Ids of document i; negative i count from the end, as in a list."""
        if not -len(self) <= i < len(self):  # IndexError also ends `for ids in corpus`
            raise IndexError(f"document {i} of a corpus of {len(self)}")
        i %= len(self)
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def without_texts(self) -> list[Document]:
        """The documents' labels, as documents with an empty text."""
        labels = labels_of(self.labels, self.label_names, len(self))
        return [Document("", label) for label in labels]

    @property
    def n_tokens(self) -> int:
        """N, special tokens included."""
        return len(self.ids)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document (D,)."""
        return np.diff(self.offsets)

    def counts(self, size: int) -> NDArray[np.int64]:
        """How often each id below `size` occurs (size,); read piece by piece."""
        total = np.zeros(size, np.int64)
        for start in range(0, self.n_tokens, PIECE):
            total += np.bincount(self.ids[start : start + PIECE], minlength=size)
        return total

    def subset(self, indices: ArrayLike) -> "Corpus":
        """The documents at `indices`, in their order, without copying ids; `label_names` stay. No boolean masks."""
        order = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        runs = np.split(order, np.flatnonzero(np.diff(order) != 1) + 1) if len(order) else []
        whole = self.ids if isinstance(self.ids, Joined) else Joined([self.ids], self.ids.dtype)
        spans = ((int(self.offsets[run[0]]), int(self.offsets[run[-1] + 1])) for run in runs)
        ids = Joined([view for a, b in spans for view in whole.between(a, b)], self.ids.dtype)
        return Corpus(
            ids.parts[0] if len(ids.parts) == 1 else ids,
            np.concatenate([[0], np.cumsum(self.lengths[order])]).astype(np.int64),
            None if self.labels is None else self.labels[order],
            self.label_names,
            short(self.fingerprint.encode(), order),
            self.tokenizer,
        )


Texts = Sequence[Document] | Corpus  # a corpus brings its own tokenizer


def chained(corpora: Sequence[Corpus]) -> Corpus:
    """The documents of several corpora of one tokenizer, one corpus after the other; without labels. No ids are copied."""
    first = corpora[0]
    if any(corpus.tokenizer != first.tokenizer for corpus in corpora):
        raise ValueError(
            "corpora with different vocabularies can't be joined; encode them with the same one"
        )
    whole = [
        c.ids.between(0, c.n_tokens) if isinstance(c.ids, Joined) else [c.ids] for c in corpora
    ]
    ids = Joined([part for parts in whole for part in parts], first.ids.dtype)
    offsets = np.concatenate([[0], *(corpus.lengths for corpus in corpora)]).cumsum()
    names = "".join(corpus.fingerprint for corpus in corpora)
    return Corpus(ids, offsets, None, (), short(names.encode()), first.tokenizer)


def join(documents: Sequence[Ids], dtype: np.dtype) -> Ids:
    """The documents' ids one after the other; an empty array where there are none."""
    return np.concatenate(documents) if documents else np.empty(0, dtype)


def _encode(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    write: Callable[[Ids], object],
    label_names: Sequence[str] | None,
    limit: float,
    description: str,
) -> tuple[NDArray[np.int64], Labels | None, tuple[str, ...]]:
    """(offsets, labels, label names); the ids go to `write`."""
    offsets, labels = [0], list[Label | None]()
    ahead, behind = tee(track(documents, description, unit="documents"))
    encoded = tokenizer.encode_all(document.text for document in ahead)
    for document, ids in zip(behind, encoded, strict=True):
        write(ids)
        offsets.append(offsets[-1] + len(ids))
        labels.append(document.label)
        if offsets[-1] >= limit:
            break
    if not labels:
        raise ValueError("There are no documents to encode.")
    names = names_among(labels) if label_names is None else tuple(label_names)
    return np.array(offsets), label_array(labels, names), names


def _fingerprint(tokenizer: Tokenizer, names: Sequence[str], *arrays: NDArray | None) -> str:
    digest = digest_of(tokenizer, names)
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
