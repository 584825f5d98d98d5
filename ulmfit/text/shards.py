"""A stream of texts in blocks, and which of them are whose: so that many machines can share the work."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ulmfit.text.words import BATCH_CHARACTERS

LONGEST = 64_000_000  # bytes of one document; a text is split in one piece


class TooLong(ValueError):
    """A document is longer than can be split in bounded memory; the message says which."""


@dataclass(frozen=True)
class Shard:
    """Every `of`-th block of the stream, from block `number` on.

    A block is a fixed stretch of documents, about two million characters. Every machine reads all
    files and passes over the blocks of others, since reading is cheap beside splitting; so shards
    are of equal size however the texts lie in files, the stream can be put together again in its
    order, and "seen first" means the same as on one machine.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Of "2/8". ValueError: it is something else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"--shard {text}: expected number/of, from 1/8 to 8/8 for instance.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass
class Seen:
    """What a stream held, counted while it was read; all shards of one stream see the same."""

    documents: int = 0
    characters: int = 0

    def __str__(self) -> str:
        return f"{self.documents:,} documents of {self.characters:,} characters"


def blocks(texts: Iterable[str], shard: Shard, seen: Seen) -> Iterator[tuple[int, list[str]]]:
    """(number in the stream from 0 on, texts) of each block of the shard; `seen` is filled."""
    number, block, size = 0, list[str](), 0
    for text in texts:
        mine = number % shard.of == shard.number - 1
        if mine:
            block.append(text)
        seen.documents += 1
        seen.characters += len(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            if mine:
                yield number, block
            number, block, size = number + 1, [], 0
    if block:
        yield number, block


def limited(texts: Iterable[str], source: str) -> Iterator[str]:
    """The texts of one file; `TooLong` names the one that is."""
    for number, text in enumerate(texts, 1):
        # Only a fourth of the limit in characters can be the limit in bytes.
        if len(text) > LONGEST // 4:
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > LONGEST:
                raise too_long(source, number, text, size)
        yield text


def too_long(source: str, number: int, text: str, size: int, more: str = "") -> TooLong:
    """What to raise for a document that begins with `text` and has (`more` than) `size` bytes."""
    return TooLong(
        f"{source}, document {number} has {more}{size / 1e6:,.0f} MB; at most"
        f" {LONGEST / 1e6:,.0f} MB can be one document. It begins {text[:60]!r}. Cut it"
        " (--split-on line or blank-line does, in plain text), or take it out."
    )
