"""Counting the words of all texts, or shard by shard, and merging the counts into a vocabulary."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import TokenizerConfig
from ulmfit.progress import bar
from ulmfit.text.chunk_table import Growing
from ulmfit.text.parallel import Workers
from ulmfit.text.shards import Seen, Shard, blocks
from ulmfit.text.splitter import Patterns
from ulmfit.text.tokenizer import Tokenizer, make_vocab
from ulmfit.text.words import Numbered, Words, spacy_patterns

_RANKS = 2**32  # more distinct words than a shard can have


def _integers(values: Sequence[int] = ()) -> Growing:
    array = Growing(np.int64)
    array.extend(np.array(values, np.int64))
    return array


@dataclass
class Counts:
    """How often each word occurs in a shard, and where in the stream it was seen first."""

    config: TokenizerConfig
    patterns: Patterns | None
    shard: Shard
    seen: Seen = field(default_factory=Seen)
    numbers: dict[str, int] = field(default_factory=dict)  # word → number, by first occurrence
    often: Growing = field(default_factory=_integers)  # number → how often it occurs
    places: Growing = field(default_factory=_integers)  # number → where it was seen first; rising

    def add(self, block: int, words: Sequence[str], counts: NDArray) -> NDArray[np.uint32]:
        """Adds the distinct words of a block and how often each occurs; gives their numbers. Blocks come in order."""
        known, before = self.numbers, len(self.numbers)
        numbers = np.array([known.setdefault(word, len(known)) for word in words], np.uint32)
        new = np.arange(before, len(known))
        self.often.extend(np.zeros(len(new), np.int64))
        self.often.view[numbers] += counts
        self.places.extend(block * _RANKS + new)
        return numbers

    def tokenizer(self) -> Tokenizer:
        """The tokenizer with the vocabulary of these words."""
        words, often = list(self.numbers), self.often.view
        top = np.argsort(-often, kind="stable")[: self.config.max_vocab]
        counter = Counter({words[i]: int(often[i]) for i in top.tolist()})
        vocab = make_vocab(counter, self.config.max_vocab, self.config.min_freq)
        return Tokenizer(self.config, vocab, patterns=self.patterns)

    def save(self, folder: Path) -> None:
        """Writes `folder`/counts-i.json, atomically."""
        from ulmfit.files.checkpoint import atomic  # brings torch, which counting does not need

        content = {
            "shard": [self.shard.number, self.shard.of],
            "config": asdict(self.config),
            "patterns": self.patterns and self.patterns.to_json(),
            "seen": asdict(self.seen),
            "words": dict(zip(self.numbers, self.often.view.tolist(), strict=True)),
            "places": self.places.view.tolist(),
        }
        with atomic(path_of(folder, self.shard)) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Counts":
        """What `save` wrote. ValueError: it is missing, or something else."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            patterns, words = content["patterns"], content["words"]
            return cls(
                TokenizerConfig(**content["config"]),
                patterns and Patterns.from_json(patterns),
                Shard(*content["shard"]),
                Seen(**content["seen"]),
                {word: number for number, word in enumerate(words)},
                _integers([*words.values()]),
                _integers(content["places"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no counts ({error!r}). Delete it and count that shard again."
            ) from error


def path_of(folder: Path, shard: Shard) -> Path:
    """The file of a shard's counts."""
    return folder / f"counts-{shard.number}.json"


def count(
    texts: Iterable[str],
    config: TokenizerConfig,
    workers: Workers,
    shard: Shard = Shard(),
    *,
    keep: Callable[[NDArray[np.uint32], NDArray[np.int64]], object] | None = None,
) -> Counts:
    """Counts the words of a shard of the texts, in memory that grows only with the number of distinct words.

    `keep` receives for each block the numbers of its tokens (N,) and its documents' lengths (D,), so that nothing has
    to be split again. ValueError: pieces were asked for, which are learnt from all texts at once.
    """
    if config.kind != "words":
        raise ValueError(
            "SentencePiece learns from all texts at once, in memory, so they can't be counted shard by shard."
            " Let it learn from a part of the texts, and give that model with --vocab-of."
        )
    words = Words(config.lang, config.rules, spacy_patterns(config.lang))
    counts = Counts(config, words.patterns, shard)
    under_way = list[int]()  # numbers of the blocks that workers split, in order
    with speed("splitting and counting", None) as advance:

        def tasks() -> Iterator[tuple[Words, list[str], bool]]:
            for number, block in blocks(texts, shard, counts.seen):
                under_way.append(number)
                yield words, block, keep is not None

        for numbered, characters in workers.map(_count, tasks()):
            numbers = counts.add(under_way.pop(0), numbered.words, numbered.counts)
            if keep is not None:
                keep(numbers[numbered.places], numbered.lengths)
            advance(len(numbered.lengths), characters)
    return counts


def _count(task: tuple[Words, list[str], bool]) -> tuple[Numbered, int]:
    """In a worker: (a block's words, with its tokens only where they are wanted; its number of characters)."""
    words, texts, with_tokens = task
    numbered = words.numbered(texts)
    if not with_tokens:
        numbered = numbered._replace(places=numbered.places[:0])
    return numbered, sum(map(len, texts))


def merge(folder: Path) -> Tokenizer:
    """The tokenizer from the counts of all shards in `folder`: the same as from all texts on one machine.

    ValueError: shards are missing, or were counted with other settings or from other texts.
    """
    first, words, places, counted = None, Counter[str](), dict[str, int](), set[int]()
    for path in sorted(folder.glob("counts-*.json")):
        counts = Counts.load(path)
        first = first or counts
        _check_fit(path, counts, first)
        if counts.shard.number in counted:
            raise ValueError(f"{path} is a second copy of shard {counts.shard.number}; delete it.")
        counted.add(counts.shard.number)
        often_and_places = counts.often.view.tolist(), counts.places.view.tolist()
        for word, often, place in zip(counts.numbers, *often_and_places, strict=True):
            words[word] += often
            places[word] = min(places.get(word, place), place)
    if first is None:
        raise ValueError(f"{folder} holds no counts; {_again(folder, Shard())} writes them.")
    if missing := sorted(set(range(1, first.shard.of + 1)) - counted):
        raise ValueError(
            f"{folder} lacks the counts of {len(missing)} of {first.shard.of} shards;"
            f" {_again(folder, Shard(missing[0], first.shard.of))} writes the first of them."
        )
    total = Counts(first.config, first.patterns, Shard())
    in_order = sorted(places, key=places.__getitem__)
    total.add(0, in_order, np.array([words[word] for word in in_order], np.int64))
    return total.tokenizer()


def _again(folder: Path, shard: Shard) -> str:
    return f"ulmfit tokenize FILES --shard {shard} --out {folder}"


def _check_fit(path: Path, counts: Counts, first: Counts) -> None:
    for what, found, expected in (
        ("number of shards", counts.shard.of, first.shard.of),
        ("settings", counts.config, first.config),
        ("patterns of spaCy", counts.patterns, first.patterns),
        ("texts", counts.seen, first.seen),
    ):
        if found != expected:
            shown = "" if isinstance(found, Patterns) else f" ({found}, not {expected})"
            raise ValueError(
                f"{path} does not match shard {first.shard.number}: different {what}{shown}. All"
                " shards need the same files, flags and version of spaCy; count it again, or delete"
                " it if it is left from an earlier run."
            )


@contextmanager
def speed(description: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar over documents that shows characters a second: gives `advance(documents, characters)`."""
    start, done = monotonic(), 0
    with bar(description, total=total, unit="documents") as advance:

        def advance_by(documents: int, characters: int) -> None:
            nonlocal done
            done += characters
            seconds = max(monotonic() - start, 1e-9)
            advance(documents, f"{done / seconds / 1e6:.1f} million characters a second")

        yield advance_by
