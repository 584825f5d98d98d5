"""Which word of the user's own text each token comes from.

A word is what stands between white space. Each character carries the number of its word through the rules, so that
`xxmaj`, `xxrep 3 !`, both halves of "don't" and the "\\n" from `<br />` can be traced back to it.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from ulmfit.text.rules import BOS, SPACE_IN_TOKEN, STEPS, Rules
from ulmfit.text.sentencepiece import Pieces
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import Ids

_WORD = re.compile(r"\S+")


class Span(NamedTuple):
    """text[start:end], in characters."""

    start: int
    end: int


class Alignment(NamedTuple):
    words: list[Span]  # in order
    tokens: list[str]  # of the whole text, xxbos first
    ids: Ids  # the same, as `tokenizer.encode` gives them
    owners: list[int]  # for each token the index of its word; 0 for xxbos, too


class Marked(NamedTuple):
    """A text on its way through the rules, and for each character the word it comes from."""

    text: str
    owners: list[int]


def spans(text: str) -> list[Span]:
    """The words of a text: what stands between white space."""
    return [Span(*match.span()) for match in _WORD.finditer(text)]


def align(text: str, tokenizer: Tokenizer) -> Alignment:
    """Words, tokens, and which token comes from which word; later tokens never come from earlier words.

    ValueError: tokens can't be found in the text, as where a language's own tokenizer changes characters.
    """
    words = spans(text)
    tokens = tokenizer.tokenize(text)
    marked = mark(text, tokenizer.config.rules)
    if tokenizer.model is None:
        places = _places(marked.text, tokens)
    else:
        places = Pieces(tokenizer.model, tokenizer.config.rules).places(marked.text)
    if len(places) != len(tokens):
        raise ValueError(
            f"the text's {len(tokens)} pieces can't be matched to its words, which have {len(places)} by themselves; remove"
            " control characters from the text"
        )
    ids = tokenizer.encode(text)
    return Alignment(words, tokens, ids, [marked.owners[at] for at in places])


def mark(text: str, rules: Rules) -> Marked:
    """`apply_rules`, followed character by character; white space counts to the word before it."""
    owners, number = list[int](), -1
    for character, before in zip(text, " " + text, strict=False):
        number += not character.isspace() and before.isspace()
        owners.append(max(number, 0))
    marked = Marked(text, owners)
    for pattern, rule in STEPS[rules]:
        marked = _replaced(marked, pattern, rule)
    return _lowered(marked)


def _replaced(marked: Marked, pattern: re.Pattern[str], rule: Callable[[str], str]) -> Marked:
    """A rule applied to each match. New characters come from the first word among those they replace; characters that
    stay at the match's beginning and end keep their word."""
    text, owners, end = list[str](), list[int](), 0
    for match in pattern.finditer(marked.text):
        old, new, start = match[0], rule(match[0]), match.start()
        head = _common_prefix(old, new)
        tail = _common_prefix(old[head:][::-1], new[head:][::-1])
        changed = old[head : len(old) - tail]
        first = start + head + len(changed) - len(changed.lstrip())
        owner = marked.owners[min(first, match.end() - 1)]
        text += marked.text[end:start], new
        owners += marked.owners[end : start + head]
        owners += [owner] * (len(new) - head - tail)
        owners += marked.owners[match.end() - tail : match.end()]
        end = match.end()
    if not text:
        return marked
    return Marked("".join(text) + marked.text[end:], owners + marked.owners[end:])


def _common_prefix(one: str, other: str) -> int:
    """Its length."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _lowered(marked: Marked) -> Marked:
    """`lowercase`; a few characters become two."""
    text, owners = marked.text.lower(), marked.owners
    if len(text) != len(owners):
        pairs = zip(marked.text, owners, strict=True)
        owners = [owner for character, owner in pairs for _ in character.lower()]
    stripped = text.strip()
    start = text.find(stripped)
    owners = owners[start : start + len(stripped)]
    return Marked(f"{BOS} {stripped}", [0] * (len(BOS) + 1) + owners)


def _places(marked: str, tokens: list[str]) -> list[int]:
    """Where each token begins; between two tokens there is at most one space."""
    places, at = list[int](), 0
    for token in tokens:
        at += marked[at : at + 1] == " "
        if marked[at : at + len(token)].replace(" ", SPACE_IN_TOKEN) != token.replace(
            " ", SPACE_IN_TOKEN
        ):
            raise ValueError(
                f"the token {token!r} can't be found in the text where it should stand"
                f" ({marked[at : at + 20]!r}); this language's tokenizer changes characters, so its words can't be weighed"
            )
        places.append(at)
        at += len(token)
    return places
