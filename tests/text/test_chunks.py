"""The one law of chunks.py: the same tokens as `tokenize`, whatever the text."""

import random
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest

from ulmfit.text import chunks
from ulmfit.text.chunks import Chunks
from ulmfit.text.rules import Rules
from ulmfit.text.splitter import Splitter
from ulmfit.text.words import chunks_for, spacy_patterns, tokenize


def fresh(lang: str = "en", rules: Rules = "fastai") -> Chunks:
    """With nothing in its memory."""
    patterns = spacy_patterns(lang)
    assert patterns
    return Chunks(Splitter(patterns), rules)


def same(texts: list[str], lang: str = "en", rules: Rules = "fastai") -> None:
    """One by one and in one batch, all must give the reference's tokens."""
    expected = [tokenize(text, lang, rules) for text in texts]
    one_by_one = fresh(lang, rules)
    for text, tokens in zip(texts, expected, strict=True):
        assert one_by_one.tokens(text) == tokens, repr(text)
    numbers, offsets, names = fresh(lang, rules).batch(texts)
    made = [names[i] for i in numbers.tolist()]
    assert [made[a:b] for a, b in pairwise(offsets.tolist())] == expected


_FRAGMENTS = r"""
good Good GOOD that that no no ha a I Élan ΣΑΣ U.S. aaa aaaa 0 000 10000 3 !!! *** .. ... …
.... xxrep : ) ( :) :- -) > < 3 8 ; = _ o O ^_^ :'( can't cannot 'cause ' cause ’ a.m . a.
vs Mr gonna 10am x-y x/y #tag \ \n \" " (GREAT GREAT) http://a.b/c?d=e ° C. <br /> <br/>
&amp; &#10; &nbsp; nbsp; &lt; quot; & @.@ @-@ @,@ <unk> xxbos xxunk XXMAJ é 日本 🙂 ß İ
"""
FRAGMENTS = [*_FRAGMENTS.split(), "<br />", "\u200b"]
GAPS = ["", " ", " ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\n \n", " \n", "\n ", "\t", "\xa0"]
GAPS += ["\u2003", "\r\n", "\x1f", "\u2028"]


def random_texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        few = rng.sample(FRAGMENTS, rng.randint(2, 8))  # few kinds, so that words repeat
        parts = [rng.choice(few) + rng.choice(GAPS) for _ in range(rng.randint(1, 14))]
        texts.append(rng.choice(GAPS) + "".join(parts))
    return texts


@pytest.mark.parametrize("rules", ["fastai", "clean"])
def test_random_texts(rules: Rules) -> None:
    same(random_texts(500, seed=1), rules=rules)


def test_random_characters() -> None:
    rng = random.Random(2)
    alphabet = " " * 12 + "\n\t aAbB..,,::))((--__''’\"/#&;<>=3°8oO^*éß日🙂\xa0"
    same(["".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(500)])


@pytest.mark.parametrize("lang", ["de", "it", "es", "sv", "ru", "xx"])
def test_other_languages(lang: str) -> None:
    texts = random_texts(150, seed=3)
    texts += [
        "z. B. l'amour d'une dell'arte usw. Dr. Müller qu'il aujourd'hui s'il vous plaît u.a."
    ]
    same(texts, lang)


def test_exceptions_across_a_space_are_split_together() -> None:
    """To spaCy, `b: )` holds `:)` although a space lies in between, and so `):` is left in pieces."""
    assert tokenize("):b")[1:] == ["):", "b"]
    assert tokenize("b: ):b")[1:] == ["b", ":", ")", ":", "b"]
    same(["b: ):b", "):b b: ):b : ) : ) :) : )", "EE. UU.", "8 ) 8) ( 8)"])
    same(["los EE. UU. y EE. UU. son EE.", "EE.\nUU. EE. UU"], "es")


def test_repeated_words() -> None:
    film = "a very very very bad film"
    texts = [
        film,
        "that that is",
        "aaa a a",
        "a a aaa",
        "no\nno \n no no",
        "111333 3 x",
        "no no no-one",
    ]
    same([*texts, "a a a b b b", "no no", "no no", "ha ha ha ha! ha", "xxrepaaa xxrep", film])
    assert fresh().tokens(film)[2:5] == ["xxwrep", "3", "very"]


def test_white_space_is_a_token_with_what_the_rules_put_behind_it() -> None:
    assert fresh().tokens("a\n!!! b")[1:] == ["a", "\n▁", "xxrep", "3", "!", "b"]
    texts = [
        "a\n!!!",
        "a \n b",
        "a\n b",
        "a\n\n/b",
        "a!!!\n!!!",
        "\n a \t",
        "",
        " ",
        "\n",
        "a\x1f b\xa0c",
    ]
    same([*texts, "a  b", "a \n \n  b", "a\x85#b", "  a  ", "İ ΣΑΣ\nΣ"])


def test_the_memory_is_bounded_and_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MEMORY_ENTRIES", 20)
    fast = fresh()
    for i in range(40):
        text = f"often used words, and new{i} (or new{i + 1}) ones ones ones"
        assert fast.tokens(text) == tokenize(text)
        assert len(fast._memory) <= 40
    assert {"often", "used", "words,", "and"} <= fast._memory.keys()
    assert "new3" not in fast._memory


def test_what_passes_once_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long chunks, repeated words and exceptions across spaces: none is remembered."""
    monkeypatch.setattr(chunks, "PASSING_CHARACTERS", 100)
    for hard in ("a" + "b,c" * 30 + "{}", "very{} very{} very{} bad", "b: ) new{}"):
        fast = fresh()
        for i in range(80):
            text = hard.format(i, i, i)
            assert fast.tokens(text) == tokenize(text)
        assert len(fast._table.chunks) - len(fast._memory) < 40


def test_chunks_of_any_length_are_split_but_only_short_ones_remembered() -> None:
    fast, long = fresh(), "x" * 10 + ",y" * 100
    assert fast.tokens(f"{long} {long}") == tokenize(f"{long} {long}")
    assert long not in fast._memory


def test_threads_may_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MEMORY_ENTRIES", 100)
    fast, texts, wrong = fresh(), random_texts(120, seed=4), list[str]()
    expected = [tokenize(text) for text in texts]

    def check(seed: int) -> None:
        for i in random.Random(seed).sample(range(len(texts)), len(texts)):
            if fast.tokens(texts[i]) != expected[i]:
                wrong.append(texts[i])

    threads = [Thread(target=check, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_batch_says_where_its_texts_begin() -> None:
    numbers, offsets, names = fresh().batch(["a b", "", "c"])
    assert offsets.tolist() == [0, 3, 4, 6] and numbers.dtype == np.int32
    assert [names[i] for i in numbers[offsets[:-1]]] == ["xxbos"] * 3


def test_one_memory_for_all_of_a_kind() -> None:
    patterns = spacy_patterns("en")
    assert patterns
    assert chunks_for(patterns, "fastai") is chunks_for(patterns, "fastai")
    assert chunks_for(patterns, "fastai") is not chunks_for(patterns, "clean")


def test_an_interrupted_batch_leaves_no_numbers_without_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fresh()

    def interrupted(self: Splitter, span: str) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Splitter, "word", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.tokens("Some new words.\n\nAnd more")
    assert made.tokens("words. Some") == tokenize("words. Some")
