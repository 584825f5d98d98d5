"""A corpus as batches of ids: parallel streams for the language model, documents of similar length
for the classifier.

Both are functions of (seed, epoch) alone, so `epoch(e, start=k)` is the tail of `epoch(e)`: an
interrupted run goes on as if it had not been interrupted.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.config import PAD_ID
from ulmfit.shapes import Float, Int, Tensor
from ulmfit.text.corpus import Corpus, join
from ulmfit.text.tokenizer import Ids

MOST_TOKENS = 2**20  # of a batch that is not trained on, padding included: 64 documents of 16,384
POOL = 50  # batches whose documents are sorted by length together (fastai SortedDL)


class LMBatch(NamedTuple):
    """`bptt` tokens of each stream (fewer in the last batch) and the tokens that follow them."""

    tokens: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]


class DocumentBatch(NamedTuple):
    """Whole documents, longest first, padded on the right."""

    tokens: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]  # without padding
    # one class, -1 = unlabelled; numbers; several labels as 0 and 1; both NaN = unlabelled
    labels: Int[Tensor, " B"] | Float[Tensor, " B"] | Float[Tensor, "B C"] | None
    index: Int[Tensor, " B"]  # pyright: ignore  # place in the corpus; hides tuple.index


class LMBatches:
    """The corpus as `batch_size` streams of equal length, read side by side, `bptt` tokens a step.

    Row r of a batch goes on where row r of the batch before ended, so the LSTM's state can be
    carried. Up to `batch_size` tokens at the end of an epoch are left out, as in fastai; with
    `shuffle` the order of the documents, and so what is left out, changes every epoch. ValueError:
    too few tokens.
    """

    steady = True  # all batches have one shape, except the last of an epoch

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        bptt: int,
        *,
        shuffle: bool,
        seed: int = 0,
        backward: bool = False,
        note: str = "",
    ) -> None:
        _at_least(1, batch_size=batch_size, bptt=bptt)
        self.corpus, self.batch_size, self.bptt = corpus, batch_size, bptt
        self.shuffle, self.seed, self.backward = shuffle, seed, backward
        self.note = note  # for people, behind the description
        self.stream_length = (corpus.n_tokens - 1) // batch_size
        if self.stream_length < 1:
            raise ValueError(
                f"{corpus.n_tokens} tokens are too few for {batch_size} streams: at least"
                f" {batch_size + 1} are needed. Give more text or a smaller batch_size."
            )

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.stream_length // self.bptt)

    def __str__(self) -> str:
        return f"{self.corpus.n_tokens:,} tokens in {self.batch_size} streams, {self.bptt} a step{self.note}"

    @property
    def tokens_per_epoch(self) -> int:
        """Targets predicted in an epoch."""
        return self.batch_size * self.stream_length

    def epoch(self, epoch: int, start: int = 0) -> Iterator[LMBatch]:
        """The batches of epoch `epoch` from step `start` on."""
        stream, n = self._stream(epoch), self.tokens_per_epoch
        tokens = stream[:n].reshape(self.batch_size, -1)
        targets = stream[1 : n + 1].reshape(self.batch_size, -1)
        for step in range(start, self.steps_per_epoch):
            chunk = slice(step * self.bptt, (step + 1) * self.bptt)
            yield LMBatch(_tensor(tokens[:, chunk]), _tensor(targets[:, chunk]))

    def _stream(self, epoch: int) -> Ids:
        """The documents one after the other in this epoch's order; a copy, unless that is the corpus's own."""
        corpus = self.corpus
        if not self.shuffle and not self.backward:
            return np.asarray(corpus.ids)
        order = range(len(corpus))
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(corpus))
        turn = -1 if self.backward else 1
        return join([corpus[int(i)][::turn] for i in order], corpus.ids.dtype)


class DocumentBatches:
    """Batches of documents of similar length, each document exactly once an epoch.

    shuffle=False: all documents, longest first. shuffle=True: random pools of 50 batches, sorted by
    length inside; the longest document comes in the first batch, so that memory runs out at once or
    never. Unlike in fastai no document is dropped; a last batch of one document joins the one
    before, since BatchNorm needs two.
    """

    steady = False

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        backward: bool = False,
        note: str = "",
    ) -> None:
        _at_least(2 if shuffle else 1, batch_size=batch_size, documents=len(corpus))
        self.corpus, self.batch_size = corpus, batch_size
        self.shuffle, self.seed, self.backward = shuffle, seed, backward
        self.note = note  # for people, behind the description

    def __str__(self) -> str:
        return f"{len(self.corpus):,} documents, {self.batch_size} a step{self.note}"

    @property
    def steps_per_epoch(self) -> int:
        if not self.shuffle:
            return len(self._longest_first)
        full, rest = divmod(len(self.corpus), self.batch_size)
        lonely = rest == 1 and full > 0
        return full + (rest > 0 and not lonely)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[DocumentBatch]:
        """The batches of epoch `epoch` from step `start` on."""
        if self.shuffle:
            batches = shuffled_batches(
                self.corpus.lengths,
                self.batch_size,
                np.random.default_rng((self.seed, epoch)),
            )
        else:
            batches = self._longest_first
        for index in batches[start:]:
            yield self._batch(index)

    @cached_property
    def _longest_first(self) -> list[NDArray[np.int64]]:
        """Batches of fewer documents where these are long: one of a million words would pad its whole batch to that length."""
        order, batches, start = longest_first(self.corpus.lengths), list[NDArray[np.int64]](), 0
        while start < len(order):
            longest = int(self.corpus.lengths[order[start]])
            end = start + min(self.batch_size, max(1, MOST_TOKENS // longest))
            batches.append(order[start:end])
            start = end
        return batches

    def _batch(self, index: NDArray[np.int64]) -> DocumentBatch:
        corpus = self.corpus
        lengths = corpus.lengths[index]
        tokens = np.full((len(index), lengths.max()), PAD_ID, dtype=np.int64)
        for row, i in zip(tokens, index, strict=True):
            ids = corpus[int(i)]
            row[: len(ids)] = ids[::-1] if self.backward else ids
        labels = None if corpus.labels is None else torch.from_numpy(corpus.labels[index])
        return DocumentBatch(_tensor(tokens), _tensor(lengths), labels, _tensor(index))


def longest_first(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions by falling length; equal lengths keep their order."""
    return np.argsort(-lengths, kind="stable")


def shuffled_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """One epoch's batches of positions: first the one with the longest document, last the incomplete one, those between in
    random order."""
    order = rng.permutation(len(lengths))
    longest = int(lengths[order].argmax())
    order[[0, longest]] = order[[longest, 0]]
    pools = _cut(order, batch_size * POOL)
    order = np.concatenate([pool[longest_first(lengths[pool])] for pool in pools])
    batches = _cut(order, batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1:
        lonely = np.concatenate([batches.pop(), batches.pop()])
        batches.append(lonely[longest_first(lengths[lonely])])
    middle = 1 + rng.permutation(max(len(batches) - 2, 0))
    return [batches[0], *(batches[i] for i in middle), *batches[1:][-1:]]


def _cut(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def _tensor(array: NDArray) -> Tensor:
    # torch has no uint16 indexing, and a memory-mapped file must not become a writable tensor.
    return torch.from_numpy(array.astype(np.int64))


def _at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least} here, not {number}.")
