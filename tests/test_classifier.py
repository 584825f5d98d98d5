"""The classifier as a noun: files, order, windows, unknown labels."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from ulmfit import classifier as module
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig, Direction, SamplingConfig
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import BoundedNumber
from ulmfit.prediction import Prediction
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    """Untrained, but of many opinions: BatchNorm with other statistics than 0 and 1."""
    made = TextClassifier.create(lm, ("bad", "good", "so so"), ClassifierConfig(bptt=6, max_len=12))
    for norm in made.net.head.norms:
        norm.running_mean.normal_()  # type: ignore[operator,union-attr]
        norm.running_var.uniform_(0.01, 0.1)  # type: ignore[operator,union-attr]
    return made


@pytest.fixture
def texts(reviews: list[Document]) -> list[str]:
    return [d.text for d in reviews[:23]] + ["", "so", "great " * 40]


def test_saved_and_loaded_is_the_same(
    classifier: TextClassifier, texts: list[str], runtime: Runtime, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "c")
    again = TextClassifier.load(tmp_path / "c")
    assert again.labels == classifier.labels and again.config == classifier.config
    assert (again.net.bptt, again.net.max_len) == (6, 12)
    wanted = classifier.probabilities(texts, runtime)
    assert np.array_equal(again.probabilities(texts, runtime), wanted)
    assert np.ptp(wanted, axis=0).max() > 0.01  # they do differ from text to text


def test_the_encoder_is_a_copy(lm: LanguageModel) -> None:
    made = TextClassifier.create(lm, ("a", "b"), ClassifierConfig())
    assert torch.equal(made.net.encoder.embedding.weight, lm.net.encoder.embedding.weight)
    made.net.encoder.embedding.weight.data.zero_()
    assert lm.net.encoder.embedding.weight.any()


def test_a_batch_is_its_texts_one_by_one_in_their_order(
    classifier: TextClassifier, texts: list[str], runtime: Runtime
) -> None:
    together = classifier.predict(texts, runtime)
    for text, prediction in zip(texts, together, strict=True):
        alone = classifier.predict(text, runtime)
        assert isinstance(alone, Prediction)
        assert alone.label == prediction.label
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
        assert prediction.probability == max(prediction.probabilities.values())
        assert prediction.probabilities[prediction.label] == prediction.probability
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        assert tuple(prediction.probabilities) == classifier.labels


def test_windows_do_not_show(
    classifier: TextClassifier,
    texts: list[str],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream is read a window at a time: never all of it at once."""
    whole = classifier.probabilities(texts, runtime)
    monkeypatch.setattr(module, "WINDOW", 5)
    ahead: list[int] = []
    done = 0
    real = classifier.probabilities_of

    def counting(corpus, runtime, advance=None):
        nonlocal done
        ahead.append(taken - done)
        done += len(corpus)
        return real(corpus, runtime, advance)

    def stream() -> Iterator[str]:
        nonlocal taken
        for text in texts:
            taken += 1
            yield text

    taken = 0
    monkeypatch.setattr(classifier, "probabilities_of", counting)
    np.testing.assert_allclose(classifier.probabilities(stream(), runtime), whole, atol=1e-5)
    assert ahead == [5, 5, 5, 5, 5, 1]


def test_nothing_gives_nothing(classifier: TextClassifier, runtime: Runtime) -> None:
    assert classifier.predict([], runtime) == []
    assert classifier.probabilities([], runtime).shape == (0, 3)


def test_predicting_leaves_no_trace(classifier: TextClassifier, runtime: Runtime) -> None:
    classifier.net.train()  # as after an interrupted training
    first = classifier.predict("the film", runtime)
    assert classifier.predict("the film", runtime) == first


def test_predicting_without_a_runtime_draws_nothing(
    classifier: TextClassifier, runtime: Runtime
) -> None:
    before = torch.get_rng_state()
    assert classifier.predict("the film") == classifier.predict("the film", runtime)
    assert torch.equal(torch.get_rng_state(), before)


def test_nets_are_moved_outside_of_inference_mode(
    classifier: TextClassifier,
    lm: LanguageModel,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parameters moved inside it could not be trained any more."""
    inside: list[bool] = []
    real = Runtime.ready

    def ready(self: Runtime, net: torch.nn.Module) -> torch.nn.Module:
        inside.append(torch.is_inference_mode_enabled())
        return real(self, net)

    monkeypatch.setattr(Runtime, "ready", ready)
    classifier.predict("the film", runtime)
    lm.generate("the", SamplingConfig(tokens=1), runtime)
    assert inside == [False, False]


def test_evaluation_knows_how_much_is_left(
    classifier: TextClassifier,
    reviews: list[Document],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    totals: list[int | None] = []
    real = module.bar

    def bar(description: str, *, total: int | None, **more: str) -> AbstractContextManager:
        totals.append(total)
        return real("", total=total, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "bar", bar)
    classifier.evaluate(reviews[:7], runtime, progress="scoring")
    assert totals == [7]


def test_evaluate_by_hand(
    classifier: TextClassifier, reviews: list[Document], runtime: Runtime
) -> None:
    predicted = [p.label for p in classifier.predict([d.text for d in reviews], runtime)]
    right = [p == d.label for p, d in zip(predicted, reviews, strict=True)]
    found = classifier.evaluate(reviews, runtime)
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert found["documents"] == 60
    with pytest.raises(ValueError, match=r"\['meh'\].*bad"):
        classifier.evaluate([*reviews, Document("x", "meh")], runtime)


def test_backward_reads_the_ids_from_their_end(
    classifier: TextClassifier, texts: list[str], runtime: Runtime
) -> None:
    """backward(text) == forward on reversed ids."""
    backward = TextClassifier(
        classifier.net, classifier.tokenizer, replace(TINY, direction="backward"), classifier.labels
    )
    for text, row in zip(texts, backward.probabilities(texts, runtime), strict=True):
        ids = torch.tensor([classifier.tokenizer.encode(text).tolist()[::-1]])
        with torch.no_grad():
            logits = classifier.net.eval()(ids, torch.tensor([ids.shape[1]])).logits
        np.testing.assert_allclose(row, logits.softmax(1)[0], atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_averages_anew_are_those_of_what_the_head_reads(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, direction: Direction
) -> None:
    lm.config = replace(lm.config, direction=direction)
    made = TextClassifier.create(lm, ("a", "b"), ClassifierConfig(bptt=6, max_len=12))
    made.update_bn(reviews, runtime)
    seen: list[torch.Tensor] = []
    made.net.head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    made.probabilities([d.text for d in reviews], runtime)
    (norm, _), rows = made.net.head.norms, torch.cat(seen)
    torch.testing.assert_close(norm.running_mean, rows.mean(0))
    with pytest.raises(ValueError, match="two texts or more, not 1"):
        made.update_bn(reviews[:1], runtime)


def test_damaged_directories_are_named(classifier: TextClassifier, tmp_path: Path) -> None:
    path = tmp_path / "c"
    classifier.save(path)
    whole = load_json(path / "config.json")
    for changed, reason in (
        ({k: v for k, v in whole.items() if k != "labels"}, "labels"),
        (whole | {"labels": ["only", "two"]}, "do not belong together"),
        (whole | {"reading": {"windows": 3}}, "does not describe a classifier"),
        (whole | {"reading": whole["reading"] | {"max_len": 5}}, "max_len is less than bptt"),
        (whole | {"kind": "language_model"}, "holds a 'language_model'"),
    ):
        save_json(path / "config.json", changed)
        with pytest.raises(CheckpointError, match=reason):
            TextClassifier.load(path)


def test_nothing_to_evaluate_on_is_said(
    classifier: TextClassifier, lm: LanguageModel, runtime: Runtime
) -> None:
    numbers = TextClassifier.create(lm, BoundedNumber(0.0, 1.0), ClassifierConfig())
    for each in (classifier, numbers):
        with pytest.raises(ValueError, match="no documents to evaluate on"):
            each.evaluate([], runtime)


def test_averages_anew_are_those_of_texts_from_everywhere(
    classifier: TextClassifier,
    reviews: list[Document],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files are often sorted by label."""
    drawn: list[str] = []
    real = classifier.features
    monkeypatch.setattr(module, "UPDATE_BN", 20)
    monkeypatch.setattr(classifier, "features", lambda t, r: (drawn.extend(t), real(t, r))[1])
    classifier.update_bn(reviews, runtime)
    places = [[d.text for d in reviews].index(text) for text in drawn]
    assert len(set(places)) == 20 and min(places) < 20 and max(places) >= 40
