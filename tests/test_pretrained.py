"""What is shipped loads; what is asked for is found, or the way out is named."""

from pathlib import Path

import pytest
import torch
from tiny import TINY

from ulmfit import pretrained
from ulmfit.checkpoint import CheckpointError
from ulmfit.classifier import TextClassifier
from ulmfit.config import SMALL, ClassifierConfig, FitConfig
from ulmfit.language_model import LanguageModel
from ulmfit.text.tokenizer import Tokenizer

MOST_BYTES = 15_000_000


def test_shipped_models_load_and_have_cards() -> None:
    cards = pretrained.models()
    assert f"{FitConfig().pretrained}-forward" in cards
    for name, card in cards.items():
        lm = LanguageModel.load(pretrained.find(name))
        assert name.endswith(lm.config.direction)
        assert (lm.config.embedding_size, lm.config.layers) == (SMALL.embedding_size, SMALL.layers)
        assert {"data", "licence"} <= card.keys()
        assert all(torch.isfinite(t).all() for t in lm.net.state_dict().values())
        for file in pretrained.find(name).iterdir():
            assert file.stat().st_size <= MOST_BYTES, file


def test_shipped_models_are_found_with_and_without_their_direction() -> None:
    full = pretrained.find("wikipedia-small-forward")
    assert pretrained.find("wikipedia-small", "forward") == full
    assert pretrained.find("wikipedia-small-forward", "forward") == full


def test_directories_are_found(lm: LanguageModel, lm_directory: Path) -> None:
    below = lm_directory / "backward" / "language_model"
    assert pretrained.find(str(lm_directory), "backward") == below
    assert pretrained.find(str(below), "backward") == below
    assert pretrained.find(str(below)) == below
    found = pretrained.load(str(lm_directory), "backward")
    assert found is not None and found.config.direction == "backward"


def test_a_model_of_the_other_direction_is_no_substitute(lm_directory: Path) -> None:
    with pytest.raises(ValueError, match=r"reads backward.*--direction"):
        pretrained.find(str(lm_directory / "backward" / "language_model"), "forward")


def test_the_unknown_is_answered_with_the_known(lm: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'wikipedia-huge'.*wikipedia-small-forward.*\"none\""):
        pretrained.find("wikipedia-huge", "forward")
    classifier = TextClassifier.create(lm, ("a", "b"), ClassifierConfig())
    classifier.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"holds a 'classifier', not a 'language_model'"):
        pretrained.load(str(tmp_path / "c"), "forward")


def test_none_is_random_weights(tokenizer: Tokenizer) -> None:
    assert pretrained.load("none", "forward") is None
    lm = pretrained.blank(tokenizer, "backward")
    assert lm.config.direction == "backward" and lm.config.hidden_size == SMALL.hidden_size
    assert lm.config != TINY and lm.tokenizer == tokenizer
