"""Counting words: of all texts, or shard by shard; and the vocabulary that the counts make together."""

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
    numbers: dict[str, int] = field(default_factory=dict)  # word → its rank by first sight
    often: Growing = field(default_factory=_integers)  # how often each occurs, by number
    places: Growing = field(default_factory=_integers)  # where each was first seen; they rise

    def add(self, block: int, words: Sequence[str], counts: NDArray) -> NDArray[np.uint32]:
        """The distinct words of a block, and how often each occurs in it → their numbers; blocks come in order."""
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
        most = np.argsort(-often, kind="stable")[: self.config.max_vocab]
        counter = Counter({words[i]: int(often[i]) for i in most.tolist()})
        vocab = make_vocab(counter, self.config.max_vocab, self.config.min_freq)
        return Tokenizer(self.config, vocab, patterns=self.patterns)

    def save(self, folder: Path) -> None:
        """As `folder`/counts-i.json, whole or not at all."""
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
        """What `save` wrote. ValueError: it is not there, or something else."""
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
    """Where the counts of a shard lie."""
    return folder / f"counts-{shard.number}.json"


def count(
    texts: Iterable[str],
    config: TokenizerConfig,
    workers: Workers,
    shard: Shard = Shard(),
    *,
    keep: Callable[[NDArray[np.uint32], NDArray[np.int64]], object] | None = None,
) -> Counts:
    """Counts the words of a shard of the texts, in bounded memory beside the words themselves.

    `keep` receives block by block the numbers of all tokens (N,) and each document's length (D,), so that nothing has
    to be split again. ValueError: pieces were asked for, which are learnt from all texts at once.
    """
    if config.kind != "words":
        raise ValueError(
            "Pieces are learnt from all texts at once, in memory, not counted shard by shard. Learn"
            " them from a part of the texts and give that model with --vocab-of."
        )
    words = Words(config.lang, config.rules, spacy_patterns(config.lang))
    counts = Counts(config, words.patterns, shard)
    numbers = list[int]()  # of the blocks under way
    with speed("splitting and counting", None) as advance:

        def tasks() -> Iterator[tuple[Words, list[str], bool]]:
            for number, block in blocks(texts, shard, counts.seen):
                numbers.append(number)
                yield words, block, keep is not None

        for found, characters in workers.map(_count, tasks()):
            known = counts.add(numbers.pop(0), found.words, found.counts)
            if keep is not None:
                keep(known[found.places], found.lengths)
            advance(len(found.lengths), characters)
    return counts


def _count(task: tuple[Words, list[str], bool]) -> tuple[Numbered, int]:
    """In a worker: a block split, without its tokens where they are not asked for; and its characters."""
    words, texts, tokens = task
    found = words.numbered(texts)
    return found if tokens else found._replace(places=found.places[:0]), sum(map(len, texts))


def merge(folder: Path) -> Tokenizer:
    """The tokenizer that the counts of all shards in `folder` make, which is that of one machine.

    ValueError: shards are missing, or were counted with other settings or from other texts.
    """
    first, words, places, found = None, Counter[str](), dict[str, int](), set[int]()
    for path in sorted(folder.glob("counts-*.json")):
        counts = Counts.load(path)
        first = first or counts
        _check_fit(path, counts, first)
        found.add(counts.shard.number)
        its = zip(
            counts.numbers, counts.often.view.tolist(), counts.places.view.tolist(), strict=True
        )
        for word, often, place in its:
            words[word] += often
            places[word] = min(places.get(word, place), place)
    if first is None:
        raise ValueError(f"{folder} holds no counts; {_again(folder, Shard())} writes them.")
    if missing := sorted(set(range(1, first.shard.of + 1)) - found):
        raise ValueError(
            f"{folder} lacks the counts of {len(missing)} of {first.shard.of} shards;"
            f" {_again(folder, Shard(missing[0], first.shard.of))} writes the first of them."
        )
    together = Counts(first.config, first.patterns, Shard())
    in_order = sorted(places, key=places.__getitem__)
    together.add(0, in_order, np.array([words[word] for word in in_order], np.int64))
    return together.tokenizer()


def _again(folder: Path, shard: Shard) -> str:
    return f"ulmfit tokenize FILES --shard {shard} --out {folder}"


def _check_fit(path: Path, counts: Counts, first: Counts) -> None:
    for what, found, expected in (
        ("another number of shards", counts.shard.of, first.shard.of),
        ("other settings", counts.config, first.config),
        ("other patterns of spaCy", counts.patterns, first.patterns),
        ("other texts", counts.seen, first.seen),
    ):
        if found != expected:
            shown = "" if isinstance(found, Patterns) else f" ({found}, not {expected})"
            raise ValueError(
                f"{path} was counted with {what} than shard {first.shard.number}{shown}. All"
                " shards need the same files, flags and version of spaCy; count it again, or delete"
                " what is left from earlier."
            )


@contextmanager
def speed(description: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar over documents that shows characters a second: gives `advance(documents, characters)`."""
    begun, done = monotonic(), 0
    with bar(description, total=total, unit="documents") as advance:

        def forward(documents: int, characters: int) -> None:
            nonlocal done
            done += characters
            seconds = max(monotonic() - begun, 1e-9)
            advance(documents, f"{done / seconds / 1e6:.1f} million characters a second")

        yield forward
