"""spaCy's rule-based tokenizer as data, and the loop that runs on it: the same tokens without spaCy.

The patterns and exceptions are spaCy's (MIT licence, see `NOTICE`); they are saved with a model, so
that its tokens stay what they were under another version of spaCy, and without it. The order of the
steps follows spaCy's documentation (https://spacy.io/usage/linguistic-features#how-tokenizer-works)
and, where that is silent, its behaviour in version 3.8.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from ulmfit.text.prefilter import Ranges, may_begin, may_end, may_match_within

NOTICE = (
    "Patterns and exceptions of spaCy, https://github.com/explosion/spaCy, MIT licence,"
    " Copyright (C) 2016-2024 ExplosionAI GmbH, 2016 spaCy GmbH, 2015 Matthew Honnibal"
)
# A core of these characters alone holds neither an infix nor a URL; checked against the patterns.
_PLAIN = ((0x27, 0x27), (0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), (0xDF, 0xF6), (0xF8, 0xFF))
# A word of these characters alone has no prefix or suffix either; checked likewise.
_LETTERS = ((0x61, 0x7A), (0xDF, 0xF6), (0xF8, 0xFF))
_SPANS = re.compile(r"\s+|\S+")

Search = Callable[[str], re.Match[str] | None]


@dataclass(frozen=True, eq=False)
class Patterns:
    """The rules of spaCy's tokenizer for one language, as Python's regular expressions; None where it has none."""

    spacy: str  # the version they were taken from
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    infixes: tuple[str, ...]
    token_match: str | None
    url_match: str | None
    exceptions: dict[str, tuple[str, ...]]  # text without spaces around → its tokens

    @cached_property
    def digest(self) -> str:
        """64 hex digits of everything but spaCy's version: equal exactly when the patterns are."""
        content = self.to_json() | {"spacy": "", "notice": ""}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> dict[str, Any]:
        """As plain lists and dicts, with spaCy's licence notice."""
        return {"notice": NOTICE, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Patterns":
        """The inverse of `to_json`. KeyError, TypeError or ValueError where `content` is something else."""
        lists = {name: strings(content[name]) for name in ("prefixes", "suffixes", "infixes")}
        single = {name: content[name] for name in ("token_match", "url_match")}
        exceptions = {text: strings(tokens) for text, tokens in content["exceptions"].items()}
        if wrong := [text for text, tokens in exceptions.items() if "".join(tokens) != text]:
            raise ValueError(f"exceptions whose tokens do not make up their text: {wrong[:3]}")
        if not all(p is None or isinstance(p, str) for p in single.values()):
            raise TypeError(f"expected regular expressions, got {single}")
        for pattern in (*itertools.chain(*lists.values()), *filter(None, single.values())):
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(
                    f"{pattern[:80]!r} is not a regular expression: {error}"
                ) from error
        return cls(str(content["spacy"]), **lists, **single, exceptions=exceptions)


class Splitter:
    """Text → the tokens of the spaCy tokenizer that `patterns` were taken from."""

    def __init__(self, patterns: Patterns) -> None:
        self.patterns = patterns
        self._exceptions = patterns.exceptions
        self._prefixes = _Affixes(["^" + p for p in patterns.prefixes], 0, may_begin)
        self._suffixes = _Affixes([p + "$" for p in patterns.suffixes], -1, may_end)
        self._infixes = re.compile("|".join(patterns.infixes)) if patterns.infixes else None
        self._token_match = _matcher(patterns.token_match)
        self._url_match = _matcher(patterns.url_match)
        inside = [*patterns.infixes, *filter(None, [patterns.url_match])]
        self._plain = _all_of(_PLAIN, inside)
        affixes = [*self._prefixes.patterns, *self._suffixes.patterns]
        self._letters = _all_of(_LETTERS, [*inside, *affixes])
        self.phrases = dict(self._phrases())
        # tokens that are neighbours in one of them
        self.pairs = {pair for phrase in self.phrases.values() for pair in pairwise(phrase)}
        self._trie = _trie(self.phrases.values())
        self._phrase_starts = frozenset(self._trie)

    def split(self, text: str) -> list[str]:
        """The tokens of a text of any length; a single space between two tokens is not a token."""
        return self.with_phrases(*self.raw(text))

    def raw(self, text: str) -> tuple[list[str], set[int]]:
        """The input of `with_phrases`: tokens, and the positions of those before a space."""
        tokens, spaced = list[str](), set[int]()
        for span in _SPANS.findall(text):
            if tokens and span[0] == " ":
                spaced.add(len(tokens) - 1)
                span = span[1:]
            if span:
                tokens += self.word(span)
        return tokens, spaced

    def word(self, span: str) -> list[str]:
        """The tokens of a span without spaces (or of nothing else), before `with_phrases`."""
        return self._split_affixes(span, self._exceptions)

    def with_phrases(self, tokens: list[str], spaced: set[int]) -> list[str]:
        """Replaces phrases by the tokens of the exception they spell; `spaced`: positions before a space.

        A phrase is a run of tokens that an exception would be split into, across spaces too. The
        longest wins, then the first; one that spells no exception, because of a space, is kept as
        it is, but still blocks those it overlaps.
        """
        if self._phrase_starts.isdisjoint(tokens):
            return tokens
        merged, position = list[str](), 0
        for start, end in _without_overlaps(self._phrase_spans(tokens)):
            within = enumerate(tokens[start : end - 1], start)
            text = "".join(t + " " * (i in spaced) for i, t in within) + tokens[end - 1]
            merged += [*tokens[position:start], *self._exceptions.get(text, tokens[start:end])]
            position = end
        return merged + tokens[position:]

    def _phrase_spans(self, tokens: list[str]) -> Iterator[tuple[int, int]]:
        """Start and end of all phrases in `tokens`."""
        for start, token in enumerate(tokens):
            node, end = self._trie.get(token), start + 1
            while node is not None:
                if None in node:
                    yield start, end
                node, end = node.get(tokens[end]) if end < len(tokens) else None, end + 1

    def _split_affixes(self, string: str, exceptions: dict[str, tuple[str, ...]]) -> list[str]:
        """The tokens of one span: prefixes, those of an exception or core, suffixes."""
        prefixes, suffixes = list[str](), list[str]()
        length = -1
        while string and len(string) != length:
            if string in exceptions or self._letters(string):
                break
            if self._token_match and self._token_match(string):
                break
            length = len(string)
            before = self._prefixes.length(string)
            rest = string[before:]
            if before and rest in exceptions:
                prefixes.append(string[:before])
                string = rest
                break
            behind = self._suffixes.length(rest)
            if behind and string[:-behind] in exceptions:
                suffixes.append(string[-behind:])
                string = string[:-behind]
                break
            if before:
                prefixes.append(string[:before])
            if behind:
                suffixes.append(string[-behind:])
            string = rest[: len(rest) - behind]
        if string:
            prefixes += self._core(string, exceptions)
        return prefixes + suffixes[::-1]

    def _core(self, string: str, exceptions: dict[str, tuple[str, ...]]) -> Sequence[str]:
        """The tokens of what is left between prefixes and suffixes."""
        if string in exceptions:
            return exceptions[string]
        if self._plain(string) or self._infixes is None:
            return [string]
        if (self._token_match and self._token_match(string)) or (
            self._url_match and self._url_match(string)
        ):
            return [string]
        parts, done = list[str](), 0
        for match in self._infixes.finditer(string):
            if match.start():  # one at the very beginning does not count
                parts += [string[done : match.start()], match[0]]
                done = match.end()
        return [part for part in (*parts, string[done:]) if part]

    def _phrases(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """(exception, the tokens it would be split into otherwise), for those that affixes, infixes or spaces take apart."""
        for text in self._exceptions:
            infix = self._infixes and self._infixes.search(text)
            if self._prefixes.length(text) or self._suffixes.length(text) or infix or " " in text:
                spans = (
                    s.removeprefix(" ") if i else s for i, s in enumerate(_SPANS.findall(text))
                )
                yield text, tuple(t for s in spans if s for t in self._split_affixes(s, {}))


class _Affixes(dict[str, Search | None]):
    """First or last character of a string → search for an affix there; None where no affix can have that character."""

    def __init__(
        self, patterns: Sequence[str], end: int, possible: Callable[[str, str], bool]
    ) -> None:
        self.patterns, self._end, self._possible = patterns, end, possible

    def __missing__(self, char: str) -> Search | None:
        # "$" also matches before a line break, so white space rules nothing out
        rule_out = char and not char.isspace()
        kept = [p for p in self.patterns if not rule_out or self._possible(p, char)]
        # spaCy tries them in this order
        self[char] = re.compile("|".join(kept)).search if kept else None
        return self[char]

    def length(self, string: str) -> int:
        """Characters of the affix; 0: there is none."""
        search = self[string[self._end] if string else ""]
        if search and (match := search(string)):
            return match.end() - match.start()
        return 0


def strings(values: Iterable[Any]) -> tuple[str, ...]:
    """A JSON list of strings as a tuple. TypeError where it is something else."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"expected a list of strings, got {str(values)[:80]}")
    return tuple(values)


def _all_of(ranges: Ranges, patterns: Iterable[str]) -> Search:
    """Matches strings of characters in `ranges` alone; nothing at all if such a string could hold one of `patterns`."""
    characters = "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)
    possible = any(may_match_within(pattern, ranges) for pattern in patterns)
    return re.compile("(?!)" if possible else f"[{characters}]+").fullmatch


def _matcher(pattern: str | None) -> Search | None:
    return None if pattern is None else re.compile(pattern).match


def _without_overlaps(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans kept, in order: the longest take precedence, then the first. As in spaCy, a rejected span blocks others, too."""
    kept, covered = list[tuple[int, int]](), set[int]()
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if covered.isdisjoint((start, end - 1)):
            kept.append((start, end))
        covered.update(range(start, end))
    return sorted(kept)


def _trie(phrases: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    trie: dict[Any, Any] = {}
    for phrase in phrases:
        node = trie
        for token in phrase:
            node = node.setdefault(token, {})
        node[None] = True
    return trie
