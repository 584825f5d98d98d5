"""A stream of texts cut into blocks that are dealt out to shards, so that many machines can share the work."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ulmfit.text.words import BATCH_CHARACTERS

LONGEST = 64_000_000  # bytes of one document; a text is split in one piece


class TooLong(ValueError):
    """A document is too long to be split in bounded memory; the message says which."""


@dataclass(frozen=True)
class Shard:
    """Every `of`-th block of the stream, from block `number` on.

    A block is a fixed stretch of documents, about two million characters. Every machine reads all
    files and skips the blocks of others, since reading is cheap beside splitting; so shards are of
    equal size however the texts are spread over files, the stream can be put together again in
    order, and "first seen" means the same as on one machine.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that "2/8" stands for. ValueError: `text` is something else."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"--shard {text}: expected number/of, from 1/8 to 8/8 for instance.")
        return cls(int(match[1]), int(match[2]))

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
    """(number in the stream, from 0; texts) of each block of the shard; all texts are counted in `seen`."""
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
    """The texts of one file. `TooLong`: one has more than `LONGEST` bytes."""
    for number, text in enumerate(texts, 1):
        # A character has at most four bytes in UTF-8, so shorter texts need not be encoded.
        if len(text) > LONGEST // 4:
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > LONGEST:
                raise too_long(source, number, text, size)
        yield text


def too_long(source: str, number: int, text: str, size: int, more: str = "") -> TooLong:
    """The error for a document that begins with `text` and has `size` bytes; `more` = "more than " if that is a bound."""
    return TooLong(
        f"{source}, document {number} has {more}{size / 1e6:,.0f} MB; a document"
        f" may have {LONGEST / 1e6:,.0f} MB at most. It begins {text[:60]!r}. Split it"
        " (plain text: --split-on line or blank-line), or leave it out."
    )
