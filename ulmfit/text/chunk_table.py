"""Chunks and their tokens as numbers in NumPy arrays, so that the tokens of many chunks are gathered at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ulmfit.text.rules import replace_space

NO_HEAD, NO_TAIL = -1, -2  # instead of hashes, which are not negative; never equal


class Batch(NamedTuple):
    """Tokens of some texts, as numbers."""

    numbers: NDArray[np.int32]  # (N,) indices into names
    offsets: NDArray[np.int64]  # (D+1,) text i is numbers[offsets[i]:offsets[i + 1]]
    names: list[str]  # only ever appended to; a new list where numbers change their meaning


class Row(NamedTuple):
    """What is known of a chunk besides its tokens."""

    first: int = 0  # column of its first token in `Chunks._risky`; 0: in no pair
    last: int = 0  # row of its last token there; 0: in no pair
    head: int = NO_HEAD  # hash of the word it begins with, as replace_wrep sees it
    tail: int = NO_TAIL  # hash of the word it ends with, if nothing else is attached to that word
    several: int = 0  # 1: more than one word to replace_wrep


class ChunkTable:
    """Chunk number → tokens and row. Chunks that were added can be gathered after the next `store`."""

    def __init__(self) -> None:
        self.chunks = list[str]()
        self.names, self._numbers = list[str](), dict[str, int]()  # token number → token and back
        self._new_rows, self._new_lengths, self._new_tokens = list[int](), list[int](), list[int]()
        self._rows = Growing(np.int32, len(Row._fields))
        self._lengths = Growing(np.int32)  # how many tokens a chunk has
        self._starts = Growing(np.int64)  # where its tokens begin in `_flat`
        self._flat = Growing(np.int32)  # the token numbers of all chunks, one chunk after the other
        self._uses = Growing(np.int32)

    def add(self, chunk: str, tokens: Sequence[str], row: Iterable[int] = Row()) -> int:
        """Adds a chunk and gives its number; spaces in `tokens` are replaced."""
        numbers, new_tokens = self._numbers, self._new_tokens
        for token in tokens:
            if (number := numbers.get(token)) is None:
                number = numbers[token] = len(self.names)
                self.names.append(replace_space(token))
            new_tokens.append(number)
        self._new_rows += row
        self._new_lengths.append(len(tokens))
        self.chunks.append(chunk)
        return len(self.chunks) - 1

    def store(self) -> None:
        """Moves what was added since the last time into the arrays."""
        if self._new_lengths:
            lengths = np.array(self._new_lengths, np.int32)
            self._lengths.extend(lengths)
            self._starts.extend(len(self._flat.view) + np.cumsum(lengths) - lengths)
            self._flat.extend(np.array(self._new_tokens, np.int32))
            self._rows.extend(np.array(self._new_rows, np.int32).reshape(len(lengths), -1).T)
            self._uses.extend(np.zeros(len(lengths), np.int32))
            self._new_rows, self._new_lengths, self._new_tokens = [], [], []

    def gather(self, chunks: NDArray[np.int32], begins: NDArray[np.int64]) -> Batch:
        """The tokens of a sequence of chunks, in which text i begins at chunk begins[i]."""
        lengths = self._lengths.view[chunks]
        ends = np.cumsum(lengths, dtype=np.int64)
        shift = self._starts.view[chunks] - (ends - lengths)
        numbers = self._flat.view[np.repeat(shift, lengths) + np.arange(ends[-1])]
        return Batch(numbers, np.append((ends - lengths)[begins], ends[-1]), self.names)

    @property
    def rows(self) -> NDArray[np.int32]:
        """(5, C), in the order of `Row`."""
        return self._rows.view

    @property
    def uses(self) -> NDArray[np.int32]:
        """(C,) in how many batches each chunk occurred; the caller counts."""
        return self._uses.view

    def row(self, number: int) -> list[int]:
        """A chunk's row."""
        return self._rows.view[:, number].tolist()

    def tokens(self, number: int) -> list[str]:
        """A chunk's tokens, spaces replaced."""
        start, length = self._starts.view[number], self._lengths.view[number]
        return [self.names[i] for i in self._flat.view[start : start + length].tolist()]


class Growing:
    """A NumPy array (…, n) whose last axis can be extended."""

    def __init__(self, dtype: type[np.integer], *shape: int) -> None:
        self._array, self._size = np.empty((*shape, 1024), dtype), 0

    @property
    def view(self) -> NDArray:
        """The values so far, without a copy."""
        return self._array[..., : self._size]

    def extend(self, values: NDArray) -> None:
        """Appends `values` (…, m)."""
        size = self._size + values.shape[-1]
        if size > self._array.shape[-1]:
            larger = np.empty((*self._array.shape[:-1], 2 * size), self._array.dtype)
            larger[..., : self._size] = self.view
            self._array = larger
        self._array[..., self._size : size] = values
        self._size = size
