"""The one law of splitter.py: the same tokens as spaCy."""

import json
from functools import cache

import fuzz
import pytest

from ulmfit.text import splitter
from ulmfit.text.rules import apply_rules
from ulmfit.text.splitter import Patterns, Splitter
from ulmfit.text.words import spacy_patterns, word_splitter


@cache
def patterns_of(lang: str) -> Patterns:
    patterns = spacy_patterns(lang)
    assert patterns
    return patterns


@pytest.mark.parametrize("lang", ["en", "de", "es", "hu", "tr", "xx"])
def test_as_spacy(lang: str) -> None:
    own, spacy = Splitter(patterns_of(lang)), word_splitter(lang)
    texts = fuzz.texts(250, 1, sorted(patterns_of(lang).exceptions))
    texts += [apply_rules(text) for text in texts[:100]]
    for text in texts:
        assert own.split(text) == [token.text for token in spacy(text)], repr(text)


@pytest.mark.parametrize("lang", ["en", "es"])
def test_every_exception_as_spacy(lang: str) -> None:
    own, spacy = Splitter(patterns_of(lang)), word_splitter(lang)
    for text in patterns_of(lang).exceptions:
        for changed in (text, f"({text}", f"{text}.", f"x-{text}", f" {text} {text}", text + text):
            assert own.split(changed) == [token.text for token in spacy(changed)], changed


def test_speed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = fuzz.texts(300, 2, sorted(patterns_of("en").exceptions))
    quick = Splitter(patterns_of("en"))
    fast = [quick.split(text) for text in texts]
    for name in ("may_begin", "may_end", "may_match_within"):
        monkeypatch.setattr(splitter, name, lambda *_: True)
    slow = Splitter(patterns_of("en"))
    assert [slow.split(text) for text in texts] == fast


def test_patterns_go_through_json() -> None:
    patterns = patterns_of("en")
    text = json.dumps(patterns.to_json(), ensure_ascii=False)
    assert len(text) < 100_000 and "MIT" in text
    again = Patterns.from_json(json.loads(text))
    assert again == patterns and hash(again) == hash(patterns)
    other = Patterns.from_json({**json.loads(text), "infixes": ["-"]})
    assert other != patterns
    assert Splitter(other).split("a,b-c") == ["a,b", "-", "c"]


@pytest.mark.parametrize(
    "change",
    [
        {"prefixes": "abc"},
        {"prefixes": [1]},
        {"infixes": None},
        {"url_match": 3},
        {"exceptions": {"ab": ["a", "c"]}},
        {"exceptions": []},
        {"suffixes": ["("]},
    ],
)
def test_damaged_patterns_are_refused(change: dict) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, KeyError)):
        Patterns.from_json(patterns_of("en").to_json() | change)
