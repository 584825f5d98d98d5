"""`TokenStream`: the tokens of a text that arrives in pieces; the same as those of the whole, wherever it was cut.

Tokens depend on what comes later: an unfinished word, `<br />`, `...`, the third `no` of `no no no`. So a text is cut
only at a seam: white space between words that no rule, no exception across spaces and no repetition can join. The last
word before a seam is kept as context, so that white space and the beginning of a text need no special treatment.
"""

import re

import numpy as np

from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import Ids

BLOCK = 20_000  # characters of a piece that are processed together
MOST_HELD = 200_000  # characters held back; natural text needs a few words
_WORD = re.compile(r"\S+")
_GAP = re.compile(r"[ \t\n\r]")
_HEAD = re.compile(r"\w+")
# What a rule may turn into something other than one word: HTML and WikiText leftovers, three equal characters, markers.
_SPECIAL = re.compile(r"[&;<>@#/\\]|(\S)\1\1|xx", re.IGNORECASE)


class TokenStream:
    """Pieces of one text in, ids out. Holds at most `MOST_HELD` characters. ValueError: more of them without a seam, or a
    language that is split by more than patterns."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.may_join("a", " b")  # refuses such a language before any text comes
        self.tokenizer = tokenizer
        self._held = ""  # the word before the last seam, as context, and all that follows
        self._emitted = 0  # tokens of `_held` that were given out before
        self._search_from = 0  # where in `_held` the words around a new seam begin at the earliest
        self._pieces: list[str] = []  # after `_held`: parts of one word
        self._size = 0  # characters of both

    def feed(self, piece: str) -> Ids:
        """The ids, xxbos first, that are certain now; none yet of the words after the last seam."""
        ids = [self._feed(piece[i : i + BLOCK]) for i in range(0, len(piece), BLOCK)]
        return np.concatenate(ids) if ids else self._none()

    def rest(self) -> Ids:
        """The ids of what is held back, as if the text ended here. Changes nothing."""
        return self.tokenizer.encode(self._held + "".join(self._pieces))[self._emitted :]

    def _feed(self, block: str) -> Ids:
        self._pieces.append(block)
        self._size += len(block)
        ids = self._none()
        if not _WORD.fullmatch(block):  # inside a word there is no seam
            self._held, self._pieces = self._held + "".join(self._pieces), []
            ids, self._size = self._cut(), len(self._held)
        if self._size > MOST_HELD:
            raise ValueError(
                f"more than {MOST_HELD:,} characters without a place to cut the text (spaces between words that are not"
                " all the same): such a text can't be read in pieces; give it to predict as a whole"
            )
        return ids

    def _cut(self) -> Ids:
        """The ids of what stands before the last seam, where there is one; the rest stays held."""
        words = list(_WORD.finditer(self._held, self._search_from))
        finished = len(words) - (not self._held[-1].isspace())
        for i in reversed(range(2, finished)):
            if self._seam(words[i - 2], words[i - 1], words[i]):
                ids = self.tokenizer.encode(self._held[: words[i - 1].end()])[self._emitted :]
                self._held, self._search_from = self._held[words[i - 1].start() :], 0
                self._emitted = len(self.tokenizer.encode(words[i - 1][0]))
                return ids
        self._search_from = words[-3].start() if len(words) >= 3 else self._search_from
        return self._none()

    def _seam(self, before: re.Match[str], left: re.Match[str], right: re.Match[str]) -> bool:
        """Whether nothing can join `left` and `right`; all three are finished words in a row."""
        if any(_SPECIAL.search(word[0]) for word in (before, left, right)):
            return False
        # SentencePiece deletes other white space, such as \x1c, and the word border with it.
        if not _GAP.search(self._held, left.end(), right.start()):
            return False
        # A repetition must not end with `left`, since it would take the space, nor go on. A combining mark might join.
        if _head(left[0]) == before[0] or _head(right[0]) == left[0] or not right[0][0].isalnum():
            return False
        return not self.tokenizer.may_join(left[0], self._held[left.end() : right.end()])

    def _none(self) -> Ids:
        return np.empty(0, self.tokenizer.dtype)


def _head(word: str) -> str | None:
    match = _HEAD.match(word)
    return match and match[0]
