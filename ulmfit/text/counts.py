"""Counting words: of all texts, or shard by shard; and the vocabulary that the counts make together."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

from ulmfit.config import TokenizerConfig
from ulmfit.progress import bar
from ulmfit.text.parallel import Workers
from ulmfit.text.shards import Seen, Shard, blocks
from ulmfit.text.splitter import Patterns
from ulmfit.text.tokenizer import Tokenizer, make_vocab
from ulmfit.text.words import Words, spacy_patterns

_RANKS = 2**32  # more distinct words than a shard can have


@dataclass
class Counts:
    """How often each word occurs in a shard, and where in the stream it was seen first."""

    config: TokenizerConfig
    patterns: Patterns | None
    shard: Shard
    seen: Seen = field(default_factory=Seen)
    words: Counter[str] = field(default_factory=Counter)
    places: list[int] = field(default_factory=list)  # of each word, in the same order; they rise

    def add(self, block: int, words: Counter[str]) -> None:
        """The words of a block; blocks come in order."""
        self.words.update(words)
        self.places += (block * _RANKS + rank for rank in range(len(self.places), len(self.words)))

    def tokenizer(self, vocab_from: Counter[str] | None = None) -> Tokenizer:
        """The tokenizer with the vocabulary of these words, or of those given."""
        words = self.words if vocab_from is None else vocab_from
        vocab = make_vocab(words, self.config.max_vocab, self.config.min_freq)
        return Tokenizer(self.config, vocab, patterns=self.patterns)

    def save(self, folder: Path) -> None:
        """As `folder`/counts-i.json, whole or not at all."""
        from ulmfit.checkpoint import atomic  # brings torch, which counting does not need

        content = {
            "shard": [self.shard.number, self.shard.of],
            "config": asdict(self.config),
            "patterns": self.patterns and self.patterns.to_json(),
            "seen": asdict(self.seen),
            "words": self.words,
            "places": self.places,
        }
        with atomic(path_of(folder, self.shard)) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Counts":
        """What `save` wrote. ValueError: it is not there, or something else."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            patterns = content["patterns"]
            return cls(
                TokenizerConfig(**content["config"]),
                patterns and Patterns.from_json(patterns),
                Shard(*content["shard"]),
                Seen(**content["seen"]),
                Counter(content["words"]),
                content["places"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no counts ({error!r}). Delete it and count that shard again."
            ) from error


def path_of(folder: Path, shard: Shard) -> Path:
    """Where the counts of a shard lie."""
    return folder / f"counts-{shard.number}.json"


def count(
    texts: Iterable[str], config: TokenizerConfig, workers: Workers, shard: Shard = Shard()
) -> Counts:
    """Counts the words of a shard of the texts, in bounded memory beside the words themselves.

    ValueError: pieces were asked for, which are learnt from all texts at once.
    """
    if config.kind != "words":
        raise ValueError(
            "Pieces are learnt from all texts at once, in memory, not counted shard by shard. Learn"
            " them from a part of the texts and give that model with --vocab-of."
        )
    words = Words(config.lang, config.rules, spacy_patterns(config.lang))
    counts = Counts(config, words.patterns, shard)
    numbers = list[int]()  # of the blocks under way
    with speed("counting words", None) as advance:

        def tasks() -> Iterator[tuple[Words, list[str]]]:
            for number, block in blocks(texts, shard, counts.seen):
                numbers.append(number)
                yield words, block

        for found, documents, characters in workers.map(_count, tasks()):
            counts.add(numbers.pop(0), found)
            advance(documents, characters)
    return counts


def _count(task: tuple[Words, list[str]]) -> tuple[Counter[str], int, int]:
    """In a worker: (words of a block, its documents, its characters)."""
    words, texts = task
    return words.count(texts), len(texts), sum(map(len, texts))


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
        words.update(counts.words)
        for word, place in zip(counts.words, counts.places, strict=True):
            places[word] = min(places.get(word, place), place)
    if first is None:
        raise ValueError(f"{folder} holds no counts; {_again(folder, Shard())} writes them.")
    if missing := sorted(set(range(1, first.shard.of + 1)) - found):
        raise ValueError(
            f"{folder} lacks the counts of {len(missing)} of {first.shard.of} shards;"
            f" {_again(folder, Shard(missing[0], first.shard.of))} writes the first of them."
        )
    in_order = Counter({word: words[word] for word in sorted(places, key=places.__getitem__)})
    return first.tokenizer(in_order)


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
