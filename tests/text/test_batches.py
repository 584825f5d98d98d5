import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ulmfit.config import PAD_ID
from ulmfit.text.batches import DocumentBatches, LMBatches, longest_first, shuffled_batches
from ulmfit.text.corpus import Corpus


def corpus_of(documents: Sequence[Sequence[int]], labels: list[int] | None = None) -> Corpus:
    offsets = np.cumsum([0, *map(len, documents)])
    ids = np.array([i for document in documents for i in document], dtype=np.uint16)
    return Corpus(ids, offsets, None if labels is None else np.array(labels), ("a", "b"), "0" * 16)


def counting(lengths: Sequence[int]) -> Corpus:
    """Documents that together count 0, 1, 2 …"""
    ends = np.cumsum(lengths)
    return corpus_of([range(end - n, end) for end, n in zip(ends, lengths, strict=True)])


LENGTHS = np.random.default_rng(0).integers(1, 60, 211).tolist()


@pytest.fixture(scope="module")
def golden(goldens: Path) -> dict:
    return json.loads((goldens / "dataloaders.json").read_text())


# ---- language model ----


def test_lm_golden(golden: dict) -> None:
    for case in golden["lm"]:
        batches = LMBatches(counting(case["lens"]), case["bs"], case["seq_len"], shuffle=False)
        made = list(batches.epoch(0))
        assert [b.tokens.tolist() for b in made] == case["batches_x"]
        assert [b.targets.tolist() for b in made] == case["batches_y"]
        assert batches.steps_per_epoch == case["n_batches"] == len(made)


def test_lm_shuffled_golden(golden: dict) -> None:
    """With the order of documents that fastai drew."""
    case = golden["lm_shuffled"]
    corpus = corpus_of(case["docs"]).subset(case["doc_order"])
    made = list(LMBatches(corpus, case["bs"], case["seq_len"], shuffle=False).epoch(0))
    assert [b.tokens.tolist() for b in made] == case["batches_x"]
    assert [b.targets.tolist() for b in made] == case["batches_y"]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_lm_streams_are_contiguous(shuffle: bool, backward: bool) -> None:
    batches = LMBatches(counting(LENGTHS), 4, 7, shuffle=shuffle, backward=backward)
    made = list(batches.epoch(3))
    assert len(made) == batches.steps_per_epoch
    tokens = torch.cat([b.tokens for b in made], 1)
    targets = torch.cat([b.targets for b in made], 1)
    assert tokens.dtype == targets.dtype == torch.int64
    assert tokens.numel() == batches.tokens_per_epoch
    # the target is the next token, in the row and from row to row
    torch.testing.assert_close(tokens.flatten()[1:], targets.flatten()[:-1])
    assert len(set(tokens.flatten().tolist())) == tokens.numel()  # each token once


def test_lm_backward_flips_each_document() -> None:
    corpus = corpus_of([[2, 10, 11], [2, 20, 21, 22], [2, 30]])
    (batch,) = LMBatches(corpus, 1, 100, shuffle=False, backward=True).epoch(0)
    assert batch.tokens.tolist() == [[11, 10, 2, 22, 21, 20, 2, 30]]


@pytest.mark.parametrize("start", [0, 1, 5])
def test_lm_resumed_is_the_tail(start: int) -> None:
    batches = LMBatches(counting(LENGTHS), 3, 11, shuffle=True, seed=4)
    whole, tail = list(batches.epoch(2)), list(batches.epoch(2, start=start))
    assert len(tail) == len(whole) - start
    for a, b in zip(whole[start:], tail, strict=True):
        torch.testing.assert_close(a, b)


def test_lm_epochs_and_seeds_differ() -> None:
    def first(seed: int, epoch: int) -> list:
        batches = LMBatches(counting(LENGTHS), 3, 11, shuffle=True, seed=seed)
        return next(batches.epoch(epoch)).tokens.tolist()

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)
    unshuffled = LMBatches(counting(LENGTHS), 3, 11, shuffle=False)
    torch.testing.assert_close(next(unshuffled.epoch(0)), next(unshuffled.epoch(1)))


def test_lm_too_few_tokens() -> None:
    assert LMBatches(counting([5]), 4, 9, shuffle=False).steps_per_epoch == 1
    with pytest.raises(ValueError, match="4 tokens are too few for 4 streams: at least 5"):
        LMBatches(counting([4]), 4, 9, shuffle=False)


# ---- documents ----


def test_longest_first_golden(golden: dict) -> None:
    case = golden["sorted_valid"]
    batches = DocumentBatches(counting(case["lens"]), case["bs"], shuffle=False)
    order = torch.cat([b.index for b in batches.epoch(0)]).tolist()
    assert order == longest_first(np.array(case["lens"])).tolist() == case["order"]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("documents", "batch_size"), [(211, 4), (209, 4), (8, 4), (3, 5), (5, 2)])
def test_every_document_once_and_whole(
    documents: int, batch_size: int, shuffle: bool, backward: bool
) -> None:
    lengths = LENGTHS[:documents]
    labels = [i % 3 - 1 for i in range(documents)]
    corpus = corpus_of([[2, *range(10, 9 + n)] for n in lengths], labels)
    batches = DocumentBatches(corpus, batch_size, shuffle=shuffle, backward=backward)
    made = list(batches.epoch(1))
    assert len(made) == batches.steps_per_epoch
    assert sorted(i for b in made for i in b.index.tolist()) == list(range(documents))
    for batch in made:
        assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
        assert batch.tokens.shape == (len(batch.index), int(batch.lengths[0]))
        assert batch.labels is not None
        assert batch.labels.tolist() == [labels[i] for i in batch.index]
        assert not (shuffle and len(batch.index) == 1)  # BatchNorm
        for row, n, i in zip(batch.tokens, batch.lengths, batch.index, strict=True):
            ids = corpus[int(i)][:: -1 if backward else 1]
            assert row[:n].tolist() == ids.tolist()
            assert (row[n:] == PAD_ID).all()


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_batches_are_fastais_but_drop_nothing(seed: int) -> None:
    lengths = np.array(LENGTHS)
    batches = shuffled_batches(lengths, 2, np.random.default_rng(seed))
    assert lengths.max() in lengths[batches[0]]
    assert sorted(map(len, batches)) == [2] * 104 + [3]
    assert len(batches[-1]) == 3  # the last two batches in one
    spread = [np.ptp(lengths[b]) for b in batches[1:-1]]
    assert np.median(spread) <= 2  # documents of a batch have like lengths
    firsts = [lengths[b[0]] for b in batches]
    assert firsts != sorted(firsts, reverse=True)  # but batches come in random order


class OfFastai(np.random.Generator):
    """Draws permutations as NumPy's global generator does after `np.random.seed`."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self._legacy = np.random.RandomState(seed)

    def permutation(self, n):  # type: ignore[override]
        return self._legacy.permutation(n)


def test_shuffled_golden_and_the_batch_that_fastai_drops(golden: dict) -> None:
    """By fastai's own draws the same batches; its `drop_last` leaves the short one at the end unread, we do not."""
    case, lengths = (
        golden["sorted_train_one_draw_np_seed_1"],
        np.array(golden["sorted_valid"]["lens"]),
    )
    theirs = [case["order"][i : i + case["bs"]] for i in range(0, len(lengths), case["bs"])]
    ours = [batch.tolist() for batch in shuffled_batches(lengths, case["bs"], OfFastai(1))]
    assert [sorted(batch) for batch in ours] == [sorted(batch) for batch in theirs]
    assert [lengths[b].tolist() for b in ours] == [lengths[b].tolist() for b in theirs]
    read_by_fastai = [batch for batch in theirs if len(batch) == case["bs"]]
    assert len(ours[-1]) == 3 and len(read_by_fastai) == len(ours) - 1


@pytest.mark.parametrize("start", [0, 3, 52])
def test_documents_resumed_is_the_tail(start: int) -> None:
    batches = DocumentBatches(counting(LENGTHS), 4, shuffle=True, seed=9)
    whole, tail = list(batches.epoch(1)), list(batches.epoch(1, start=start))
    for a, b in zip(whole[start:], tail, strict=True):
        torch.testing.assert_close(a.tokens, b.tokens)
        torch.testing.assert_close(a.index, b.index)
    assert whole[0].labels is None


def test_document_epochs_differ() -> None:
    batches = DocumentBatches(counting(LENGTHS), 4, shuffle=True)
    orders = [[b.index.tolist() for b in batches.epoch(e)] for e in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_too_few_documents() -> None:
    with pytest.raises(ValueError, match="documents must be at least 2"):
        DocumentBatches(counting([5]), 4, shuffle=True)
    with pytest.raises(ValueError, match="batch_size must be at least 2"):
        DocumentBatches(counting([5, 5]), 1, shuffle=True)
    assert len(list(DocumentBatches(counting([5]), 1, shuffle=False).epoch(0))) == 1
