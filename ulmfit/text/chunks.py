"""The same tokens as `words.tokenize`, many times faster: each chunk between spaces is split only once.

Almost every rule, and the splitter itself, looks at one chunk between white space at a time. So each
distinct chunk gets a number, a text becomes a sequence of numbers, and NumPy gathers their tokens.
Two things look further, and where they could matter the chunks' own tokens are not used: three equal
words in a row (`replace_wrep`; that text is split as a whole), and exceptions of several tokens such
as `:)`, which are found across spaces (the chunks concerned are split together).
"""

import itertools
import re
from collections.abc import Iterator, Sequence
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

# Chunks remembered, about 0.3 GB when full; then the less used half is dropped.
MEMORY_ENTRIES = 1_000_000
MEMORY_LENGTH = 64  # characters; longer chunks hardly ever come back
# Characters of chunks that are not remembered; after so many, their tokens are dropped too.
PASSING_CHARACTERS = 10_000_000

# The numbers of two chunks that no text holds: xxbos, and one without tokens.
_BEGIN, _NOTHING = 0, 1
_COMPOUND = -1  # instead of a number: the piece holds white space other than one plain space
_GAP = -3  # instead of a hash, for white space
# White space that is more than one plain space, without the plain space that may precede it.
_GAPS = re.compile(r"([^\S ]\s*)")
_GETS_SPACE = re.compile(r"[/#\\]|(\S)\1\1")  # the rules put a space before these
_WORD = re.compile(r"\w+")
_POSITIVE = 0x7FFFFFFF
_GAP_ROW = Row(head=_GAP, tail=_GAP)


class _Memory(dict[str, int]):
    """Chunk → its number. A new one gets the next number and joins `new`; its tokens must be stored before numbers are
    used. Gaps (white space) have a plain space in front."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self.new, self._numbers = list[str](), numbers

    def __missing__(self, chunk: str) -> int:
        if chunk[0] != " " and chunk.split() != [chunk]:
            return _COMPOUND
        self.new.append(chunk)
        number = self[chunk] = next(self._numbers)
        return number


class Chunks:
    """The cache for one splitter and set of rules; threads may share it."""

    def __init__(self, splitter: Splitter, rules: Rules) -> None:
        self._splitter, self._html = splitter, HTML_RULES[rules]
        self._rules: Rules = rules
        self._lock = RLock()
        pairs = splitter.pairs
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

    def may_join(self, left: str, right: str) -> bool:
        """Whether the tokens of `left` change when `right` (white space and a word) follows it, or an exception of several
        tokens could reach across."""
        before, _ = self._splitter.raw(apply_rules(left, self._rules))
        both, _ = self._splitter.raw(apply_rules(left + right, self._rules))
        n = len(before)
        return both[:n] != before or (both[n - 1], both[n]) in self._splitter.pairs

    def batch(self, texts: Sequence[str]) -> Batch:
        """The tokens of some texts, each with xxbos first."""
        with self._lock:
            if len(self._table.chunks) > MEMORY_ENTRIES or self._passing > PASSING_CHARACTERS:
                self._forget()
            try:
                chunks, begins = self._read(texts)
                self._split_across(chunks, begins, texts)
            except BaseException:  # numbers without tokens must not remain
                self._clear()
                raise
            return self._table.gather(chunks, begins)

    def _read(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(numbers of all chunks, where each text begins)."""
        pieces = list[str]()
        for text in texts:
            text = rm_useless_spaces(self._html(text).strip())
            pieces += f" {text}".split(" ") if text else [""]  # "" stands for xxbos
        chunks = np.fromiter(map(self._memory.__getitem__, pieces), np.int32, len(pieces))
        if len(at := np.flatnonzero(chunks == _COMPOUND)):
            chunks = self._with_gaps(chunks, at.tolist(), pieces)
        self._learn()
        self._table.uses[chunks] += 1
        return chunks, np.flatnonzero(chunks == _BEGIN)

    def _with_gaps(
        self, chunks: NDArray[np.int32], at: list[int], pieces: list[str]
    ) -> NDArray[np.int32]:
        """`chunks` with each compound, at `at`, replaced by the numbers of its chunks and of the gaps between them."""
        parts, done = list[NDArray[np.int32]](), 0
        for begin in at:
            if begin < done:
                continue
            parts.append(chunks[done:begin])
            done = begin + 1
            # a gap may continue in the next piece; no text ends with one
            while pieces[done - 1][-1].isspace():
                done += 1
            compound = _GAPS.split(" ".join(pieces[begin:done]))
            gaps_and_chunks = list[str]()
            for gap, part in zip(["", *compound[1::2]], compound[::2], strict=True):
                if gap:
                    spaced = gap[-1] != " " and _GETS_SPACE.match(part)
                    gaps_and_chunks.append(f" {gap} " if spaced else f" {gap}")
                gaps_and_chunks += part.split(" ") if part else []
            parts.append(np.array([self._memory[chunk] for chunk in gaps_and_chunks], np.int32))
        return np.concatenate([*parts, chunks[done:]])

    def _learn(self) -> None:
        """Puts the tokens of the new chunks into the table."""
        new, self._memory.new = self._memory.new, []
        if not new:
            return
        split, firsts, lasts = self._splitter.word, self._firsts, self._lasts
        for chunk, (repeated, marked) in zip(new, _by_rules(new), strict=True):
            if chunk[0] == " ":
                self._table.add(chunk[1:], split(chunk[1:]), _GAP_ROW)
                continue
            words = repeated.split() if " " in repeated else [chunk]
            raw, spaced = list[str](), set[int]()
            for word in marked.split(" "):
                raw += split(word)
                spaced.add(len(raw) - 1)
            head, tail = _outer_words(words)
            row = firsts.get(raw[0], 0), lasts.get(raw[-1], 0), head, tail, int(len(words) > 1)
            self._table.add(chunk, self._splitter.with_phrases(raw, spaced), row)
            if len(chunk) > MEMORY_LENGTH:
                self._passing += len(chunk)
                del self._memory[chunk]
        self._table.store()

    def _split_across(
        self, chunks: NDArray[np.int32], begins: NDArray[np.int64], texts: Sequence[str]
    ) -> None:
        """Replaces, in place, chunks whose tokens depend on their neighbours."""
        repeated, joined = self._repeated(chunks), self._joined(chunks)
        for begin, end in joined:
            chunk = " ".join(self._table.chunks[i] for i in chunks[begin:end].tolist())
            chunks[begin:end] = _NOTHING
            chunks[begin] = self._once(chunk, self._splitter.split(next(_by_rules([chunk]))[1]))
        for i in sorted(set(map(int, np.searchsorted(begins, repeated, "right") - 1))):
            text = replace_rep(self._html(texts[i]))
            if replace_wrep(text) != text:
                tokens = self._splitter.split(apply_rules(texts[i], self._rules))
                chunks[begins[i] : begins[i + 1] if i + 1 < len(begins) else None] = _NOTHING
                chunks[begins[i]] = self._once(text, tokens)
        self._table.store()

    def _once(self, text: str, tokens: list[str]) -> int:
        """Adds a chunk that only this batch needs, and gives its number."""
        self._passing += len(text)
        next(self._numbers)
        return self._table.add("", tokens)

    def _joined(self, chunks: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Start and end of each run of chunks that an exception could reach across."""
        first, last, *_ = self._table.rows
        firsts, lasts = first[chunks[1:]], last[chunks[:-1]]
        at = np.flatnonzero((firsts != 0) & (lasts != 0))
        runs = list[tuple[int, int]]()
        for i in at[self._risky[lasts[at], firsts[at]]].tolist():
            begin = runs.pop()[0] if runs and runs[-1][1] == i + 1 else i
            runs.append((begin, i + 2))
        return runs

    def _repeated(self, chunks: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where three equal words in a row could begin; not all of these are."""
        _, _, head, tail, several = self._table.rows
        heads = head[chunks]
        at = np.flatnonzero(heads != _GAP)
        heads, tails = heads[at], tail[chunks[at]]
        same = np.append(heads[1:] == tails[:-1], False)
        two = np.flatnonzero(same)
        three = same[two + 1] | several[chunks[at[two]]] | several[chunks[at[two + 1]]]
        return at[two[three != 0]]

    def _clear(self) -> None:
        self._numbers = itertools.count()
        self._memory, self._table, self._passing = _Memory(self._numbers), ChunkTable(), 0
        self._memory[""] = self._once("", [BOS])  # _BEGIN
        self._once("", [])  # _NOTHING
        self._table.store()

    def _forget(self) -> None:
        """Keeps the chunks used most since the last time, at most `MEMORY_ENTRIES` / 2."""
        old, memory = self._table, self._memory
        del memory[""]
        kept = sorted(memory.items(), key=lambda item: -old.uses[item[1]])[: MEMORY_ENTRIES // 2]
        self._clear()
        for chunk, number in kept:
            self._memory[chunk] = next(self._numbers)
            self._table.add(old.chunks[number], old.tokens(number), old.row(number))
        self._table.store()


def _by_rules(chunks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """For each chunk, or chunks joined by a space: (the words as replace_wrep sees them, the text after all rules but that
    one and those of HTML). All are lines of one text meanwhile, since no rule looks across a line break."""
    repeated = replace_rep("\n".join(chunk if chunk[0] != " " else "" for chunk in chunks))
    marked = replace_maj(replace_all_caps(rm_useless_spaces(spec_add_spaces(repeated)))).lower()
    return zip(repeated.split("\n"), map(str.strip, marked.split("\n")), strict=True)


def _outer_words(words: list[str]) -> tuple[int, int]:
    """`head` and `tail` of a `Row`."""
    if len(words) == 1 and words[0].isalnum():
        return (whole := hash(words[0]) & _POSITIVE), whole
    head, tail = _WORD.match(words[0]), _WORD.fullmatch(words[-1])
    return (
        hash(head[0]) & _POSITIVE if head else NO_HEAD,
        hash(tail[0]) & _POSITIVE if tail else NO_TAIL,
    )
