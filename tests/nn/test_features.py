from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import TINY

from ulmfit.config import CLASSIFIER_DROPOUT, NO_DROPOUT, Dropout
from ulmfit.nn.features import FrozenFeatures
from ulmfit.nn.heads import ClassifierNet
from ulmfit.nn.losses import classifier_loss

LENGTHS = torch.tensor([9, 7, 4, 4, 2, 1])


def a_net(dropout: Dropout) -> ClassifierNet:
    torch.manual_seed(0)
    net = ClassifierNet(20, TINY, dropout, 3, bptt=3, max_len=6).train()
    net.encoder.requires_grad_(False)
    return net


def batch(index: list[int]) -> Any:
    rows = torch.tensor(index)
    tokens = torch.randint(2, 20, (6, 9), generator=torch.Generator().manual_seed(1))
    return SimpleNamespace(tokens=tokens[rows], lengths=LENGTHS[rows], labels=rows % 3, index=rows)


def documents(read: list[int] | None = None) -> Iterator[Any]:
    for rows in ([0, 1, 2, 3], [4, 5]):
        if read is not None:
            read.extend(rows)
        yield batch(rows)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [5, 0, 3]])
def test_without_dropout_they_change_nothing(rows: list[int]) -> None:
    nets = [a_net(NO_DROPOUT), a_net(NO_DROPOUT)]
    frozen = FrozenFeatures(documents, 6)
    for net, given in zip(nets, (None, frozen), strict=True):
        net.head.dropouts = [0.0, 0.0]
        loss, _ = classifier_loss(net, batch(rows), None, frozen=given)
        loss.total.backward()
    for exact, cached in zip(nets[0].head.parameters(), nets[1].head.parameters(), strict=True):
        assert exact.grad is not None and exact.grad.any()
        torch.testing.assert_close(cached.grad, exact.grad)


def test_each_document_is_read_once_and_without_dropout() -> None:
    read: list[int] = []
    net, frozen = a_net(CLASSIFIER_DROPOUT), FrozenFeatures(partial(documents, read), 6)
    first, second = frozen(net, batch([3, 1])), frozen(net, batch([3, 0]))
    assert read == list(range(6)) and net.training
    assert first is not None and second is not None and torch.equal(first[0], second[0])


def test_a_trained_encoder_is_read_anew() -> None:
    net, frozen = a_net(NO_DROPOUT), FrozenFeatures(documents, 6)
    before = frozen(net, batch([0]))
    net.encoder.requires_grad_(True)
    assert frozen(net, batch([0])) is None
    with torch.no_grad():
        net.encoder.embedding.weight.mul_(2)
    net.encoder.requires_grad_(False)
    after = frozen(net, batch([0]))
    assert before is not None and after is not None and not torch.equal(before, after)
