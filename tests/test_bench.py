"""Speeds are positive and measured on what they say; how large they are depends on the machine."""

import math
from itertools import count

import pytest

from ulmfit import bench, pretrained
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime


@pytest.fixture
def small(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """The tiny model takes the place of the shipped one."""
    monkeypatch.setattr(pretrained, "load", lambda name, direction: lm)
    monkeypatch.setattr(bench, "DOCUMENTS", 40)
    return lm


def test_every_figure(
    small: LanguageModel, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "start_up", lambda *_: bench.Figure("start", "s", (1.0, 3.0, 2.0)))
    before = {name: t.clone() for name, t in small.net.state_dict().items()}
    found = list(bench.figures(runtime, 0.0))
    assert [f.unit for f in found] == [
        "tokens/s", "tokens/s", "documents/s", "ms", "documents/s", "s"
    ]  # fmt: skip
    assert all(len(f.values) == bench.LEAST for f in found)
    assert all(math.isfinite(value) and value > 0 for f in found for value in f.values)
    assert found[-1].row() == {"name": "start", "unit": "s", "median": 2.0, "low": 1.0, "high": 3.0}
    after = small.net.state_dict()
    assert all((after[name] == t).all() for name, t in before.items()), "the model was trained"


def test_preparing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))

    def window():
        for _ in range(1000):
            next(clock)
        return lambda: 5

    assert set(bench.rate("", "", window, 0.0).values) == {5.0}


def test_texts_are_of_the_vocabulary_and_repeatable(lm: LanguageModel) -> None:
    texts = bench.zipfian(lm.tokenizer, 3, 30, seed=1)
    assert texts == bench.zipfian(lm.tokenizer, 3, 30, seed=1)
    assert texts != bench.zipfian(lm.tokenizer, 3, 30, seed=2)
    ids = [i for text in texts for i in lm.tokenizer.encode(text).tolist()]
    assert len(texts) == 3 and 60 <= len(ids) <= 150 and ids.count(0) < len(ids) / 10
