"""Shared by all tests: a tiny labelled corpus, tiny models, fixed seeds, and no network."""

import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import TINY

from ulmfit.config import RuntimeConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Document
from ulmfit.text.tokenizer import Tokenizer

torch.set_num_threads(1)  # tiny nets: two threads only wait for each other
GOLDENS = Path(__file__).parent / "goldens"  # recorded by running fastai 2.8.12


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise RuntimeError(f"a test tried to reach {address}: tests use no network")
        real(self, address)

    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def goldens() -> Path:
    return GOLDENS


@pytest.fixture(scope="session")
def reviews() -> list[Document]:
    """60 distinct short reviews, half of them good; each says so in one word."""
    draw = random.Random(1)
    words = {"good": ["great", "lovely", "superb"], "bad": ["awful", "boring", "dreadful"]}
    things = ["film", "plot", "cast", "music", "ending"]
    return [
        Document(
            f"Review {i}: the {draw.choice(things)} and the {draw.choice(things)} were"
            f" {draw.choice(words[label])}, "
            + " ".join(draw.choices(["i", "say", "it", "again", "and", "so"], k=i % 9))
            + ".",
            label,
        )
        for i in range(60)
        for label in [("good", "bad")[i % 2]]
    ]


@pytest.fixture(scope="session")
def tokenizer(reviews: list[Document]) -> Tokenizer:
    return Tokenizer.build((d.text for d in reviews), TokenizerConfig(min_freq=2))


@pytest.fixture
def lm(tokenizer: Tokenizer) -> LanguageModel:
    """Random weights, but large enough to disagree about the next word."""
    model = LanguageModel.create(tokenizer, TINY)
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.mul_(4).add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture
def lm_directory(lm: LanguageModel, tmp_path: Path) -> Path:
    """A run's directory that holds `lm` and its backward twin, for `pretrained=`."""
    for direction in ("forward", "backward"):
        twin = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
        twin.save(tmp_path / "pretrained" / direction / "language_model")
    return tmp_path / "pretrained"


@pytest.fixture
def runtime() -> Runtime:
    return Runtime.start(RuntimeConfig(device="cpu"))
