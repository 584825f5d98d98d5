"""Counts of shards make the vocabulary of one machine."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ulmfit import progress
from ulmfit.config import TokenizerConfig
from ulmfit.text import shards
from ulmfit.text.counts import Counts, count, merge, path_of, speed
from ulmfit.text.parallel import Workers
from ulmfit.text.shards import Shard
from ulmfit.text.tokenizer import Tokenizer

CONFIG = TokenizerConfig(min_freq=1)
draw = random.Random(3)
# Many words as frequent as others: then the order of first sight decides.
TEXTS = [" ".join(f"w{draw.randrange(60)}" for _ in range(draw.randrange(9))) for _ in range(80)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BATCH_CHARACTERS", 60)


def counted(
    number: int, of: int, texts: list[str] = TEXTS, config: TokenizerConfig = CONFIG
) -> Counts:
    return count(iter(texts), config, Workers(1), Shard(number, of))


def test_counting_in_blocks_is_counting() -> None:
    counts = counted(1, 1)
    plain = Tokenizer.build(TEXTS, CONFIG)
    expected = Counter(token for text in TEXTS for token in plain.tokenize(text))
    assert list(counts.numbers) == list(expected)  # in their order
    assert counts.often.view.tolist() == list(expected.values())
    assert counts.seen.documents == 80 and np.all(np.diff(counts.places.view) > 0)
    assert counts.tokenizer() == plain


@pytest.mark.parametrize("of", [1, 2, 7])
def test_merged_counts_make_the_vocabulary_of_one_machine(of: int, tmp_path: Path) -> None:
    for number in random.Random(of).sample(range(1, of + 1), of):
        counts = counted(number, of)
        counts.save(tmp_path)
        path = path_of(tmp_path, counts.shard)
        saved = path.read_bytes()
        Counts.load(path).save(tmp_path)
        assert path.read_bytes() == saved
    merged, plain = merge(tmp_path), Tokenizer.build(TEXTS, CONFIG)
    assert merged == plain and merged.vocab == plain.vocab
    merged.save(tmp_path / "a.json")
    plain.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda: counted(2, 3), "different number of shards"),
        (lambda: counted(2, 2, TEXTS[:-1]), "different texts .*79 documents.* not 80"),
        (
            lambda: counted(2, 2, config=TokenizerConfig(min_freq=2)),
            "different settings.*min_freq=2",
        ),
        (
            lambda: counted(2, 2, config=TokenizerConfig(min_freq=1, lang="de")),
            "different settings.*'de'",
        ),
    ],
)
def test_counts_that_do_not_belong_together_are_refused(other, reason: str, tmp_path: Path) -> None:
    counted(1, 2).save(tmp_path)
    with pytest.raises(ValueError, match=r"lacks the counts of 1 of 2 shards; .*--shard 2/2"):
        merge(tmp_path)
    other().save(tmp_path)
    with pytest.raises(ValueError, match=f"counts-2.json does not match shard 1: {reason}"):
        merge(tmp_path)


def test_a_shard_counts_once(tmp_path: Path) -> None:
    for shard in (1, 2):
        counted(shard, 2).save(tmp_path)
    shutil.copy(tmp_path / "counts-1.json", tmp_path / "counts-1 (copy).json")
    with pytest.raises(ValueError, match=r"counts-1\.json is a second copy of shard 1; delete it"):
        merge(tmp_path)


def test_damaged_or_missing_counts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no counts; ulmfit tokenize FILES --shard"):
        merge(tmp_path)
    for content in ("", "[]", json.dumps({"patterns": 3})):
        (tmp_path / "counts-1.json").write_text(content)
        with pytest.raises(ValueError, match=r"counts-1\.json holds no counts.*count that shard"):
            merge(tmp_path)


def test_the_tokens_can_be_kept_as_numbers_of_their_words() -> None:
    kept, lengths = list[int](), list[int]()

    def keep(numbers: NDArray, its_lengths: NDArray) -> None:
        kept.extend(numbers.tolist())
        lengths.extend(its_lengths.tolist())

    counts = count(iter(TEXTS), CONFIG, Workers(1), keep=keep)
    words, plain = list(counts.numbers), Tokenizer.build(TEXTS, CONFIG)
    assert [words[number] for number in kept] == [t for text in TEXTS for t in plain.tokenize(text)]
    assert lengths == [len(plain.tokenize(text)) for text in TEXTS]


def test_pieces_are_not_counted() -> None:
    with pytest.raises(ValueError, match="SentencePiece learns from all texts at once"):
        counted(1, 2, config=TokenizerConfig(kind="sentencepiece"))


def test_the_bar_shows_speed_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0)
    with speed("encoding", 10) as advance:
        advance(4, 1_000)
    said = capsys.readouterr().err
    assert "encoding: 4/10 (40%, about" in said and "million characters a second" in said
