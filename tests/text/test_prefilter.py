import random
import re

import pytest

from ulmfit.text import prefilter
from ulmfit.text.prefilter import may_begin, may_end, may_match_within
from ulmfit.text.words import spacy_patterns

PIECES = [
    "a",
    "[a-c]",
    r"\+(?![0-9])",
    r"(?<=[0-9])x",
    r"\.\.+",
    "a|b",
    "(?:a|bc)?d",
    r"\d",
    "[^a]",
    "a*b",
    "(a)\\1",
]
PIECES += [
    "'s",
    "(?<=[a-z])\\.(?=[A-Z])",
    "",
    "(?:ab){2,3}",
    "[.,](?:x|y+)",
    "(?i:k)",
    "(?i)k",
    r"\ba",
    ".",
    "a{0}b",
]


@pytest.mark.parametrize("piece", PIECES)
def test_what_it_rules_out_never_matches(piece: str) -> None:
    draw = random.Random(piece)
    if "(?i)" in piece:  # Python wants it at the very beginning
        first, last = r"(?i)^k", r"(?i)k$"
    else:
        first, last = "^" + piece, piece + "$"
    found = 0
    for _ in range(1500):
        few = draw.choices("abcdxk.+,AK0'sy", k=3)  # so that they repeat
        text = "".join(draw.choices(few, k=draw.randint(1, 6)))
        if re.search(first, text):
            assert may_begin(first, text[0]), text
        if re.search(last, text):
            assert may_end(last, text[-1]), text
        if re.search(piece, text):
            found += 1
            assert may_match_within(piece, tuple((ord(c), ord(c)) for c in text)), text
    assert found


def test_what_it_rules_out() -> None:
    assert not may_begin(r"^\+(?![0-9])", "a")
    assert not may_end(r"(?<=[0-9])(?:km|m)$", "g") and may_end(r"(?<=[0-9])(?:km|m)$", "m")
    assert not may_match_within(r"(?<=[a-z])\.(?=[A-Z])", ((97, 122), (65, 90)))


def test_without_a_parse_tree_nothing_is_ruled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefilter, "_parse", None)
    prefilter._tree.cache_clear()
    assert may_begin("^a", "b") and may_end("a$", "b") and may_match_within("a", ((98, 98),))
    prefilter._tree.cache_clear()


def test_it_helps_with_english() -> None:
    """Otherwise the fast way is right, but slow."""
    patterns = spacy_patterns("en")
    assert patterns
    assert not any(may_begin("^" + p, "w") for p in patterns.prefixes)
    assert sum(may_end(p + "$", "y") for p in patterns.suffixes) == 0
    inside = [*patterns.infixes, patterns.url_match or ""]
    assert not any(may_match_within(p, ((97, 122), (65, 90))) for p in inside)
