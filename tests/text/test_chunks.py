"""The one law of chunks.py: the same tokens as `tokenize`, whatever the text."""

import lzma
import random
from pathlib import Path

import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text import chunks
from ulmfit.text.chunks import Chunks, chunks_for
from ulmfit.text.rules import SPECIAL_TOKENS, Rules
from ulmfit.text.tokenizer import Tokenizer, tokenize, word_splitter

DATA = Path(__file__).parents[3] / "shared" / "data"  # only on the machine of the maintainers


def same(texts: list[str], lang: str = "en", rules: Rules = "fastai") -> int:
    """How many of `texts` were split chunk by chunk; all must give the reference's tokens."""
    fast = Chunks(word_splitter(lang), rules)
    found = [fast.tokens(text) for text in texts]
    for text, tokens in zip(texts, found, strict=True):
        assert tokens is None or ["xxbos", *tokens] == tokenize(text, lang, rules), repr(text)
    return sum(tokens is not None for tokens in found)


FRAGMENTS = [
    *["good", "Good", "GOOD", "that", "that", "no", "no", "ha", "a", "I", "Élan", "ΣΑΣ", "U.S."],
    *["aaa", "aaaa", "0", "000", "10000", "3", "!!!", "***", "..", "...", "…", "....", "xxrep"],
    *[":", ")", "(", ":)", ":-", "-)", ">", "<", "3", "8", ";", "=", "_", "o", "O", "^_^", ":'("],
    *[
        "can't",
        "cannot",
        "'cause",
        "'",
        "cause",
        "’",
        "a.m",
        ".",
        "a.",
        "vs",
        "Mr",
        "gonna",
        "10am",
    ],
    *[
        "x-y",
        "x/y",
        "#tag",
        "\\",
        "\\n",
        '\\"',
        '"',
        "(GREAT",
        "GREAT)",
        "http://a.b/c?d=e",
        "°",
        "C.",
    ],
    *["<br />", "<br", "/>", "<br/>", "&amp;", "&#10;", "&nbsp;", "nbsp;", "&lt;", "quot;", "&"],
    *[
        "@.@",
        "@-@",
        "@,@",
        "<unk>",
        "xxbos",
        "xxunk",
        "XXMAJ",
        "é",
        "日本",
        "🙂",
        "\u200b",
        "ß",
        "İ",
    ],
]
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
    assert same(random_texts(1500, seed=1), rules=rules) > 500


def test_random_characters() -> None:
    rng = random.Random(2)
    alphabet = " " * 12 + "\n\t aAbB..,,::))((--__''’\"/#&;<>=3°8oO^*éß日🙂\xa0"
    assert same(["".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(1500)]) > 500


@pytest.mark.parametrize("lang", ["de", "fr", "it", "es", "sv", "xx"])
def test_other_languages(lang: str) -> None:
    texts = random_texts(150, seed=3)
    texts += [
        "z. B. l'amour d'une dell'arte usw. Dr. Müller qu'il aujourd'hui s'il vous plaît u.a."
    ]
    assert same(texts, lang) > 50


def test_special_cases_across_a_space_are_left_to_the_whole_text() -> None:
    """To spaCy's matcher, blind to spaces, `b: )` holds `:)`, and so it leaves `):` in pieces."""
    assert tokenize("):b")[1:] == ["):", "b"]
    assert tokenize("b: ):b")[1:] == ["b", ":", ")", ":", "b"]
    assert Chunks(word_splitter("en"), "fastai").tokens("b: ):b") is None


def test_repeated_words_are_left_to_the_whole_text() -> None:
    fast = Chunks(word_splitter("en"), "fastai")
    assert fast.tokens("a very very very bad film") is None
    assert fast.tokens("that that is") == ["that", "that", "is"]
    assert fast.tokens("aaa a a") is None  # the first chunk becomes "xxrep 3 a"


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MEMORY_ENTRIES", 10)
    fast = Chunks(word_splitter("en"), "fastai")
    text = " ".join(f"word{i}" for i in range(95))
    assert ["xxbos", *(fast.tokens(text) or ())] == tokenize(text)
    assert len(fast._memory) <= 10


def test_a_splitter_of_its_own_has_no_chunks() -> None:
    assert chunks_for(str.split, "fastai") is None


def test_real_texts() -> None:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there")
    polars = pytest.importorskip("polars")
    reviews = polars.read_parquet(DATA / "imdb" / "unsup.parquet")["text"].sample(100, seed=5)
    assert same(reviews.to_list()) > 70
    with lzma.open(DATA / "wikitext-103" / "wiki.valid.tokens.xz", "rt", encoding="utf-8") as file:
        articles = file.read(100_000).split("\n = ")
    assert same(articles) > len(articles) // 2
    tweets = polars.read_parquet(DATA / "classification" / "tweeteval_emotion" / "train.parquet")
    assert same(tweets.to_series(0).cast(str).to_list()[:300], rules="clean") > 200


def test_the_tokenizer_uses_them() -> None:
    tokenizer = Tokenizer(TokenizerConfig(), SPECIAL_TOKENS)
    for text in random_texts(200, seed=6):
        assert tokenizer.tokenize(text) == tokenize(text)
