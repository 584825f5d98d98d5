"""What the trainings of a classifier hold when they are ready."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import TINY, TINY_FIT

from ulmfit.config import BOS_ID, ClassifierConfig, Direction
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage, classifier_stages
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import train_classifier
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.loop import Optim
from ulmfit.training.metrics import log_loss
from ulmfit.training.schedule import SlantedTriangular


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


def test_many_classes_take_longer_with_less_dropout(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    documents = [replace(d, label=str(n % 21)) for n, d in enumerate(reviews[:42])]
    usual = replace(TINY_FIT.classifier, epochs=(1, 1, 1, 2), min_steps=1)
    plain, made = classifier_stage(lm, documents, [], usual, runtime)
    for bound, longer in ((21, False), (20, True)):
        config = replace(usual, many_classes=bound)
        stage, changed = classifier_stage(lm, documents, [], config, runtime)
        assert stage.phases[:-1] == plain.phases[:-1]
        assert stage.phases[-1].epochs == (4 if longer else 2)
        share = changed.net.encoder.dropout.hidden / made.net.encoder.dropout.hidden
        assert share == (0.5 if longer else 1)
        assert ("one of 21 classes per text (many: half the dropout" in stage.plan()) == longer


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
    assert "30 of the labels guessed" in first.plan() and "after 30 with guessed" in last.size()
    (only,), _ = classifier_stages(lm, labelled, [], TINY_FIT.classifier, runtime)
    assert only.phases == alone.phases
    config = replace(TINY_FIT.classifier, epochs=(1, 0, 0, 5), min_steps=1)
    (first, last), _ = classifier_stages(lm, labelled, [], config, runtime, guessed)
    assert [phase.epochs for phase in first.phases] == [1, 2]
    assert [phase.epochs for phase in last.phases] == [5]


@pytest.mark.parametrize("kind", ["single", "multi", "number"])
def test_a_corpus_trains_as_its_documents_do(
    kind: str,
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
) -> None:
    """The same weights and figures, whatever the labels are; the corpora name their labels in other orders."""

    def relabelled(d: Document) -> Document:
        good = d.label == "good"
        label = {"single": d.label, "multi": ("long",) * good, "number": 1.0 + good}[kind]
        return replace(d, label=label)

    documents = [relabelled(d) for d in reviews]
    names = None if kind == "number" else ("good", "bad", "long")
    config = replace(TINY_FIT.classifier, update_bn=True)
    found = []
    for encoded in (False, True):
        parts = [documents[:40], documents[40:]]
        if encoded:
            parts = [Corpus.build(part, lm.tokenizer, label_names=names) for part in parts]
        with Run.open(tmp_path / str(encoded)) as run:
            made = train_classifier(
                lm, parts[0], valid=parts[1], config=config, runtime=runtime, run=run
            )
        found.append((made.net.state_dict(), made.evaluate(parts[1], runtime), made.outputs))
    assert all(
        torch.equal(a, b) for a, b in zip(found[0][0].values(), found[1][0].values(), strict=True)
    )
    assert found[0][1:] == found[1][1:]


def test_a_corpus_of_other_words_is_refused(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    other = Tokenizer(lm.tokenizer.config, lm.tokenizer.vocab[:-1])
    with pytest.raises(ValueError, match="not encoded with the vocabulary"):
        classifier_stage(lm, Corpus.build(reviews, other), (), TINY_FIT.classifier, runtime)
    _, classifier = classifier_stage(lm, reviews, (), TINY_FIT.classifier, runtime)
    with pytest.raises(ValueError, match="not encoded with the vocabulary"):
        classifier.evaluate(Corpus.build(reviews, other), runtime)
    bare = Corpus.build([Document(d.text) for d in reviews], lm.tokenizer)
    with pytest.raises(
        ValueError, match=f"{len(reviews)} of {len(reviews)} documents have no label"
    ):
        classifier_stage(lm, bare, (), TINY_FIT.classifier, runtime)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_texts_are_trained_on_in_the_direction_of_the_encoder_and_in_another_order_each_time(
    direction: Direction, lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    """Also where the encoder reads them once for all epochs."""
    lm = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
    config = replace(TINY_FIT.classifier, cache_features=True)
    stage, _ = classifier_stage(lm, reviews, (), config, runtime)
    other, _ = classifier_stage(lm, reviews, (), config, replace(runtime, seed=1))
    read_once = stage.loss_fn.keywords["frozen"].documents()  # type: ignore[attr-defined]
    for batch in (next(iter(stage.batches.epoch(0))), next(iter(read_once))):
        assert bool((batch.tokens[:, 0] == BOS_ID).all()) == (direction == "forward")
    orders = [
        [i for batch in batches.epoch(epoch) for i in batch.index.tolist()]
        for batches, epoch in ((stage.batches, 0), (stage.batches, 1), (other.batches, 0))
    ]
    assert orders[0] not in orders[1:]


def test_what_is_told_of_a_classifier_is_what_it_is_trained_with(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    numbers = {"ar": 0.3, "tar": 0.7, "weight_decay": 0.05, "max_grad_norm": 0.2}
    config = replace(TINY_FIT.classifier, schedule="slanted_triangular", **numbers)  # type: ignore[arg-type]
    config = replace(config, class_weight="balanced", label_smoothing=0.1)
    few = [d for d in reviews if d.label == "good"] + reviews[1:20:2]  # 30 and 10
    stage, _ = classifier_stage(lm, few, (), config, runtime)
    told = stage.loss_fn.keywords  # type: ignore[attr-defined]
    assert (told["ar"], told["tar"]) == (0.3, 0.7) and stage.optim == Optim(0.05, 0.2)
    assert all(phase.schedule == SlantedTriangular() for phase in stage.phases)
    criterion = told["criterion"].keywords
    assert criterion["smoothing"] == 0.1
    torch.testing.assert_close(criterion["weights"], torch.tensor([2.0, 2 / 3]))  # 40 / (2 · n)
