"""Which word each token comes from."""

import random
from pathlib import Path

import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text.alignment import align, mark, spans
from ulmfit.text.document import Document
from ulmfit.text.rules import Rules, apply_rules
from ulmfit.text.tokenizer import Tokenizer

PIECES = [
    *("no ", "no", "NO no", " ", "  ", "\n", "\t", "<br />", "<BR/>", "&amp;", "&#39;", "amp;"),
    *(
        "quot;",
        "#39;",
        " @-@ ",
        "@,@",
        " @.@ ",
        "...",
        "!!!!",
        "Great",
        "GREAT!",
        "don't",
        "cannot",
    ),
    *("İ", "ΑΣ", "\xa0", "a/b", "#1", "\\n", "xxbos", "_xxmaj_", "<unk>", "😀😀😀", ": )", "u.s."),
    *("x", "X", "'s", "\u2028", "\x1c", "AAA", "▁"),
]


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    return Tokenizer.build(["the film was not good"], TokenizerConfig(min_freq=1))


def words_of(text: str, tokenizer: Tokenizer) -> list[list[str]]:
    """The tokens of each word."""
    found = align(text, tokenizer)
    of = [list[str]() for _ in found.words]
    for token, owner in zip(found.tokens[1:], found.owners[1:], strict=True):
        of[owner].append(token)
    return of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Great GREAT film", [["xxmaj", "great"], ["xxup", "great"], ["film"]]),
        ("so gooood!!!", [["so"], ["g", "xxrep", "4", "o", "d", "xxrep", "3", "!"]]),
        ("I can't say", [["i"], ["ca", "n't"], ["say"]]),
        ("it cannot be", [["it"], ["can", "not"], ["be"]]),
        ("no no no, he", [["xxwrep", "3", "no"], [], [","], ["he"]]),
        ("bad.<br /><br />The end", [["bad", ".", "\n\n"], [], ["xxmaj", "the"], ["end"]]),
        ("he said &quot;no&quot; twice", [["he"], ["said"], ["&", "'", "no", "&", "'"], ["twice"]]),
        ("a well @-@ known man", [["a"], ["well"], ["-"], ["known"], ["man"]]),
        ("one\n\n  two", [["one", "\n\n▁"], ["two"]]),
        ("8/10", [["8", "/", "10"]]),
    ],
)
def test_by_hand(text: str, wanted: list[list[str]], english: Tokenizer) -> None:
    assert words_of(text, english) == wanted


@pytest.mark.parametrize("rules", ["fastai", "clean"])
def test_hard_texts_are_marked_as_the_rules_do(rules: Rules, english: Tokenizer) -> None:
    """Each character has its word, each token belongs to one, and their order is the text's."""
    draw = random.Random(3)
    for _ in range(250):
        text = "".join(draw.choices(PIECES, k=draw.randrange(1, 14)))
        marked = mark(text, rules)
        assert marked.text == apply_rules(text, rules), repr(text)
        assert len(marked.owners) == len(marked.text), repr(text)
        if rules == "fastai" and text.strip():
            found = align(text, english)
            assert len(found.owners) == len(found.tokens) == len(found.ids)
            assert found.owners == sorted(found.owners), repr(text)
            assert set(found.owners) <= set(range(len(found.words)))


def test_tokens_and_ids_are_the_tokenizers(english: Tokenizer) -> None:
    text = "The film, the FILM!!! was<br />not good"
    found = align(text, english)
    assert found.tokens == english.tokenize(text)
    assert found.ids.tolist() == english.encode(text).tolist()


def test_words_and_what_stands_between_them_give_back_the_text() -> None:
    text = " Ein  Wort,\n\nnoch\u2003eines. "
    words = spans(text)
    assert [text[a:b] for a, b in words] == text.split()
    between = [text[a:b] for a, b in zip([0, *[w.end for w in words]], [*[w.start for w in words], None], strict=True)]  # fmt: skip
    assert not "".join(between).strip()
    pieces = [text[a:b] for a, b in words]
    assert "".join(x + y for x, y in zip(between, [*pieces, ""], strict=True)) == text


def test_each_word_owns_the_tokens_it_has_alone(
    english: Tokenizer, reviews: list[Document]
) -> None:
    """Where nothing reaches across words, a word in a text has the tokens of the word by itself."""
    for document in reviews:
        alone = [english.tokenize(word)[1:] for word in document.text.split()]
        if "xxwrep" not in english.tokenize(document.text):
            assert words_of(document.text, english) == alone


def test_goldens_are_marked_as_fastai_did(goldens: Path) -> None:
    from ulmfit.files.checkpoint import load_json

    cases = load_json(goldens / "tokenization.json")
    texts = {text for text in _strings(cases) if " " in text and len(text) < 400}
    assert len(texts) > 200
    for text in texts:
        assert mark(text, "fastai").text == apply_rules(text)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for entry in value for text in _strings(entry)]
    return [value] if isinstance(value, str) else []


def test_pieces_of_words() -> None:
    pytest.importorskip("sentencepiece")
    texts = ["The film was good, and the plot was not. " * 3, "GREAT acting!!! So well made."] * 20
    tokenizer = Tokenizer.build(texts, TokenizerConfig(kind="sentencepiece", max_vocab=60))
    text = (
        "The GREAT film´s plot ½ was goooood"  # ´ and ½ are written otherwise inside SentencePiece
    )
    found = words_of(text, tokenizer)
    assert found[0][0] == "xxmaj" and found[1][0] == "xxup"
    assert "".join(found[1][1:]).strip("▁") == "great"
    assert all(found) and "".join(found[5]).strip("▁") == "was"
    assert found[6].count("xxrep") == 1
