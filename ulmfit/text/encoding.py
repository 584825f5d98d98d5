"""Texts → a corpus on disk, or a shard of it, in bounded memory and by several processes."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import TokenizerConfig
from ulmfit.text.corpus import PIECE, join
from ulmfit.text.counts import Counts, count, speed
from ulmfit.text.parallel import Workers
from ulmfit.text.shards import Seen, Shard, blocks
from ulmfit.text.stored import digest_of, whole_directory, write_index
from ulmfit.text.tokenizer import Ids, Tokenizer
from ulmfit.text.words import TokenIds

Task = tuple[str, str, list[str]]  # tokenizer.json, its fingerprint, texts


def encode(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    path: Path,
    workers: Workers,
    shard: Shard = Shard(),
    *,
    expected: Seen | None = None,
) -> None:
    """Writes the ids of a shard of the texts to the directory `path`, atomically.

    The same bytes whatever `workers`; for the whole (shard 1/1), those of `Corpus.build`.
    `expected`: what counting saw. ValueError: other texts are seen now, there are no documents, or
    `path` is there and no corpus.
    """
    seen, sizes, lengths = Seen(), list[int](), list[NDArray[np.int64]]()
    digest = digest_of(tokenizer, ())
    total = expected.documents // shard.of if expected else None
    with whole_directory(path) as folder, open(folder / "ids.bin", "wb") as file:
        tokenizer.save(folder / "tokenizer.json")
        saved = str(folder / "tokenizer.json"), tokenizer.fingerprint

        def tasks() -> Iterator[Task]:
            yield from ((*saved, block) for _, block in blocks(texts, shard, seen))

        with speed("encoding", total) as advance:
            for ids, its_lengths, characters in workers.map(_encode, tasks()):
                ids.tofile(file)
                digest.update(ids.data)
                sizes.append(len(its_lengths))
                lengths.append(its_lengths)
                advance(len(its_lengths), characters)
        _check(seen, expected)
        whole = {"shard": [shard.number, shard.of], "seen": asdict(seen), "blocks": sizes}
        file.close()  # before the folder is renamed
        _finish(folder, tokenizer, digest, lengths, whole if shard.of > 1 else {})


def build(texts: Iterable[str], config: TokenizerConfig, path: Path, workers: Workers) -> Counts:
    """Counts words and encodes with the vocabulary they make, in one pass over the texts: tokens are written as the numbers
    of their words, 4 bytes each, and replaced by ids in the file once all words are counted.

    Gives the counts. ValueError: as `encode`, or pieces were asked for.
    """
    lengths = list[NDArray[np.int64]]()
    with whole_directory(path) as folder, open(folder / "ids.bin", "w+b") as file:

        def keep(numbers: NDArray[np.uint32], its_lengths: NDArray[np.int64]) -> None:
            file.write(numbers.data)
            lengths.append(its_lengths)

        counts = count(texts, config, workers, keep=keep)
        _check(counts.seen, None)
        tokenizer = counts.tokenizer()
        digest, ids = digest_of(tokenizer, ()), TokenIds(tokenizer.vocab, tokenizer.dtype)
        _renumber(file, ids.of(counts.numbers), digest.update)
        file.close()
        _finish(folder, tokenizer, digest, lengths, {})
    return counts


def _renumber(file: BinaryIO, ids: Ids, update: Callable[[memoryview], object]) -> None:
    """Replaces the numbers in a file by `ids`, which take no more bytes; `update` receives what is written."""
    read = written = file.seek(0)
    while content := file.read(PIECE * 4):
        read += len(content)
        renumbered = ids[np.frombuffer(content, np.uint32)]
        file.seek(written)
        written += file.write(renumbered.data)
        update(renumbered.data)
        file.seek(read)
    file.truncate(written)


def _finish(
    folder: Path,
    tokenizer: Tokenizer,
    digest: "hashlib._Hash",
    lengths: list[NDArray[np.int64]],
    more: dict[str, Any],
) -> None:
    """Writes all but the ids, which `digest` has seen."""
    offsets = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
    digest.update(offsets.data)
    digest.update(b"-")  # no labels
    write_index(folder, tokenizer, offsets, None, (), digest.hexdigest()[:16], more)


def _check(seen: Seen, expected: Seen | None) -> None:
    if not seen.documents:
        raise ValueError("There are no documents to encode.")
    if expected is not None and seen != expected:
        raise ValueError(
            f"These are not the texts that were counted: found {seen}, expected {expected}. Give the same"
            " files, or count again."
        )


def _encode(task: Task) -> tuple[Ids, NDArray[np.int64], int]:
    """In a worker: (ids of a block, its documents' lengths, its characters)."""
    path, fingerprint, texts = task
    tokenizer = _tokenizer(path, fingerprint)
    documents = list(tokenizer.encode_all(texts))
    lengths = np.array([len(ids) for ids in documents], np.int64)
    return join(documents, np.dtype(tokenizer.dtype)), lengths, sum(map(len, texts))


@lru_cache(maxsize=1)
def _tokenizer(path: str, fingerprint: str) -> Tokenizer:
    return Tokenizer.load(path)
