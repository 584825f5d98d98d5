from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ulmfit.config import LM_DROPOUT, NO_DROPOUT, ModelConfig
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import (
    ar_loss,
    binary_cross_entropy,
    classifier_loss,
    lm_loss,
    range_loss,
    tar_loss,
    weighted_cross_entropy,
)
from ulmfit.world import World

CONFIG = ModelConfig(embedding_size=6, hidden_size=10, layers=2)


class LMBatch(NamedTuple):
    tokens: Tensor
    targets: Tensor


class Documents(NamedTuple):
    tokens: Tensor
    lengths: Tensor
    labels: Tensor


@pytest.fixture
def stream() -> LMBatch:
    tokens = torch.randint(2, 30, (3, 9))
    return LMBatch(tokens[:, :-1], tokens[:, 1:])


@pytest.fixture
def documents() -> Documents:
    return Documents(
        torch.randint(2, 30, (4, 7)), torch.tensor([7, 1, 5, 2]), torch.tensor([0, 1, 2, 1])
    )


def test_half_precision_is_close_on_the_cpu(stream: LMBatch, documents: Documents) -> None:
    lm = LMNet(30, CONFIG, NO_DROPOUT).train()
    classifier = ClassifierNet(30, CONFIG, NO_DROPOUT, 3, bptt=4, head_dropouts=(0.0, 0.0)).train()

    def losses() -> list[Tensor]:
        found = [
            lm_loss(lm, stream, None)[0].total,
            classifier_loss(classifier, documents, None)[0].total,
        ]
        torch.stack(found).sum().backward()
        return found

    exact = losses()
    with torch.autocast("cpu", torch.bfloat16):
        half = losses()
    assert not torch.equal(torch.stack(half), torch.stack(exact))  # it was computed otherwise
    torch.testing.assert_close(half, exact, rtol=3e-2, atol=0)
    weights = [*lm.parameters(), *classifier.parameters()]
    assert all(w.grad is not None and w.grad.isfinite().all() for w in weights)


def test_evaluation_is_plain_cross_entropy(stream: LMBatch) -> None:
    net = LMNet(30, CONFIG, LM_DROPOUT).eval()
    sampler = NegativeSampler(torch.ones(30).long(), 5)
    loss, state = lm_loss(net, stream, None, sampler=sampler)
    logits = net.logits(net(stream.tokens).dropped)
    torch.testing.assert_close(
        loss.main, F.cross_entropy(logits.flatten(0, 1), stream.targets.flatten())
    )
    assert loss.total.item() == loss.main.item()
    assert loss.count == 24
    assert not any(x.requires_grad for pair in state for x in pair)


def test_penalties_are_added_in_training_only(stream: LMBatch) -> None:
    net = LMNet(30, CONFIG, NO_DROPOUT).train()
    loss, _ = lm_loss(net, stream, None, ar=2.0, tar=1.0)
    out = net(stream.tokens)
    penalties = ar_loss(out.dropped, alpha=2.0) + tar_loss(out.raw, beta=1.0)
    torch.testing.assert_close(loss.total, loss.main + penalties)
    assert not loss.main.requires_grad


def test_a_stream_in_pieces_is_the_stream(stream: LMBatch) -> None:
    net = LMNet(30, CONFIG, LM_DROPOUT).eval()
    whole, _ = lm_loss(net, stream, None)
    total, state = 0.0, None
    for piece in (slice(0, 3), slice(3, 8)):
        batch = LMBatch(stream.tokens[:, piece], stream.targets[:, piece])
        loss, state = lm_loss(net, batch, state)
        total += loss.main.item() * loss.count
    assert total / whole.count == pytest.approx(whole.main.item(), abs=1e-6)


def test_sampled_training(stream: LMBatch) -> None:
    net = LMNet(30, CONFIG, NO_DROPOUT).train()
    sampler = NegativeSampler(torch.ones(30).long(), 3000)
    sampled, _ = lm_loss(net, stream, None, sampler=sampler)
    full, _ = lm_loss(net, stream, None)
    assert sampled.main.item() != full.main.item()
    assert sampled.main.item() == pytest.approx(full.main.item(), rel=0.02)
    sampled.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_penalties() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 2.0], [9.0, 9.0]]])
    assert ar_loss(x[:, :2], alpha=2.0).item() == 2 * (1 + 4 + 9 + 4) / 4
    assert tar_loss(x[:, :2], beta=3.0).item() == 3 * (4 + 0) / 2
    mask = torch.tensor([[True, True, False]])
    assert ar_loss(x, mask) == ar_loss(x[:, :2])
    assert tar_loss(x, mask) == tar_loss(x[:, :2])


def test_penalties_of_single_tokens_are_finite() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, False, False], [True, False, False]])
    for loss in (tar_loss(x, mask), tar_loss(x[:, :1])):
        assert loss.item() == 0.0
        loss.backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_classifier_loss(documents: Documents) -> None:
    net = ClassifierNet(30, CONFIG, NO_DROPOUT, 3, bptt=4, head_dropouts=(0.0, 0.0))
    net.train()
    loss, carry = classifier_loss(net, documents, None)
    out = net(documents.tokens, documents.lengths)
    torch.testing.assert_close(loss.main, F.cross_entropy(out.logits, documents.labels))
    penalties = ar_loss(out.output, out.kept) + tar_loss(out.output, out.kept)
    torch.testing.assert_close(loss.total, loss.main + penalties)
    assert (loss.count, carry) == (4, None)
    loss, _ = classifier_loss(net.eval(), documents, None)
    assert loss.total.item() == loss.main.item()


def test_classifier_penalties_ignore_padding(documents: Documents) -> None:
    """fastai's means run over padding too; ours must not depend on how wide a batch is."""
    net = ClassifierNet(30, CONFIG, NO_DROPOUT, 3, bptt=4, head_dropouts=(0.0, 0.0))
    wide = documents._replace(tokens=F.pad(documents.tokens, (0, 6), value=1))
    losses = [classifier_loss(net.train(), batch, None)[0].total for batch in (documents, wide)]
    torch.testing.assert_close(losses[0], losses[1])


class Counted(World):
    """Remembers what a mean over all rows is divided by, or answers with it."""

    known: Any = None

    def total(self, number: Any) -> Any:
        if self.known is None:
            type(self).known = number
        return self.known


LOGITS = torch.linspace(-2, 2, 15).view(5, 3)
BINARY = torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
WEIGHTS = torch.tensor([[0.5, 1.0, 2.0], [3.0, 1.0, 0.1]])


@pytest.mark.parametrize(
    ("loss", "rows"),
    [
        (
            partial(weighted_cross_entropy, weights=WEIGHTS[0], smoothing=0.2),
            (LOGITS, torch.tensor([0, 2, 1, 2, 2])),
        ),
        (partial(binary_cross_entropy, weights=WEIGHTS, smoothing=0.2), (LOGITS, BINARY)),
        (partial(range_loss, low=-1.0, high=4.0), (LOGITS[:, :1], LOGITS[:, 1])),
        (ar_loss, (LOGITS[:, :, None], BINARY > 0)),
        (tar_loss, (LOGITS[:, :, None], BINARY > 0)),
        (ar_loss, (LOGITS[:, :, None],)),
        (tar_loss, (LOGITS[:, :, None],)),
    ],
)
def test_parts_of_a_mean_add_up(loss: Any, rows: tuple[Tensor, ...]) -> None:
    """Also where a process has no rows."""

    class Here(Counted):
        known = None

    whole = loss(*rows, world=Here())
    torch.testing.assert_close(whole, loss(*rows))
    for cut in (0, 2):
        parts = [
            loss(*(x[part] for x in rows), world=Here()) for part in (slice(cut), slice(cut, 5))
        ]
        torch.testing.assert_close(parts[0] + parts[1], whole)
