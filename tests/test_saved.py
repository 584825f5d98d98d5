"""`load` finds the right noun, and says what is missing."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import CheckpointError, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.saved import load, load_classifier


def save_classifier(lm: LanguageModel, run: Path, direction: str) -> None:
    lm = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
    made = TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())
    made.save(run / direction / "classifier")
    lm.save(run / direction / "language_model")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    save_json(path / "config.json", {"kind": "run", "finished": True})
    return path


def test_a_run_is_its_classifier(lm: LanguageModel, run: Path) -> None:
    save_classifier(lm, run, "backward")
    for path in (run, str(run), run / "backward" / "classifier"):
        found = load(path)
        assert isinstance(found, TextClassifier) and found.config.direction == "backward"
    assert isinstance(load(run / "backward" / "language_model"), LanguageModel)


def test_both_directions_are_an_ensemble(lm: LanguageModel, run: Path) -> None:
    for direction in ("backward", "forward"):
        save_classifier(lm, run, direction)
    found = load_classifier(run)
    assert isinstance(found, Ensemble)
    assert [m.config.direction for m in found.members] == ["forward", "backward"]


def test_a_run_without_classifiers_is_its_language_model(lm: LanguageModel, run: Path) -> None:
    lm.save(run / "forward" / "language_model")
    assert isinstance(load(run), LanguageModel)
    with pytest.raises(
        CheckpointError, match=r"language model, not a classifier.*train-classifier"
    ):
        load_classifier(run)
    lm.save(run / "backward" / "language_model")
    with pytest.raises(
        CheckpointError, match=r"2 language models, not one; name a directory below"
    ):
        load(run)


def test_half_an_ensemble_is_not_passed_off_as_a_classifier(lm: LanguageModel, run: Path) -> None:
    """An unfinished run of both directions has one classifier only: that is said, not loaded."""
    save_classifier(lm, run, "forward")
    settings = {"config": {"directions": "both"}}
    save_json(run / "config.json", {"kind": "run", "finished": False, "config": settings})
    with pytest.raises(CheckpointError, match="not finished"):
        load(run)
    assert isinstance(load(run / "forward" / "classifier"), TextClassifier)


def test_shipped_models_have_names() -> None:
    for name in ("wikipedia-small-forward", "wikipedia-small"):
        found = load(name)
        assert isinstance(found, LanguageModel) and found.config.direction == "forward"
    with pytest.raises(CheckpointError, match="train-classifier"):
        load_classifier("wikipedia-small-forward")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"nowhere does not exist.*directory of a run.*wikipedia-small-forward",
    ):
        load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load(tmp_path)
    (tmp_path / "file.csv").write_text("text,label\n")
    with pytest.raises((CheckpointError, OSError), match=r"file\.csv"):
        load(tmp_path / "file.csv")
    save_json(tmp_path / "list" / "config.json", [1])
    with pytest.raises(CheckpointError, match="list"):
        load(tmp_path / "list")
