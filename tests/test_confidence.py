"""`calibrate` on classifiers and ensembles, and what is saved of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

import ulmfit
from ulmfit.card import NAME as CARD
from ulmfit.card import model_card
from ulmfit.classifier import TextClassifier
from ulmfit.confidence import calibrate, calibrate_new
from ulmfit.config import ClassifierConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.saved import save_calibration
from ulmfit.text.document import Document
from ulmfit.training.calibration import MIN_DOCUMENTS, Calibration, thresholds
from ulmfit.training.metrics import log_loss


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    """Untrained, and much too sure of itself."""
    made = TextClassifier.create(lm, ("bad", "good"), ClassifierConfig(bptt=6))
    with torch.no_grad():
        torch.nn.init.normal_(made.net.head.linears[-1].get_parameter("weight"), std=8.0)
    return made


@pytest.fixture
def both(classifier: TextClassifier) -> Ensemble:
    config = replace(TINY, direction="backward")
    labels = classifier.labels
    return Ensemble(
        [classifier, TextClassifier(classifier.net, classifier.tokenizer, config, labels)]
    )


def loss(
    classifier: TextClassifier | Ensemble, documents: list[Document], runtime: Runtime
) -> float:
    return log_loss(*classifier.score(documents, runtime))


def test_a_temperature_changes_how_sure_and_not_which(
    classifier: TextClassifier, reviews: list[Document], runtime: Runtime
) -> None:
    said = list[str]()
    texts = [d.text for d in reviews]
    before, worse = classifier.probabilities(texts, runtime), loss(classifier, reviews, runtime)
    calibrate(classifier, reviews, runtime=runtime, say=said.append)
    after = classifier.probabilities(texts, runtime)
    assert classifier.calibration.temperature > 1.5
    assert loss(classifier, reviews, runtime) < worse
    np.testing.assert_array_equal(before.argmax(1), after.argmax(1))
    assert said == [
        f"temperature of the classifier: {classifier.calibration.temperature:.2f}, from 60 documents"
    ]
    first = classifier.calibration
    calibrate(classifier, reviews, runtime=runtime)  # starts anew, not from what was there
    assert classifier.calibration == first


def test_too_few_documents_change_nothing(
    classifier: TextClassifier, both: Ensemble, reviews: list[Document], runtime: Runtime
) -> None:
    known = Calibration(4.9, {"bad": 0.8, "good": None})
    for model in (classifier, both):
        model.calibration = known
        for rule in (None, "precision=0.9"):
            with pytest.raises(
                ValueError, match=r"6 documents are too few .*50 are needed.*; nothing was changed"
            ):
                calibrate(model, reviews[:6], threshold_for=rule, runtime=runtime)
        assert model.calibration == known and classifier.calibration == known


def test_a_new_classifier_stays_as_it_is_with_too_few(
    classifier: TextClassifier, reviews: list[Document], runtime: Runtime
) -> None:
    for documents in (reviews[: MIN_DOCUMENTS - 1], []):
        said = list[str]()
        calibrate_new(
            classifier, documents, threshold_for="precision=0.9", runtime=runtime, say=said.append
        )
        assert classifier.calibration == Calibration(1.0, {"bad": None, "good": None})
        assert f"{len(documents)} validation documents are too few" in said[0]
        assert "precision=0.9 for bad: always unsure" in said[1]
        assert not classifier.predict("the film", runtime).sure


def test_an_ensemble_has_one_for_each_and_one_for_all(
    both: Ensemble, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    for member in both.members:
        member.save(tmp_path / member.config.direction / "classifier")
    save_json(tmp_path / "config.json", {"kind": "run", "finished": True})
    worse = loss(both, reviews, runtime)
    calibrate(both, reviews, threshold_for="precision=0.2", runtime=runtime)
    assert loss(both, reviews, runtime) < worse
    assert all(m.calibration.temperature > 1 for m in both.members)
    assert both.calibration.temperature != 1 and both.calibration.thresholds.keys() == {
        "bad",
        "good",
    }
    save_calibration(both, tmp_path)
    again = ulmfit.load(tmp_path)
    assert isinstance(again, Ensemble) and again.calibration == both.calibration
    assert [m.calibration for m in again.members] == [m.calibration for m in both.members]
    texts = [d.text for d in reviews]
    assert again.predict(texts, runtime) == both.predict(texts, runtime)
    save_json(tmp_path / "calibration.json", {"temperature": -1.0})
    with pytest.raises(CheckpointError, match=r"calibration\.json"):
        ulmfit.load(tmp_path)


def test_what_pip_installed_is_not_changed(classifier: TextClassifier) -> None:
    with pytest.raises(
        ValueError, match=r"wikipedia-small-forward is installed by pip.*copy its directory"
    ):
        save_calibration(classifier, "wikipedia-small-forward")


def test_a_calibration_goes_nowhere_else(classifier: TextClassifier, tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "nosuch", "does not exist"), (tmp_path, "is missing")):
        with pytest.raises(CheckpointError, match=problem):
            save_calibration(classifier, path)


def test_a_member_alone_is_saved_in_its_own_place(both: Ensemble, tmp_path: Path) -> None:
    forward, backward = both.members
    save_json(tmp_path / "config.json", {"kind": "run", "finished": True})
    backward.save(tmp_path / "backward" / "classifier")
    forward.calibration = Calibration(1.7)
    with pytest.raises(CheckpointError, match="no classifier of that direction"):
        save_calibration(forward, tmp_path)
    forward.save(tmp_path / "forward" / "classifier")
    forward.calibration = Calibration(1.3)
    save_calibration(forward, tmp_path)
    again = ulmfit.load(tmp_path)
    assert isinstance(again, Ensemble)
    assert [m.calibration.temperature for m in again.members] == [1.3, 1.0]


@pytest.mark.parametrize("inside", ["", "forward/classifier"])
def test_saved_in_a_run_or_a_directory(
    classifier: TextClassifier, inside: str, runtime: Runtime, tmp_path: Path
) -> None:
    folder = tmp_path / inside
    classifier.save(folder, card={"made_by": "test"})
    if inside:
        save_json(tmp_path / "config.json", {"kind": "run", "finished": True})
    weights = (folder / "model.safetensors").read_bytes()
    classifier.calibration = Calibration(1.7, {"bad": 0.8, "good": None})
    save_calibration(classifier, tmp_path)
    again = ulmfit.load(tmp_path)
    assert isinstance(again, TextClassifier) and again.calibration == classifier.calibration
    assert again.predict("the film", runtime) == classifier.predict("the film", runtime)
    assert load_json(folder / "config.json")["card"] == {"made_by": "test"}
    assert (folder / "model.safetensors").read_bytes() == weights


def test_the_card_follows_the_calibration(both: Ensemble, tmp_path: Path) -> None:
    """And nothing else in it is touched: people may have written there."""
    save_json(tmp_path / "config.json", {"kind": "run", "finished": True})
    folders = [tmp_path / m.config.direction / "classifier" for m in both.members]
    said = list[str]()
    for member, folder in zip(both.members, folders, strict=True):
        member.save(folder)
    for temperature in (1.7, 1.0, 1.2):
        for member in both.members:
            member.calibration = Calibration(temperature)
        save_calibration(both, tmp_path, say=said.append)
        for folder in folders:
            assert (folder / CARD).read_text(encoding="utf-8") == model_card(folder)
    card, told = folders[0] / CARD, "Probabilities were calibrated on held-out texts."
    assert told in card.read_text(encoding="utf-8")
    card.write_bytes(b"Ours \xe9\r\n" + told.encode())
    both.members[0].calibration = Calibration()
    save_calibration(both, tmp_path, say=said.append)
    assert card.read_bytes().startswith(b"Ours \xe9\r\nProbabilities were not calibrated")
    assert not said
    card.write_bytes(b"Ours")
    save_calibration(both, tmp_path, say=said.append)
    assert card.read_bytes() == b"Ours" and f"{card} was edited by hand" in said[0]
    card.unlink()
    save_calibration(both, tmp_path, say=said.append)
    assert not card.exists() and len(said) == 1


def test_a_classifier_saved_before_there_were_temperatures(
    classifier: TextClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    record = load_json(tmp_path / "config.json")
    del record["calibration"]
    save_json(tmp_path / "config.json", record)
    assert TextClassifier.load(tmp_path).calibration == Calibration()
    save_json(tmp_path / "config.json", record | {"calibration": {"heat": 3}})
    with pytest.raises(CheckpointError, match="heat"):
        TextClassifier.load(tmp_path)


def test_unsure_below_the_threshold(classifier: TextClassifier, runtime: Runtime) -> None:
    found = classifier.predict("the film", runtime)
    assert found.sure and found.verdict == found.label
    higher = {label: found.probability + 1e-4 for label in classifier.labels}
    classifier.calibration = Calibration(1.0, dict(higher))
    unsure = classifier.predict("the film", runtime)
    assert unsure == replace(found, sure=False) and unsure.verdict == "unsure"


def test_what_is_refused(
    lm: LanguageModel, classifier: TextClassifier, reviews: list[Document]
) -> None:
    with pytest.raises(ValueError, match=r"precision=0\.95, not 'often'"):
        calibrate(classifier, reviews, threshold_for="often")
    with pytest.raises(ValueError, match="unknown to this classifier"):
        calibrate(classifier, [*reviews, Document("a", "meh")])
    named = TextClassifier.create(lm, ("sure", "unsure"), ClassifierConfig())
    with pytest.raises(ValueError, match="a label is called 'unsure'"):
        calibrate(named, reviews, threshold_for="precision=0.9")


def test_thresholds_are_of_the_probabilities_that_are_predicted(
    classifier: TextClassifier, both: Ensemble, reviews: list[Document], runtime: Runtime
) -> None:
    """Not of those before the temperature."""
    for model in (classifier, both):
        calibrate(model, reviews, threshold_for="precision=0.2", runtime=runtime)
        truth, rows = model.score(reviews, runtime)
        wanted = thresholds(rows, truth, model.labels, 0.2)
        assert any(wanted.values()) and model.calibration.thresholds == pytest.approx(wanted)
