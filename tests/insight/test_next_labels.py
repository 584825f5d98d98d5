"""Unsure texts, spread out, the same for the same seed; what is read is what the classifier sees."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import TINY, TINY_FIT

from ulmfit.classifier import TextClassifier
from ulmfit.ensemble import Ensemble
from ulmfit.insight.next_labels import UNSURE, margins, next_labels, pick, read
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.training.calibration import Calibration


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    return TextClassifier.create(lm, ["bad", "good", "so-so"], TINY_FIT.classifier)


@pytest.fixture
def texts(reviews: list[Document]) -> list[str]:
    return [d.text for d in reviews]


def made(unsure: int, sure: int, groups: int) -> tuple[Any, Any]:
    """Features in far groups of very different sizes, and probabilities: the first `unsure` rows near a half."""
    noise = np.random.default_rng(0)
    of = (
        np.minimum(noise.geometric(0.6, unsure + sure), groups) - 1
    )  # the first group is the largest
    of[:groups] = range(groups)
    features = 100 * np.eye(groups)[of] + noise.normal(size=(len(of), groups))
    likely = np.where(np.arange(len(of)) < unsure, 0.55, 0.99)
    return features.astype(np.float32), np.stack([likely, 1 - likely], 1).astype(np.float32)


def test_only_the_least_certain_are_chosen() -> None:
    features, probabilities = made(unsure=50, sure=400, groups=5)
    for seed in range(3):
        rows = [row for row, _ in pick(features, probabilities, 50 // UNSURE, seed)]
        assert max(rows) < 50 and len(set(rows)) == 50 // UNSURE


def test_every_group_is_met_before_one_is_met_twice() -> None:
    features, probabilities = made(unsure=100, sure=100, groups=6)
    for seed in range(5):
        chosen = pick(features, probabilities, 20, seed)
        groups = [int(features[row].argmax()) for row, _ in chosen]
        assert sorted(groups[:6]) == list(range(6))
        assert all(far for _, far in chosen[1:6]) and sum(far for _, far in chosen) <= 10


def test_the_same_seed_chooses_the_same() -> None:
    features, probabilities = made(unsure=100, sure=0, groups=3)
    assert pick(features, probabilities, 15, 0) == pick(features, probabilities, 15, 0)
    assert pick(features, probabilities, 15, 0) != pick(features, probabilities, 15, 1)


def test_all_are_chosen_where_there_are_no_more_or_all_are_alike() -> None:
    features, probabilities = made(unsure=7, sure=0, groups=2)
    assert sorted(row for row, _ in pick(features, probabilities, 20, 0)) == list(range(7))
    alike = np.ones_like(features)
    assert len({row for row, _ in pick(alike, probabilities, 5, 0)}) == 5


def test_margins_are_between_the_two_likeliest() -> None:
    rows = np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.4, 0.4, 0.2]], np.float32)
    assert margins(rows) == pytest.approx([0.2, 1.0, 0.0])


def test_what_is_read_is_what_the_classifier_says(
    classifier: TextClassifier, lm: LanguageModel, texts: list[str], runtime: Runtime
) -> None:
    features, probabilities = read(classifier, texts, runtime)
    assert features.shape == (60, 3 * TINY.embedding_size)
    assert probabilities == pytest.approx(classifier.probabilities(texts, runtime), abs=1e-6)
    alone, _ = read(classifier, texts[5:6], runtime)
    assert alone[0] == pytest.approx(features[5], abs=1e-5)
    backward = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction="backward"))
    twin = TextClassifier.create(backward, classifier.labels, TINY_FIT.classifier)
    classifier.calibration = Calibration(2.5)  # as a trained one may be
    assert read(classifier, texts, runtime)[1] == pytest.approx(
        classifier.probabilities(texts), abs=1e-6
    )
    both, averaged = read(Ensemble([classifier, twin]), texts, runtime)
    assert both.shape == (60, 6 * TINY.embedding_size)
    assert both[:, : 3 * TINY.embedding_size] == pytest.approx(features)
    assert averaged == pytest.approx(Ensemble([classifier, twin]).probabilities(texts), abs=1e-6)


def test_choices_name_their_text_and_reason_and_leave_copies_out(
    classifier: TextClassifier, texts: list[str], runtime: Runtime
) -> None:
    copies = [texts[0], texts[0] + " \n", *texts]
    chosen = next_labels(classifier, copies, 100, runtime)
    assert sorted(choice.index for choice in chosen) == [0, *range(3, 62)]
    for choice in chosen:
        found = classifier.predict(copies[choice.index], runtime)
        assert (choice.prediction, choice.probability) == (
            found.label,
            pytest.approx(found.probability, abs=1e-5),
        )
        first, second = sorted(found.probabilities.values())[:-3:-1]
        assert choice.margin == pytest.approx(first - second, abs=1e-5)
        assert choice.reason.startswith(f"{found.label} ({first:.0%}) or ")
    unlike = ["Unlike those ranked above" in choice.reason for choice in chosen]
    assert any(unlike) and not unlike[0]  # above the first there is none
    assert next_labels(classifier, [], 3, runtime) == []
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        next_labels(classifier, texts, 0, runtime)
