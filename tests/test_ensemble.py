"""Classifiers of both directions as one."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import TINY

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.ensemble import Ensemble, members_of
from ulmfit.language_model import LanguageModel
from ulmfit.prediction import Prediction
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document

TEXTS = ["a good film", "", "so", "great " * 40]


@pytest.fixture
def members(lm: LanguageModel) -> list[TextClassifier]:
    """One a direction, of many opinions: BatchNorm with other statistics than 0 and 1."""
    made = TextClassifier.create(lm, ("bad", "good", "so so"), ClassifierConfig(bptt=6, max_len=12))
    for norm in made.net.head.norms:
        norm.running_mean.normal_()  # type: ignore[operator,union-attr]
        norm.running_var.uniform_(0.01, 0.1)  # type: ignore[operator,union-attr]
    config = replace(TINY, direction="backward")
    return [made, TextClassifier(made.net, made.tokenizer, config, made.labels)]


def test_an_ensemble_is_the_mean(
    members: list[TextClassifier], lm: LanguageModel, runtime: Runtime
) -> None:
    parts = [m.probabilities(TEXTS, runtime) for m in members]
    assert not np.allclose(*parts, atol=1e-4)
    both = Ensemble(members)
    np.testing.assert_allclose(both.probabilities(iter(TEXTS), runtime), sum(parts) / 2, atol=1e-6)
    assert isinstance(both.predict("so", runtime), Prediction)
    other = TextClassifier.create(lm, ("a", "b"), ClassifierConfig())
    with pytest.raises(ValueError, match="different labels"):
        Ensemble([members[0], other])


def test_what_a_classifier_consists_of(members: list[TextClassifier], lm: LanguageModel) -> None:
    assert members_of(Ensemble(members), "looking") == tuple(members)
    assert members_of(members[0], "looking") == (members[0],)


def test_encoded_texts_are_for_one_direction(
    members: list[TextClassifier], reviews: list[Document], runtime: Runtime
) -> None:
    from ulmfit.text.corpus import Corpus

    encoded = Corpus.build(reviews[:4], members[0].tokenizer)
    with pytest.raises(ValueError, match="classifier of one direction only"):
        Ensemble(members).score(encoded, runtime)
