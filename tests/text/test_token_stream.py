"""The tokens of pieces are those of the whole text, however it is cut."""

import random
import time
import tracemalloc

import numpy as np
import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text.document import Document
from ulmfit.text.rules import Rules
from ulmfit.text.token_stream import MOST_HELD, TokenStream
from ulmfit.text.tokenizer import Tokenizer

# What rules, exceptions and repetitions are about, in parts that only matter together.
HARD = (
    "no no no NO No film film plain words Great GREAT! great, it's don't can't a b c I A U.S. p.m. 10 pm 10pm 3 4 4444 444"
    " : ) :) 8 8) :-( ;) o_o .. ... .... … <br />|<br|/>| |  |   |\n|\n\n|\t|\r\n|\xa0|\u2003|\x1c|\x85|@.@|@-@|@,@|&amp;|amp;|&#39;"
    '|#39;|&#32;|&#10;|&nbsp;|nbsp;|&|#|;|quot;|<unk>|\\n|\\"|\\|/|and/or|xxbos|xxrep|xxunk|xxmaj|xxwrep 3|aaa|aaaa|a|!|!!!|?|ΑΣ|'
    "Σ|ß|é|e|\u0301|\u200b|ﬁ|İ|ı|日本|'s|n't|“|”|(|)|-|--|well-known|'|\"|http://a.b/c|$5|5%|no.|no!|no,"
)
PARTS = [
    part for group in HARD.split("|") for part in (group.split(" ") if group.strip() else [group])
]


def hard_text(draw: random.Random) -> str:
    """Mostly words with one space between them, so that there are seams close to everything else."""
    few = draw.sample(PARTS, 8)  # what comes back often comes together
    parts = []
    for _ in range(draw.randrange(1, 40)):
        parts.append(draw.choice(few if draw.random() < 0.7 else PARTS))
        parts.append(draw.choice([" ", " ", " ", " ", "", "  ", "\n", draw.choice(PARTS)]))
    return "".join(parts)


def cut(text: str, draw: random.Random) -> list[str]:
    """Into pieces of any length, some of them empty, or into single characters."""
    if draw.random() < 0.3:
        return list(text)
    at = sorted(draw.choices(range(len(text) + 1), k=draw.randrange(6)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def read(tokenizer: Tokenizer, pieces: list[str]) -> list[str]:
    stream = TokenStream(tokenizer)
    given = [stream.feed(piece) for piece in pieces]
    return tokenizer.tokens(np.concatenate([*given, stream.rest()]).tolist())


@pytest.mark.parametrize("rules", ["fastai", "clean"])
def test_words_of_hard_texts_cut_anywhere(rules: Rules) -> None:
    draw = random.Random(0)
    texts = [hard_text(draw) for _ in range(400)]
    config = TokenizerConfig(max_vocab=10**6, min_freq=1, rules=rules)
    tokenizer = Tokenizer.build(texts, config)  # knows every token, so none hides behind xxunk
    early = 0
    for text in texts:
        pieces = cut(text, draw)
        assert read(tokenizer, pieces) == tokenizer.tokenize(text), pieces
        early += len(TokenStream(tokenizer).feed(text)) > 0
    assert early > len(texts) / 3  # not because everything was held back


@pytest.mark.parametrize("lang", ["de", "xx"])
def test_words_of_other_languages(lang: str) -> None:
    draw = random.Random(1)
    texts = [hard_text(draw) + " z. B. l'un d'eux aujourd'hui 5 € i.d.R. " for _ in range(60)]
    config = TokenizerConfig(max_vocab=10**6, min_freq=1, lang=lang)
    tokenizer = Tokenizer.build(texts, config)
    for text in texts:
        assert read(tokenizer, cut(text, draw)) == tokenizer.tokenize(text), text


def test_pieces_of_words() -> None:
    pytest.importorskip("sentencepiece")
    draw = random.Random(2)
    texts = [hard_text(draw) for _ in range(120)]
    config = TokenizerConfig(kind="sentencepiece", max_vocab=400)
    for trained in (texts, ["nothing but letters in these few words"] * 20):
        tokenizer = Tokenizer.build(trained, config)
        for text in texts:
            expected = tokenizer.tokens(tokenizer.encode(text).tolist())
            assert read(tokenizer, cut(text, draw)) == expected, text


def test_reviews_word_by_word_hold_back_two_words(
    tokenizer: Tokenizer, reviews: list[Document]
) -> None:
    for document in reviews[:20]:
        stream, text = TokenStream(tokenizer), document.text
        words = [word + " " for word in text.split(" ")]
        given = [len(stream.feed(word)) for word in words]
        assert sum(given) + len(stream.rest()) == len(tokenizer.encode(text))
        assert len(stream.rest()) <= 8 and sum(map(bool, given)) > len(words) / 2


def test_rest_changes_nothing_and_nothing_is_the_empty_text(tokenizer: Tokenizer) -> None:
    stream = TokenStream(tokenizer)
    assert stream.rest().tolist() == tokenizer.encode("").tolist()
    for text in ("It was", "It was gre", "It was great and", "It was great and lovely, that is s"):
        stream = TokenStream(tokenizer)
        given = stream.feed(text)
        for _ in range(2):
            whole = [*given.tolist(), *stream.rest().tolist()]
            assert whole == tokenizer.encode(text).tolist()


def test_memory_does_not_grow(tokenizer: Tokenizer) -> None:
    stream, line = (
        TokenStream(tokenizer),
        "the film and the cast were great, i say it again; and so on.\n",
    )
    stream.feed(line * 20)
    tracemalloc.start()
    stream.feed(line * 10)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(100):
        stream.feed(line * 10)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 30_000  # bytes; the text has 61,000 characters


@pytest.mark.parametrize("unbroken", ["x" * 8, "no " * 8])
def test_a_text_without_a_place_to_cut_is_refused_soon(tokenizer: Tokenizer, unbroken: str) -> None:
    stream, began = TokenStream(tokenizer), time.process_time()
    with pytest.raises(ValueError, match="200,000 characters without a place"):
        for _ in range(MOST_HELD // 8):
            stream.feed(unbroken)
        stream.feed(unbroken)
    assert time.process_time() - began < 10


def test_languages_that_are_more_than_patterns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.text.words.spacy_patterns", lambda lang: None)
    config = TokenizerConfig(lang="xx", min_freq=1)
    tokenizer = Tokenizer(config, Tokenizer.build(["a"], config).vocab)
    with pytest.raises(ValueError, match="lang=xx is split by more than patterns"):
        TokenStream(tokenizer)
