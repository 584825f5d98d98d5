"""Guessed labels: right where either view is, not leaning, drawn from texts that nobody labelled; kept for a run that goes on."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TINY_FIT

from ulmfit import pseudo_labels
from ulmfit.baseline import word_model
from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel
from ulmfit.pseudo_labels import guess, pseudo_labelled
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document

FEW = replace(TINY_FIT.classifier, pseudo_labels=50)


@pytest.fixture
def labelled(reviews: list[Document]) -> list[Document]:
    return reviews[:20]


@pytest.fixture
def texts(reviews: list[Document]) -> list[Document]:
    return [Document(d.text) for d in reviews]  # the labelled ones are among them


def view(truth: np.ndarray, informed: bool, known: int) -> tuple[Any, Any, Any]:
    """Features that tell the class, or nothing; as much of them as `pseudo_labels` hands to a model."""
    noise = np.random.default_rng(0).normal(size=(len(truth), 8))
    features = noise + informed * 3.0 * truth[:, None]
    return pseudo_labels._linear(pseudo_labels.C_FEATURES), features[:known], features[known:]


@pytest.mark.parametrize("informed", [(True, False), (False, True), (True, True)])
def test_one_good_view_is_enough(informed: tuple[bool, bool]) -> None:
    truth = np.random.default_rng(1).integers(0, 2, 400)
    guessed = guess([view(truth, told, 60) for told in informed], truth[:60])
    assert (guessed == truth[60:]).mean() > 0.9


def test_guesses_do_not_lean_to_the_class_with_a_few_more_texts() -> None:
    """60 texts of one class and 40 of the other, 2 of 62 words tell: left alone, words hardly ever say the second."""
    draw = random.Random(0)

    def words(label: int) -> str:
        telling = draw.choices([f"{'ab'[label]}{i}" for i in range(12)], k=2)
        return " ".join(draw.choices([f"word{i}" for i in range(400)], k=60) + telling)

    truth = np.array([0] * 60 + [1] * 40 + [0, 1] * 300)
    texts, known, new = [words(label) for label in truth], truth[:100], truth[100:]
    plain = word_model().fit(texts[:100], known).predict(texts[100:])
    guessed = guess([(word_model(), texts[:100], texts[100:])], known)
    assert plain.mean() < 0.15 and 0.35 < guessed.mean() < 0.65
    assert (guessed == new).mean() > (plain == new).mean() + 0.15


@pytest.mark.parametrize("rare", [0.05, 0.5])
def test_each_class_is_guessed_as_often_as_it_is_labelled(rare: float) -> None:
    truth = (np.random.default_rng(2).random(1200) < rare).astype(int)
    guessed = guess([view(truth, True, 400)], truth[:400])
    assert guessed.mean() == pytest.approx(rare, abs=0.04)
    assert (guessed == truth[400:]).mean() > 0.9


def test_texts_without_words_are_left_to_the_other_models() -> None:
    truth = np.arange(60) % 2
    faces = ["😀" if label else "😡" for label in truth]  # nothing for TF-IDF
    views = [(word_model(), faces[:30], faces[30:]), view(truth, True, 30)]
    assert (guess(views, truth[:30]) == truth[30:]).mean() > 0.9


def test_texts_nobody_labelled_are_guessed_as_they_are(
    lm: LanguageModel,
    reviews: list[Document],
    labelled: list[Document],
    texts: list[Document],
    runtime: Runtime,
) -> None:
    said = list[str]()
    guessed = pseudo_labelled(lm, labelled, texts, FEW, runtime, say=said.append)
    known, truth = {d.text for d in labelled}, {d.text: d.label for d in reviews}
    assert len(guessed) == 30 == len({d.text for d in guessed}) and not known & {
        d.text for d in guessed
    }
    assert sum(truth[d.text] == d.label for d in guessed) >= 24  # three words to a class
    assert said == ["20 labelled texts are few: the labels of 30 others are guessed"]
    everything = pseudo_labelled(lm, labelled, texts, replace(FEW, pseudo_labels=99), runtime)
    assert len(everything) == 40  # all there are


def test_a_label_with_a_single_text_is_guessed_beside_the_others(
    lm: LanguageModel, labelled: list[Document], texts: list[Document], runtime: Runtime
) -> None:
    """Holding out leaves such ones; cross-validation alone would refuse them."""
    alone = Document("The bus to the museum is late again.", "rare")
    guessed = pseudo_labelled(lm, [*labelled, alone], texts, FEW, runtime)
    assert len(guessed) == 29 and {d.label for d in guessed} >= {"good", "bad"}


def test_enough_labels_few_texts_and_other_labels_need_no_guesses(
    lm: LanguageModel, labelled: list[Document], texts: list[Document], runtime: Runtime
) -> None:
    for documents, others, config in (
        (labelled, texts, replace(FEW, pseudo_labels=40)),
        (labelled, texts[:39], FEW),  # 19 others
        (labelled, texts, ClassifierConfig()),
        (
            [replace(d, label=(str(d.label),)) for d in labelled[:9]]
            + [replace(labelled[9], label=())],
            texts,
            FEW,
        ),
        ([replace(d, label=float(i)) for i, d in enumerate(labelled)], texts, FEW),
        ([replace(d, label="good") for d in labelled], texts, FEW),
    ):
        assert pseudo_labelled(lm, documents, others, config, runtime) == []


def test_a_run_that_goes_on_finds_its_guesses(
    lm: LanguageModel,
    labelled: list[Document],
    texts: list[Document],
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, kept = (lm, labelled, texts, FEW, runtime), tmp_path / "resume" / "kept.json"
    first = pseudo_labelled(*told, kept=kept)
    monkeypatch.setattr(pseudo_labels, "guess", lambda views, truth: np.ones(30, np.int64))
    assert pseudo_labelled(*told, kept=kept) == first
    others = [Document(f"{d.text} Or so.") for d in texts]  # not those that the file is about
    guessed = pseudo_labelled(lm, labelled, others, FEW, runtime, kept=kept)
    assert Counter(d.label for d in guessed) == {"good": 30}
