"""What the trainings of a classifier hold when they are ready."""

from dataclasses import replace

import pytest
from tiny import TINY_FIT

from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage, classifier_stages
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.training.metrics import log_loss


def test_a_classifier_needs_labels(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    with pytest.raises(ValueError, match="1 of 11 documents have no label"):
        classifier_stage(lm, [*reviews[:10], Document("x")], [], ClassifierConfig(), runtime)
    stage, made = classifier_stage(lm, reviews[:10], [], TINY_FIT.classifier, runtime)
    assert made.labels == ("bad", "good") and stage.evaluate is None


def test_the_validation_set_is_encoded_once(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, made = classifier_stage(lm, reviews[:40], reviews[40:], TINY_FIT.classifier, runtime)
    assert stage.evaluate is not None
    whole = made.evaluate(reviews[40:], runtime)
    rows = made.probabilities([d.text for d in reviews[40:]], runtime)
    truth = [made.labels.index(str(d.label)) for d in reviews[40:]]
    monkeypatch.setattr(Corpus, "build", None)
    found = stage.evaluate()
    assert list(found) == ["valid_loss", "valid_accuracy", "valid_macro_f1"]
    assert {f"valid_{k}": whole[k] for k in ("accuracy", "macro_f1")}.items() <= found.items()
    assert found["valid_loss"] == pytest.approx(log_loss(truth, rows))


@pytest.mark.parametrize("cached", [True, False])
def test_cached_features_are_read_while_only_the_head_is_trained(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    cached: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The phase of the head reads every document once, however many epochs it has."""
    config = replace(TINY_FIT.classifier, epochs=(3, 1, 1, 1), cache_features=cached, min_steps=1)
    stage, made = classifier_stage(lm, reviews[:32], [], config, runtime)
    read: list[int] = []
    whole = type(made.net).read
    monkeypatch.setattr(
        type(made.net),
        "read",
        lambda net, t, lengths: (read.append(len(t)), whole(net, t, lengths))[1],
    )
    stage.phases = stage.phases[:1]
    stage.train(runtime)
    assert sum(read) == (32 if cached else 96)


def test_the_labelled_texts_come_last_and_alone(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    labelled, guessed = reviews[:20], reviews[20:50]
    (first, last), classifier = classifier_stages(
        lm, labelled, labelled[:4], TINY_FIT.classifier, runtime, guessed
    )
    alone, _ = classifier_stage(lm, labelled, labelled[:4], TINY_FIT.classifier, runtime)
    assert first.name == "pseudo-labels, forward" and last.name == alone.name
    assert first.net is last.net is classifier.net
    assert len(first.batches.corpus) == 50 and len(last.batches.corpus) == 20  # type: ignore[attr-defined]
    assert len(first.phases) == 4 and last.phases == alone.phases[-1:]
    assert first.evaluate is None and last.evaluate is not None
    assert "30 of the labels guessed" in first.plan() and "behind 30 with guessed" in last.size()
    (only,), _ = classifier_stages(lm, labelled, [], TINY_FIT.classifier, runtime)
    assert only.phases == alone.phases
