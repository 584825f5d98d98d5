"""Any string becomes ids: lone surrogates, zero bytes, private characters; alone as in a batch, fast as by definition."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ulmfit.config import TokenizerConfig
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import Words, tokenize

EVERY = st.characters(exclude_categories=())  # lone surrogates as well
FEW = st.sampled_from("aA1 \n\t.,'\"-<>&;:()@/#$\x00\x85\u2028\ufeff🙂é中")
STRINGS = st.text(EVERY, max_size=40) | st.text(FEW, max_size=60)
WHOLE = st.text(max_size=40) | st.text(FEW, max_size=60)  # without lone surrogates


@pytest.fixture(scope="module", params=["words", "sentencepiece"])
def either(request: pytest.FixtureRequest) -> Tokenizer:
    config = TokenizerConfig(kind=request.param, min_freq=1)
    texts = [f"a good film, number {n}, and the best of {n % 7}" for n in range(50)]
    return Tokenizer.build(texts, config)


@given(st.lists(STRINGS, min_size=1, max_size=5))
@example(["\ud800", "\x00", "", "\udfff \ud83d"])
def test_a_batch_is_its_texts(either: Tokenizer, texts: list[str]) -> None:
    together = list(either.encode_all(texts))
    assert [ids.tolist() for ids in together] == [either.encode(t).tolist() for t in texts]
    assert all(len(ids) and ids.max() < len(either) for ids in together)
    assert all(isinstance(either.decode(ids), str) for ids in together)


@given(WHOLE)
@example("\x00")
def test_the_fast_way_is_the_definition(text: str) -> None:
    assert Words("en", "fastai").split(text) == tokenize(text)
