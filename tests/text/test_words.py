import pickle
from collections import Counter

import fuzz
import numpy as np
import pytest

from ulmfit.text import words
from ulmfit.text.words import TokenIds, Words, spacy_patterns, tokenize, word_splitter

VOCAB = ["xxunk", "xxpad", "xxbos", "a", "good", "film", ","]


def english() -> Words:
    return Words("en", "fastai", spacy_patterns("en"))


@pytest.mark.parametrize(("lang", "rules"), [("en", "fastai"), ("en", "clean"), ("de", "fastai")])
def test_fuzz(lang: str, rules: words.Rules) -> None:
    patterns = spacy_patterns(lang)
    assert patterns
    texts, fast = fuzz.texts(400, 3, sorted(patterns.exceptions)), Words(lang, rules)
    for text in texts:
        assert fast.split(text) == tokenize(text, lang, rules), repr(text)


def test_counts_have_the_order_of_first_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where some chunks are split together and repeated words as a whole: ties in a vocabulary depend on it."""
    texts = [*fuzz.texts(300, 5, ["can't", ":)"]), "z1 z1 z1 b: ):b z2 z3", "z3 z2 z4"]
    slow = Counter[str]()
    for text in texts:
        slow.update(tokenize(text))
    assert list(english().count(texts).items()) == list(slow.items())
    monkeypatch.setattr(words, "BATCH_CHARACTERS", 200)
    assert list(english().count(iter(texts)).items()) == list(slow.items())
    assert not english().count([])


def test_ids_are_those_of_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*fuzz.texts(60, 6, []), "a good film", ""]
    ids = TokenIds(VOCAB, np.uint16)
    expected = [ids.of(tokenize(text)).tolist() for text in texts]
    for characters in (50, 2_000_000):
        monkeypatch.setattr(words, "BATCH_CHARACTERS", characters)
        assert [made.tolist() for made in english().encode(texts, ids)] == expected
    assert expected[-2] == [2, 3, 4, 5] and ids.of(["zebra"]).dtype == np.uint16


def test_ids_follow_when_numbers_change_their_meaning() -> None:
    ids, names = TokenIds(VOCAB, np.uint32), ["film", "zebra"]
    assert ids.by_number(names).tolist() == [5, 0]
    names.append("good")
    assert ids.by_number(names).tolist() == [5, 0, 4]
    assert ids.by_number(["a"]).tolist() == [3]


def test_a_language_with_a_splitter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spacy")
    chinese = Words("zh", "fastai")  # one token a character, with no package more
    assert spacy_patterns("zh") is None
    assert chinese.split("好 film") == tokenize("好 film", "zh")
    assert chinese.count(["好", "好"])["好"] == 2
    assert [i.tolist() for i in chinese.encode(["film"], TokenIds(VOCAB, np.uint16))] != []


def test_patterns_are_those_of_spacy() -> None:
    patterns = spacy_patterns("en")
    assert patterns and patterns.exceptions["can't"] == ("ca", "n't")
    assert patterns.exceptions["xxbos"] == ("xxbos",)
    assert (
        "|".join("^" + p for p in patterns.prefixes)
        in word_splitter("en").prefix_search.__self__.pattern
    )


def test_it_can_be_sent_to_another_process() -> None:
    fast = english()
    fast.split("a good film")
    assert pickle.loads(pickle.dumps(fast)).split("a film") == ["xxbos", "a", "film"]
