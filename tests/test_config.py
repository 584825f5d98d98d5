"""Numbers that follow from other numbers."""

from dataclasses import fields, is_dataclass

import pytest

from ulmfit import config
from ulmfit.config import ClassifierConfig, Dropout, FinetuneConfig, few_documents


@pytest.mark.parametrize("n", [1, 2, 7, 20, 100, 300, 1000, 1919, 1920, 25_000])
@pytest.mark.parametrize("batch_size", [8, 12, 64, 128])
@pytest.mark.parametrize("min_steps", [1, 30])
@pytest.mark.parametrize("kind", [ClassifierConfig, FinetuneConfig])
def test_few_documents_are_given_smaller_batches(
    n: int, batch_size: int, min_steps: int, kind: type[ClassifierConfig | FinetuneConfig]
) -> None:
    stage = kind(batch_size=batch_size, min_steps=min_steps)
    size = few_documents(n, stage)
    assert min(stage.min_batch_size, batch_size) <= size <= batch_size
    if n / size < min_steps:  # no batch is small enough: the phases get more epochs
        assert size // 2 < stage.min_batch_size
    if size < batch_size:
        assert n / (2 * size) < min_steps  # no smaller than it takes


def test_many_documents_keep_the_published_batch() -> None:
    for stage in (ClassifierConfig(), FinetuneConfig()):
        assert few_documents(25_000, stage) == stage.batch_size


def test_scaled_dropout() -> None:
    assert Dropout(0.1, 0.2, 0.3, 0.4, 0.5).scaled(0.5) == Dropout(0.05, 0.1, 0.15, 0.2, 0.25)


def test_configs_are_frozen_and_complete() -> None:
    found = [c for name, c in vars(config).items() if name.endswith("Config")]
    assert len(found) >= 8
    for kind in found:
        assert is_dataclass(kind)
        made = kind()  # every field has a default
        with pytest.raises(AttributeError):
            setattr(made, fields(made)[0].name, None)
