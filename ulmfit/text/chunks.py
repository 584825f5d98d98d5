"""The same tokens as `words.tokenize`, many times faster: what stands between spaces is split once.

Almost every rule, and the splitter itself, looks at one chunk between white space at a time. So each
distinct chunk gets a number; a text becomes a row of numbers, and NumPy puts their tokens in place.
Two things look further. Where they could matter, a chunk's tokens are not used: three equal words in
a row (`replace_wrep`; that text is split as a whole), and exceptions of several tokens such as `:)`,
which are found across spaces (the chunks concerned are split together).
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from ulmfit.text.chunk_table import NO_HEAD, NO_TAIL, Batch, ChunkTable, Row
from ulmfit.text.rules import (
    BOS,
    HTML_RULES,
    Rules,
    apply_rules,
    replace_all_caps,
    replace_maj,
    replace_rep,
    replace_wrep,
    rm_useless_spaces,
    spec_add_spaces,
)
from ulmfit.text.splitter import Splitter

# Chunks remembered, about 0.3 GB when full; then the less used half goes.
MEMORY_ENTRIES = 1_000_000
MEMORY_LENGTH = 64  # characters; longer chunks hardly ever come back
# Characters split without being remembered; their tokens are kept until then, then go too.
PASSING_CHARACTERS = 10_000_000

# The numbers of two chunks that no text holds: xxbos, and one without tokens.
_BEGIN, _NOTHING = 0, 1
_GAP = -3  # in place of hashes, for white space
# White space other than one plain space, which may stand before it.
_GAPS = re.compile(r"([^\S ]\s*)")
_GETS_SPACE = re.compile(r"[/#\\]|(\S)\1\1")  # the rules put a space before these
_CHANGES = re.compile(r"[/#\\]|(\S)\1\1")  # without these and capitals, the rules change nothing
_CAPITAL = re.compile(r"[A-Z]")
_WORD = re.compile(r"\w+")
_POSITIVE = 0x7FFFFFFF
_GAP_ROW = Row(head=_GAP, tail=_GAP)


class _Memory(dict[str, int]):
    """Chunk → its number; a new one is learnt."""

    def __init__(self, owner: "Chunks") -> None:
        self._owner = owner

    def __missing__(self, chunk: str) -> int:
        return self._owner.learn(chunk)


class Chunks:
    """The memory of one splitter and set of rules; threads may share it."""

    def __init__(self, splitter: Splitter, rules: Rules) -> None:
        self._splitter, self._html = splitter, HTML_RULES[rules]
        self._rules: Rules = rules
        self._lock = RLock()
        pairs = {pair for phrase in splitter.phrases.values() for pair in pairwise(phrase)}
        self._lasts = {t: i for i, t in enumerate(sorted({a for a, _ in pairs}), 1)}
        self._firsts = {t: i for i, t in enumerate(sorted({b for _, b in pairs}), 1)}
        # [last, first]: may these stand side by side in an exception?
        self._risky = np.zeros((len(self._lasts) + 1, len(self._firsts) + 1), bool)
        for a, b in pairs:
            self._risky[self._lasts[a], self._firsts[b]] = True
        self._clear()

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, xxbos first."""
        numbers, _, names = self.batch([text])
        return [names[i] for i in numbers.tolist()]

    def batch(self, texts: Sequence[str]) -> Batch:
        """The tokens of some texts, each with xxbos first."""
        with self._lock:
            if len(self._table.chunks) > MEMORY_ENTRIES or self._passing > PASSING_CHARACTERS:
                self._forget()
            chunks, begins = self._read(texts)
            self._split_across(chunks, begins, texts)
            return self._table.gather(chunks, begins)

    def learn(self, chunk: str) -> int:
        """The number that a new chunk gets; called by the memory."""
        if chunk.isspace():
            number = self._table.add(chunk, self._splitter.word(chunk), _GAP_ROW)
        else:
            words, marked = _by_rules(chunk)
            raw, spaced = list[str](), set[int]()
            for word in marked.split(" "):
                raw += self._splitter.word(word)
                spaced.add(len(raw) - 1)
            head, tail = _outer_words(words)
            first, last = self._firsts.get(raw[0], 0), self._lasts.get(raw[-1], 0)
            row = first, last, head, tail, int(len(words) > 1)
            number = self._table.add(chunk, self._splitter.with_phrases(raw, spaced), row)
        if len(chunk) <= MEMORY_LENGTH:
            self._memory[chunk] = number
        else:
            self._passing += len(chunk)
        return number

    def _read(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(numbers of all chunks, where each text begins)."""
        parts, begins, size = list[NDArray[np.int32]](), list[int](), 0
        number = self._memory.__getitem__
        for text in texts:
            text = self._html(text)
            pieces = text.split()
            if " ".join(pieces) != text:
                pieces = _with_gaps(text)
            numbers = [_BEGIN, *map(number, pieces)]
            begins.append(size)
            size += len(numbers)
            parts.append(np.array(numbers, np.int32))
        self._table.store()
        chunks = np.concatenate(parts)
        self._table.uses[chunks] += 1
        return chunks, np.array(begins)

    def _split_across(
        self, chunks: NDArray[np.int32], begins: NDArray[np.int64], texts: Sequence[str]
    ) -> None:
        """Puts other chunks, in place, where tokens depend on more than one."""
        repeated, joined = self._repeated(chunks), self._joined(chunks)
        for begin, end in joined:
            chunk = " ".join(self._table.chunks[i] for i in chunks[begin:end].tolist())
            chunks[begin:end] = _NOTHING
            chunks[begin] = self._once(chunk, self._splitter.split(_by_rules(chunk)[1]))
        for i in map(int, np.unique(np.searchsorted(begins, repeated, "right") - 1)):
            text = replace_rep(self._html(texts[i]))
            if replace_wrep(text) != text:
                tokens = self._splitter.split(apply_rules(texts[i], self._rules))
                chunks[begins[i] : begins[i + 1] if i + 1 < len(begins) else None] = _NOTHING
                chunks[begins[i]] = self._once(text, tokens)
        self._table.store()

    def _once(self, text: str, tokens: list[str]) -> int:
        """The number of tokens that are needed in this batch only."""
        self._passing += len(text)
        return self._table.add("", tokens)

    def _joined(self, chunks: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Begin and end of each series of chunks that an exception could lie across."""
        first, last, *_ = self._table.rows
        firsts, lasts = first[chunks[1:]], last[chunks[:-1]]
        at = np.flatnonzero((firsts != 0) & (lasts != 0))
        found = list[tuple[int, int]]()
        for i in at[self._risky[lasts[at], firsts[at]]].tolist():
            begin = found.pop()[0] if found and found[-1][1] == i + 1 else i
            found.append((begin, i + 2))
        return found

    def _repeated(self, chunks: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where there could be three equal words in a row; some of these are none."""
        _, _, head, tail, several = self._table.rows
        heads = head[chunks]
        at = np.flatnonzero(heads != _GAP)
        heads, tails = heads[at], tail[chunks[at]]
        same = np.append(heads[1:] == tails[:-1], False)
        two = np.flatnonzero(same)
        three = same[two + 1] | several[chunks[at[two]]] | several[chunks[at[two + 1]]]
        return at[two[three != 0]]

    def _clear(self) -> None:
        self._memory, self._table, self._passing = _Memory(self), ChunkTable(), 0
        self._table.add("", [BOS])  # _BEGIN
        self._table.add("", [])  # _NOTHING
        self._table.store()

    def _forget(self) -> None:
        """Keeps the half of the chunks that was used most since the last time."""
        old, memory = self._table, self._memory
        kept = sorted(memory.items(), key=lambda item: -old.uses[item[1]])[: MEMORY_ENTRIES // 2]
        self._clear()
        for chunk, number in kept:
            self._memory[chunk] = self._table.add(chunk, old.tokens(number), old.row(number))
        self._table.store()


def _with_gaps(text: str) -> list[str]:
    """Chunks, and between them the white space that becomes a token."""
    text = text.strip()
    parts = _GAPS.split(rm_useless_spaces(text) if "  " in text else text)
    pieces = parts[0].split(" ") if parts[0] else []
    for gap, part in zip(parts[1::2], parts[2::2], strict=True):
        if not pieces[-1]:  # the one space before the gap, which no token keeps
            pieces.pop()
        spaced = gap[-1] != " " and _GETS_SPACE.match(part)
        pieces += [gap + " " if spaced else gap, *part.split(" ")]
    return pieces


def _by_rules(chunk: str) -> tuple[list[str], str]:
    """A chunk, or some with one space between them: its words as replace_wrep sees them, and the chunk after all
    rules but that one and those of HTML."""
    words = [chunk]
    if _CHANGES.search(chunk):
        text = replace_rep(chunk)
        words = words if text == chunk else text.split()
        chunk = rm_useless_spaces(spec_add_spaces(text))
    if _CAPITAL.search(chunk):
        chunk = replace_maj(replace_all_caps(chunk))
    return words, chunk.lower().strip()


def _outer_words(words: list[str]) -> tuple[int, int]:
    """head and tail of `Row`."""
    head, tail = _WORD.match(words[0]), _WORD.fullmatch(words[-1])
    return (
        hash(head[0]) & _POSITIVE if head else NO_HEAD,
        hash(tail[0]) & _POSITIVE if tail else NO_TAIL,
    )
