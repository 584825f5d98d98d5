"""Which texts are equal, or nearly: MinHash finds candidates, which are then compared in full.

Near copies have a high Jaccard similarity of their word 5-grams (Broder 1997): the share that both texts have of all that
either has. Case, punctuation and markup do not count. Texts of fewer than five words are near copies only if all their words
are equal.
"""

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ulmfit.progress import track
from ulmfit.text.splits import same

Hashes = NDArray[np.uint64]

GRAM = 5  # words
NEAR = 0.7  # least similarity of near copies; in 100 words, three may differ
# of a sketch: a pair of similarity 0.7 is missed once in eighty times, of 0.8 once in four thousand
BANDS, ROWS = 16, 4
_MARKUP = re.compile(r"<[a-z/][^<>]*>")
_WORD = re.compile(r"\w+")
_DRAW = np.random.default_rng(0)
_FACTORS, _OFFSETS = (_DRAW.integers(0, 2**64, BANDS * ROWS, np.uint64) for _ in range(2))
_FACTORS |= np.uint64(1)  # odd ones lose no bits
_PLACES = _DRAW.integers(0, 2**64, GRAM, np.uint64) | np.uint64(1)
_MIX = np.uint64(0xBF58476D1CE4E5B9)  # of splitmix64


class _WordHashes(dict[str, int]):
    """Word → 32-bit hash, cached; the same in every process, unlike `hash`."""

    def __missing__(self, word: str) -> int:
        self[word] = value = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return value


def number(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) copy number and (N,) group number of every text.

    Texts with the same copy number differ in white space only; with the same group number they are copies, near copies, or
    linked by a chain of near copies. A candidate is compared only with the first text of its bucket, so a few pairs are
    missed; none is reported wrongly.
    """
    known: dict[str, int] = {}
    copies = np.array([known.setdefault(same(t), len(known)) for t in texts], np.int64)
    _, first = np.unique(copies, return_index=True)
    groups = near_groups([texts[i] for i in first.tolist()])
    return copies, groups[copies]


def near_groups(texts: list[str]) -> NDArray[np.int64]:
    """(N,) for every text, the index of the first text of its group."""
    memory = _WordHashes()
    leader = np.arange(len(texts))
    if len(texts) < 2:
        return leader

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = int(leader[i])
        return i

    sketches = np.stack(
        [_sketch(grams(t, memory)) for t in track(texts, "near copies", unit="texts")]
    )
    of = lru_cache(maxsize=1000)(lambda i: grams(texts[i], memory))
    tried = set[tuple[int, int]]()
    for one, other in _candidates(sketches):
        a, b = find(one), find(other)
        if a != b and (one, other) not in tried:
            tried.add((one, other))
            if _similarity(of(one), of(other)) >= NEAR:
                leader[max(a, b)] = min(a, b)
    return np.array([find(i) for i in range(len(texts))], np.int64)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the word 5-grams of two texts, 0 to 1."""
    return _similarity(grams(one), grams(other))


def grams(text: str, memory: _WordHashes | None = None) -> Hashes:
    """The distinct hashes of the word 5-grams, sorted; a single one of all words if there are fewer than five."""
    memory = _WordHashes() if memory is None else memory
    # A text without words, such as ":-)", is compared as a whole.
    found = _WORD.findall(_MARKUP.sub(" ", text.lower())) or [same(text)]
    words = np.array([memory[word] for word in found], np.uint64)
    size = min(GRAM, len(words))
    length = len(words) - size + 1
    total = np.full(length, size, np.uint64)
    for place in range(size):
        total += words[place : place + length] * _PLACES[place]
    total = (total ^ (total >> np.uint64(30))) * _MIX
    return np.unique(total ^ (total >> np.uint64(31)))


def _similarity(one: Hashes, other: Hashes) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _sketch(hashes: Hashes) -> NDArray[np.uint32]:
    """(BANDS * ROWS,) the smallest hash under each of as many permutations (MinHash)."""
    least = (hashes[None] * _FACTORS[:, None] + _OFFSETS[:, None]).min(1)
    return (least >> np.uint64(32)).astype(np.uint32)


def _candidates(sketches: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs (first, other) of texts whose sketches agree in a whole band: in each such bucket the first text with every other
    one, so that a thousand copies give a thousand pairs and not half a million."""
    for band in range(BANDS):
        rows = np.ascontiguousarray(sketches[:, band * ROWS : (band + 1) * ROWS])
        keys = rows.view(np.uint64) @ _PLACES[: ROWS // 2]  # two 32-bit values in each
        _, first, inverse, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        several = np.flatnonzero(counts[inverse] > 1)
        for other in several:
            one = first[inverse[other]]
            if one != other:
                yield int(one), int(other)
