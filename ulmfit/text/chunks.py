"""The same tokens as `tokenizer.tokenize`, faster: what stands between two spaces is split once.

Almost every rule, and spaCy itself, looks at one space-delimited chunk at a time, so its tokens can
be remembered. Two things look further, and a document in which they could matter is split as a
whole instead: three equal words in a row (`replace_wrep`), and spaCy's special cases such as `:)`,
whose matcher ignores spaces.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from ulmfit.text.rules import (
    HTML_RULES,
    WORD_RULES,
    Rules,
    replace_rep,
    replace_space,
    replace_wrep,
    rm_useless_spaces,
)

MEMORY_ENTRIES = 1_000_000  # chunks remembered; about 0.5 GB when full, then forgotten all at once
MEMORY_LENGTH = 64  # characters; longer chunks hardly ever come back

# A space beside other white space is no border: spaCy makes one token of "\n ".
_BORDER = re.compile(r"(?<!\s) (?!\s)")
_WORD = re.compile(r"\w+")


class Chunk(NamedTuple):
    """What is remembered of a chunk. `tokens` is empty where it can't be split by itself."""

    tokens: tuple[str, ...]
    head: str | None  # the word it begins with, as replace_wrep sees it
    tail: str  # the word it ends with, "" where it does not end with a whole word
    risky: frozenset[str]  # tokens that spaCy's special cases could join to this chunk's last one


class Chunks:
    """The memory of one language and set of rules."""

    def __init__(self, tokenizer: Any, rules: Rules) -> None:
        self._split, self._html = tokenizer, HTML_RULES[rules]
        self._risky = risky_neighbours(tokenizer)
        self._memory: dict[str, Chunk] = {}

    def tokens(self, text: str) -> list[str] | None:
        """The tokens after xxbos; None: this text must be split as a whole."""
        text = rm_useless_spaces(self._html(text)).strip()
        if not text:
            return []
        return self._joined(text.split(" "), text) or self._joined(_BORDER.split(text), text)

    def _joined(self, pieces: list[str], text: str) -> list[str] | None:
        get, tokens = self._memory.get, list[str]()
        tail, risky, single, repeated = "", frozenset[str](), True, False
        for piece in pieces:
            chunk = get(piece) or self._learn(piece)
            now = chunk.tokens
            if not now or (now[0] in risky and not (single and len(now) == 1)):
                return None
            if chunk.head == tail:
                repeated = True
            tokens += now
            _, _, tail, risky = chunk
            single = len(now) == 1
        if repeated and _has_repeated_words(text):
            return None
        return tokens

    def _learn(self, piece: str) -> Chunk:
        chunk = self._chunk(piece)
        if len(piece) <= MEMORY_LENGTH:
            if len(self._memory) >= MEMORY_ENTRIES:
                self._memory.clear()
            self._memory[piece] = chunk
        return chunk

    def _chunk(self, piece: str) -> Chunk:
        alone = piece and not piece[0].isspace() and not piece[-1].isspace()
        text = replace_rep(piece)
        words = text.split()
        if not alone or replace_wrep(text) != text:
            return Chunk((), None, "", frozenset())
        for rule in WORD_RULES[2:]:
            text = rule(text)
        tokens = tuple(replace_space(t.text) for t in self._split(text))[1:]  # without xxbos
        head, tail = _WORD.match(words[0]), _WORD.fullmatch(words[-1])
        return Chunk(
            tokens,
            head[0] if head else None,
            tail[0] if tail else "",
            self._risky.get(tokens[-1], frozenset()),
        )


def _has_repeated_words(text: str) -> bool:
    text = replace_rep(text)
    return replace_wrep(text) != text


def risky_neighbours(tokenizer: Any) -> dict[str, frozenset[str]]:
    """Last token of a chunk → first tokens of the next that a special case of spaCy could span.

    The matcher sees the tokens as they were before special cases apply, so each side also counts
    under the token that a special case would have made of it.
    """
    from spacy.symbols import ORTH

    plain = _without_special_cases(tokenizer)
    pairs, begins, ends = set[tuple[str, str]](), defaultdict(set), defaultdict(set)
    for rule, result in tokenizer.rules.items():
        parts = [t.text for t in plain(rule)]
        made = [token[ORTH] for token in result]
        pairs.update(pairwise(parts))
        begins[parts[0]].add(made[0])
        ends[parts[-1]].add(made[-1])
    risky = defaultdict[str, set[str]](set)
    for left, right in pairs:
        for last in ends[left] | {left}:
            risky[last] |= begins[right] | {right}
    return {last: frozenset(firsts) for last, firsts in risky.items()}


def _without_special_cases(tokenizer: Any) -> Callable[[str], Any]:
    from spacy.tokenizer import Tokenizer

    return Tokenizer(
        tokenizer.vocab,
        rules={},
        prefix_search=tokenizer.prefix_search,
        suffix_search=tokenizer.suffix_search,
        infix_finditer=tokenizer.infix_finditer,
        token_match=tokenizer.token_match,
        url_match=tokenizer.url_match,
    )


@cache
def chunks_for(tokenizer: Any, rules: Rules) -> Chunks | None:
    """The memory for a spaCy tokenizer, or None where none is possible: with spaces inside special
    cases, or with a splitter of its own, as Japanese and Chinese have."""
    from spacy.tokenizer import Tokenizer

    if not isinstance(tokenizer, Tokenizer):
        return None
    if any(rule.strip() and len(rule.split()) > 1 for rule in tokenizer.rules):
        return None
    return Chunks(tokenizer, rules)
