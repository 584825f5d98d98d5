"""A corpus from one process, several, or shards: always the same."""

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text import encoding, shards
from ulmfit.text.corpus import Corpus
from ulmfit.text.counts import count
from ulmfit.text.document import Document
from ulmfit.text.encoding import build, encode
from ulmfit.text.parallel import WorkerDied, Workers
from ulmfit.text.shards import Seen, Shard
from ulmfit.text.tokenizer import Tokenizer

CONFIG = TokenizerConfig(min_freq=2)
draw = random.Random(5)
TEXTS = [" ".join(f"Word{draw.randrange(99)}" for _ in range(draw.randrange(9))) for _ in range(90)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BATCH_CHARACTERS", 200)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.build(TEXTS, CONFIG)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_workers_write_the_bytes_of_one_and_of_build(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    Corpus.build(map(Document, TEXTS), tokenizer, path=tmp_path / "build")
    for n in (1, 2):
        with Workers(n) as workers:
            counts = count(iter(TEXTS), CONFIG, workers)
            made = counts.tokenizer()
            encode(iter(TEXTS), made, tmp_path / str(n), workers, expected=counts.seen)
            build(iter(TEXTS), CONFIG, tmp_path / f"once {n}", workers)
    assert content(tmp_path / "1") == content(tmp_path / "2") == content(tmp_path / "build")
    assert content(tmp_path / "1") == content(tmp_path / "once 1") == content(tmp_path / "once 2")
    assert set(content(tmp_path / "1")) == {
        "ids.bin",
        "offsets.npy",
        "corpus.json",
        "tokenizer.json",
    }


def write_shards(tokenizer: Tokenizer, path: Path, of: int, texts: list[str] = TEXTS) -> None:
    for number in range(1, of + 1):
        shard = path / f"shard-{number}"
        encode(iter(texts), tokenizer, shard, Workers(1), Shard(number, of))


@pytest.mark.parametrize("of", [2, 9])
def test_a_folder_of_shards_is_the_corpus_of_one_machine(
    of: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    write_shards(tokenizer, tmp_path, of)
    whole, corpus = Corpus.build(map(Document, TEXTS), tokenizer), Corpus.load(tmp_path)
    assert len(corpus) == len(whole) and corpus.n_tokens == whole.n_tokens
    assert corpus.tokenizer == tokenizer and corpus.labels is None
    np.testing.assert_array_equal(corpus.offsets, whole.offsets)
    np.testing.assert_array_equal(np.asarray(corpus.ids), whole.ids)
    np.testing.assert_array_equal(corpus.counts(len(tokenizer)), np.bincount(whole.ids))
    for ids, expected in zip(corpus, whole, strict=True):
        np.testing.assert_array_equal(ids, expected)
    mapped = corpus[1]
    while mapped.base is not None and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    assert isinstance(mapped, np.memmap)  # no copy
    part = corpus.subset([-1, 3, 4, 5, 0])
    assert [ids.tolist() for ids in part] == [whole[i].tolist() for i in (-1, 3, 4, 5, 0)]
    assert Corpus.load(tmp_path).fingerprint == corpus.fingerprint != whole.fingerprint


def test_a_folder_without_all_its_shards_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_shards(tokenizer, tmp_path, 3)
    (tmp_path / "shard-2").rename(tmp_path / "away")
    with pytest.raises(ValueError, match=r"lacks 1 of 3 shards: shard-2\. .*--shard 2/3"):
        Corpus.load(tmp_path)
    (tmp_path / "away").rename(tmp_path / "shard-2")
    other = Tokenizer.build(TEXTS[:3], CONFIG)
    for made, texts in ((tokenizer, TEXTS[1:]), (other, TEXTS)):
        encode(iter(texts), made, tmp_path / "shard-2", Workers(1), Shard(2, 3))
        with pytest.raises(
            ValueError, match="shard-2 does not match shard-1: its texts, its vocabulary"
        ):
            Corpus.load(tmp_path)


def test_other_texts_than_were_counted_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"not the texts that were counted: found 90 documents.* expected 91"
    ):
        encode(iter(TEXTS), tokenizer, tmp_path / "c", Workers(1), expected=Seen(91, 5))
    with pytest.raises(ValueError, match="no documents"):
        encode(iter([]), tokenizer, tmp_path / "c", Workers(1))
    assert not list(tmp_path.iterdir())


def test_ids_take_the_place_of_numbers_piece_by_piece(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE", 7)
    build(iter(TEXTS), CONFIG, tmp_path / "once", Workers(1))
    whole, corpus = Corpus.build(map(Document, TEXTS), tokenizer), Corpus.load(tmp_path / "once")
    np.testing.assert_array_equal(corpus.ids, whole.ids)
    with pytest.raises(ValueError, match="no documents"):
        build(iter([]), CONFIG, tmp_path / "c", Workers(1))
    assert [p.name for p in tmp_path.iterdir()] == ["once"]


def test_a_killed_worker_leaves_nothing_behind(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with Workers(2) as workers:

        def texts() -> Iterator[str]:
            for number in range(3_000):
                if number == 1_000:
                    assert workers._pool is not None
                    os.kill(next(iter(workers._pool._processes)), signal.SIGKILL)
                yield TEXTS[number % len(TEXTS)]

        with pytest.raises(WorkerDied, match="killed"):
            encode(texts(), tokenizer, tmp_path / "c", workers)
    assert not list(tmp_path.iterdir()) and not multiprocessing.active_children()
