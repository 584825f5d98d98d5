"""Shared by all tests: a tiny labelled corpus, tiny models, fixed seeds, and no network."""

import random
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromium
import hypothesis
import pytest
import torch
from local_server import LocalServer, local_server
from tiny import TINY

from ulmfit.config import RuntimeConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

# `make soak` asks for another profile on the command line
hypothesis.settings.register_profile(
    "test", max_examples=60, derandomize=True, deadline=None, database=None
)
hypothesis.settings.register_profile("soak", max_examples=20_000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("test")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # tiny nets: two threads only wait for each other
# None, "" and 0.0.0.0: this machine; 192.0.2.1: nobody's, by RFC 5737
LOCAL = {"127.0.0.1", "::1", "localhost", None, "", "0.0.0.0", "192.0.2.1"}
GOLDENS = Path(__file__).parent / "goldens"  # recorded by running fastai 2.8.12


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but a server of the test's own is reached, and nobody's downloads are seen."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("ULMFIT_CACHE", str(tmp_path / "cache"))

    def check(host: Any) -> None:
        if host not in LOCAL:
            raise RuntimeError(f"a test tried to reach {host}: tests use no network")

    def only_local(name: str) -> None:
        def method(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(arguments[-1][0])
            return real(self, *arguments)

        real = getattr(socket.socket, name)
        monkeypatch.setattr(socket.socket, name, method)

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        check(host)
        return real_resolve(host, *arguments, **options)

    for name in ("connect", "connect_ex", "sendto"):
        only_local(name)
    real_resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with local_server() as server:
        yield server


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    if chromium.PROGRAM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with chromium.chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def runtime() -> Runtime:
    return Runtime.start(RuntimeConfig(device="cpu", precision="fp32"))
