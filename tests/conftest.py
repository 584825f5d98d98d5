"""Shared by all tests: a tiny labelled corpus, fixed seeds, and no network."""

import socket
from pathlib import Path

import pytest
import torch

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
