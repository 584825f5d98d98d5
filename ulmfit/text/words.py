"""Text → words, as in fastai: the function `tokenize` is the definition, `Words` the fast implementation.

Three ways to the same tokens: spaCy itself (`word_splitter`, the reference), spaCy's patterns without
spaCy (`splitter.py`), and a cache of the tokens of each chunk (`chunks.py`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import UNKNOWN_ID
from ulmfit.text.chunks import Chunks
from ulmfit.text.rules import SPECIAL_TOKENS, Rules, apply_rules, replace_space, undo
from ulmfit.text.splitter import Patterns, Splitter

Ids = NDArray[np.unsignedinteger]  # uint16 up to 65,536 words, else uint32

BATCH_CHARACTERS = 2_000_000  # of texts read ahead; a text is never cut


@cache
def word_splitter(lang: str) -> Any:
    """spaCy's rule-based tokenizer for `lang`, set to keep the special tokens whole.

    ValueError: spaCy has no such language, or needs one more package for it.
    """
    return _spacy(lang).tokenizer


@cache
def _spacy(lang: str) -> Any:
    import spacy
    from spacy.symbols import ORTH
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    try:
        language: Any = spacy.blank(lang)
    except ImportError as error:  # an unknown code, or a language that needs one more package
        raise ValueError(
            f"spaCy can't split texts in lang={lang!r}: {error}. Expected a code such as en, de, fr"
            ' (https://spacy.io/usage/models#languages); "xx" fits any language that writes spaces.'
        ) from error
    if isinstance(language.tokenizer, SpacyTokenizer):  # Chinese, Japanese … have one of their own
        for token in SPECIAL_TOKENS:
            language.tokenizer.add_special_case(token, [{ORTH: token}])
    return language


def tokenize(text: str, lang: str = "en", rules: Rules = "fastai") -> list[str]:
    """The tokens of a text, `xxbos` first; rules="fastai": exactly those of fastai's bulk path."""
    return [replace_space(token.text) for token in word_splitter(lang)(apply_rules(text, rules))]


@cache
def spacy_patterns(lang: str) -> Patterns | None:
    """The patterns of spaCy's tokenizer for `lang`; None where it is more than patterns, as for Japanese.

    ValueError: as `word_splitter`.
    """
    from spacy.symbols import ORTH
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    language = _spacy(lang)
    tokenizer = language.tokenizer
    if type(tokenizer) is not SpacyTokenizer or not tokenizer.faster_heuristics:
        return None
    try:
        return Patterns(
            spacy=metadata.version("spacy"),
            prefixes=_alternatives(tokenizer.prefix_search, language.Defaults.prefixes, "^{}"),
            suffixes=_alternatives(tokenizer.suffix_search, language.Defaults.suffixes, "{}$"),
            infixes=_alternatives(tokenizer.infix_finditer, language.Defaults.infixes, "{}"),
            token_match=_source(tokenizer.token_match),
            url_match=_source(tokenizer.url_match),
            exceptions={
                text: tuple(token[ORTH] for token in tokens)
                for text, tokens in tokenizer.rules.items()
            },
        )
    except _NotAPattern:
        return None


class _NotAPattern(ValueError):
    pass


def _source(method: Any) -> str | None:
    """The expression behind a bound `search`, `match` or `finditer`."""
    if method is None:
        return None
    compiled = getattr(method, "__self__", None)
    if not isinstance(compiled, re.Pattern) or re.compile(compiled.pattern).flags != compiled.flags:
        raise _NotAPattern
    return compiled.pattern


def _alternatives(method: Any, pieces: Iterable[str] | None, form: str) -> tuple[str, ...]:
    """The `pieces` that are not blank, if spaCy joined just these, each in `form`, to the expression behind `method`."""
    kept = tuple(piece for piece in pieces or () if piece.strip())
    if "|".join(form.format(piece) for piece in kept) != (_source(method) or ""):
        raise _NotAPattern
    return kept


class Numbered(NamedTuple):
    """Texts as their distinct words and, for each token, the index of its word."""

    words: list[str]  # in order of first occurrence
    counts: NDArray[np.int64]  # (W,) how often each of them occurs
    places: NDArray[np.unsignedinteger]  # (N,) each token's index in `words`
    lengths: NDArray[np.int64]  # (D,) tokens of each text


@dataclass(frozen=True)
class Words:
    """Text → words and back. `patterns` None: those of the installed spaCy."""

    lang: str
    rules: Rules
    patterns: Patterns | None = None

    @property
    def _chunks(self) -> Chunks | None:
        patterns = self.patterns or spacy_patterns(self.lang)
        return None if patterns is None else chunks_for(patterns, self.rules)

    def split(self, text: str) -> list[str]:
        """As the function `tokenize`, with a cache of chunks split before."""
        chunks = self._chunks
        return tokenize(text, self.lang, self.rules) if chunks is None else chunks.tokens(text)

    def may_join(self, left: str, right: str) -> bool:
        """`Chunks.may_join`. ValueError: spaCy splits this language by more than patterns."""
        if (chunks := self._chunks) is None:
            raise ValueError(
                f"lang={self.lang} is split by more than patterns, so later words may change the tokens of earlier"
                " ones: a text can't be read in pieces; give it to predict as a whole"
            )
        return chunks.may_join(left, right)

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """How often each token occurs, in order of first occurrence."""
        total = Counter[str]()
        for batch in _batches(texts):
            numbered = self.numbered(batch)
            for word, n in zip(numbered.words, numbered.counts.tolist(), strict=True):
                total[word] += n
        return total

    def numbered(self, texts: Sequence[str]) -> "Numbered":
        """The tokens of some texts as numbers, without a vocabulary."""
        if (chunks := self._chunks) is None:
            split = [self.split(text) for text in texts]
            index = {token: i for i, token in enumerate(dict.fromkeys(chain(*split)))}
            names, numbers = list(index), np.array([index[t] for t in chain(*split)], np.int32)
            lengths = np.array([len(tokens) for tokens in split], np.int64)
        else:
            numbers, offsets, names = chunks.batch(texts)
            lengths = np.diff(offsets)
        counts, first = np.bincount(numbers), np.zeros(len(names), np.int64)
        first[numbers[::-1]] = np.arange(len(numbers))[::-1]  # the last write counts
        distinct = np.flatnonzero(counts)
        distinct = distinct[np.argsort(first[distinct])]
        place = np.empty(len(names), np.uint16 if len(distinct) <= 2**16 else np.uint32)
        place[distinct] = np.arange(len(distinct))
        words = [names[number] for number in distinct.tolist()]
        return Numbered(words, counts[distinct], place[numbers], lengths)

    def encode(self, texts: Iterable[str], ids: "TokenIds") -> Iterator[Ids]:
        """The ids of each text, in order; texts are read some way ahead."""
        chunks = self._chunks
        if chunks is None:
            yield from (ids.of(self.split(text)) for text in texts)
            return
        for batch in _batches(texts):
            numbers, offsets, names = chunks.batch(batch)
            encoded = ids.by_number(names)[numbers]
            yield from (encoded[a:b] for a, b in pairwise(offsets.tolist()))

    def join(self, tokens: Iterable[str]) -> str:
        """Words as text, spaced as in English."""
        return undo(tokens)


class TokenIds:
    """Token → id, and token number of `Chunks` → id; threads may share it."""

    def __init__(self, vocab: Sequence[str], dtype: type[np.uint16] | type[np.uint32]) -> None:
        self._ids, self._dtype = {token: i for i, token in enumerate(vocab)}, dtype
        self._known: tuple[list[str], Ids] = [], np.empty(0, dtype)

    def of(self, tokens: Iterable[str]) -> Ids:
        """Ids; tokens outside the vocabulary become xxunk."""
        return np.array([self._ids.get(t, UNKNOWN_ID) for t in tokens], self._dtype)

    def by_number(self, names: list[str]) -> Ids:
        """The ids of `names`, in order; those of the last call are reused where `names` is the same list, extended."""
        known, ids = self._known
        if names is not known:
            ids = ids[:0]
        if new := names[len(ids) :]:
            ids = np.concatenate([ids, self.of(new)])
            self._known = names, ids  # one assignment: threads never see one without the other
        return ids


@cache
def chunks_for(patterns: Patterns, rules: Rules) -> Chunks:
    """The cache that all tokenizers with these patterns and rules share."""
    return Chunks(Splitter(patterns), rules)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
