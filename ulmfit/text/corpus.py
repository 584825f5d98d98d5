"""Encoded documents: ids cut by offsets. Built once, memory-mapped afterwards; also from the shards of many machines."""

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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ulmfit.progress import track
from ulmfit.text.document import Document, Label
from ulmfit.text.joined import Joined
from ulmfit.text.labels import Labels, label_array
from ulmfit.text.labels import label_names as names_among
from ulmfit.text.tokenizer import Ids, Tokenizer

PIECE = 10_000_000  # ids looked at together


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents as ids. `corpus[i]` → ids of document i, xxbos first."""

    ids: Ids | Joined  # (N,)
    offsets: NDArray[np.int64]  # (D+1,) document i is ids[offsets[i]:offsets[i + 1]]
    labels: (
        Labels | None
    )  # (D,) places in label_names, -1 = unlabelled; (D, C) 0 and 1; (D,) numbers
    label_names: tuple[str, ...]
    fingerprint: str  # 16 hex digits of tokenizer and content
    tokenizer: Tokenizer | None = None  # the one it was made with, where it was made by one

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
        a ValueError; numbers have no names. So is a stream without documents. The document that reaches `max_tokens` is the last.
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
        """The directory `build` wrote, or a folder of all its shards; ids memory-mapped.

        ValueError: not one, damaged, or not all of it there.
        """
        path = Path(path)
        if (path / "corpus.json").exists() or not (found := sorted(path.glob("shard-*"))):
            return _load(path)[0]
        _, content = _load(found[0])
        of = content.get("shard", [0, 0])[1]
        names = [f"shard-{number}" for number in range(1, of + 1)]
        if missing := sorted({*names} - {p.name for p in found}):
            raise ValueError(
                f"{path} lacks {len(missing)} of {of} shards: {', '.join(missing[:5])}. Encode"
                f" them: ulmfit tokenize FILES --shard {missing[0][6:]}/{of} --out {path}"
            )
        return _in_turn(path, [_load(path / name) for name in names])

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

    def counts(self, size: int) -> NDArray[np.int64]:
        """How often each id below `size` occurs (size,); read piece by piece."""
        total = np.zeros(size, np.int64)
        for start in range(0, self.n_tokens, PIECE):
            total += np.bincount(self.ids[start : start + PIECE], minlength=size)
        return total

    def subset(self, indices: ArrayLike) -> "Corpus":
        """Some of the documents, in the order given, without copying ids; `label_names` stay."""
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
            _digest(self.fingerprint, order),
            self.tokenizer,
        )


def join(documents: Sequence[Ids], dtype: np.dtype) -> Ids:
    """The documents' ids one after the other; an empty array where there are none."""
    return np.concatenate(documents) if documents else np.empty(0, dtype)


def is_corpus(path: Path) -> bool:
    """Whether a directory was written as a corpus, or as a part of one."""
    return (
        any(path.glob("corpus.json"))
        or any(path.glob("shard-*/corpus.json"))
        or any(path.glob("counts-*.json"))
    )


def write_index(
    folder: Path,
    tokenizer: Tokenizer,
    offsets: NDArray[np.int64],
    labels: Labels | None,
    names: Sequence[str],
    fingerprint: str,
    more: dict[str, Any] | None = None,
) -> None:
    """All of a corpus but its ids.bin; corpus.json comes last and holds `more`."""
    np.save(folder / "offsets.npy", offsets)
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    tokenizer.save(folder / "tokenizer.json")
    content = {
        "dtype": np.dtype(tokenizer.dtype).name,
        "label_names": names,
        "fingerprint": fingerprint,
    }
    text = json.dumps(content | (more or {}), indent=1)
    (folder / "corpus.json").write_text(text, encoding="utf-8")


def _load(path: Path) -> tuple[Corpus, dict[str, Any]]:
    """One directory with ids, and its corpus.json."""
    try:
        content = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
        dtype = np.dtype(content["dtype"])
        file = path / "ids.bin"  # an empty file can't be mapped: a shard without documents
        ids = np.memmap(file, dtype, "r") if file.stat().st_size else np.empty(0, dtype)
        offsets = np.load(path / "offsets.npy")
        labels = np.load(path / "labels.npy") if (path / "labels.npy").exists() else None
        names, fingerprint = tuple(content["label_names"]), content["fingerprint"]
        tokenizer = Tokenizer.load(path / "tokenizer.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no encoded corpus: {error}. Encode it again.") from error
    if offsets[-1] != len(ids):
        raise ValueError(
            f"{path} is damaged: {offsets[-1]:,} ids expected, {len(ids):,} there. Delete it"
            " and encode again."
        )
    return Corpus(ids, offsets, labels, names, fingerprint, tokenizer), content


def _in_turn(path: Path, shards: list[tuple[Corpus, dict[str, Any]]]) -> Corpus:
    """The documents of all shards in the order of the stream: block by block, a block of each shard in turn."""
    first, its = shards[0]
    for number, (shard, content) in enumerate(shards, 1):
        if content["seen"] != its["seen"] or shard.tokenizer != first.tokenizer:
            raise ValueError(
                f"{path}/shard-{number} was made from other texts or with another vocabulary than"
                " shard-1. Delete it and encode it again with the same files."
            )
    blocks = [np.append(0, np.cumsum(content["blocks"], dtype=np.int64)) for _, content in shards]
    parts, lengths = list[Ids](), list[NDArray[np.int64]]()
    for number in range(sum(len(ends) - 1 for ends in blocks)):
        which, k = number % len(shards), number // len(shards)
        shard, (a, b) = shards[which][0], blocks[which][k : k + 2]
        parts.append(np.asarray(shard.ids)[shard.offsets[a] : shard.offsets[b]])
        lengths.append(shard.lengths[a:b])
    offsets = np.concatenate([[0], *lengths]).cumsum()
    fingerprint = _digest(json.dumps([shard.fingerprint for shard, _ in shards]))
    ids = Joined(parts, first.ids.dtype)
    return Corpus(ids, offsets, None, (), fingerprint, first.tokenizer)


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
    ahead, read = tee(track(documents, description, unit="documents"))
    encoded = tokenizer.encode_all(document.text for document in ahead)
    for document, ids in zip(read, encoded, strict=True):
        write(ids)
        offsets.append(offsets[-1] + len(ids))
        labels.append(document.label)
        if offsets[-1] >= limit:
            break
    if not labels:
        raise ValueError("There are no documents to encode.")
    names = names_among(labels) if label_names is None else tuple(label_names)
    return np.array(offsets), label_array(labels, names), names


def digest_of(tokenizer: Tokenizer, names: Sequence[str]) -> "hashlib._Hash":
    """The beginning of a corpus's fingerprint; ids, offsets and labels follow (b"-": none)."""
    return hashlib.sha256(json.dumps([tokenizer.fingerprint, names]).encode())


def _fingerprint(tokenizer: Tokenizer, names: Sequence[str], *arrays: NDArray | None) -> str:
    digest = digest_of(tokenizer, names)
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _digest(base: str, *arrays: NDArray) -> str:
    digest = hashlib.sha256(base.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
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
