"""The language model against numbers recorded from fastai 2.8.12."""

import json
from typing import NamedTuple

import pytest
import torch
from fastai_names import ours, renamed
from fastai_reader import resize_state
from golden import GOLDENS, assert_grads, assert_same, lm_net, load, replay_masks
from torch import Tensor

from ulmfit.config import NO_DROPOUT
from ulmfit.nn.losses import lm_loss


class Batch(NamedTuple):
    tokens: Tensor
    targets: Tensor


def test_every_tensor_has_one_name() -> None:
    weights, net = load("lm_weights"), lm_net()
    new = [name for old in weights if (name := ours(old))]
    assert sorted(new) == sorted(net.state_dict())
    assert torch.equal(weights["1.decoder.weight"], net.encoder.embedding.weight)


def test_logits_and_state_carried_over_four_calls() -> None:
    golden, net, state = load("lm_eval_carry"), lm_net().eval(), None
    for call in range(4):  # batch size 4 → 4 → 3 → 5
        tokens = golden[f"call{call}.input"]
        out = net(tokens, state and resize_state(state, len(tokens)))
        assert_same(out.raw, golden[f"call{call}.raw_out"])
        assert_same(net.logits(out.dropped), golden[f"call{call}.logits"])
        for layer, (h, c) in enumerate(out.state):
            assert_same(h, golden[f"call{call}.hidden{layer}.h"])
            assert_same(c, golden[f"call{call}.hidden{layer}.c"])
        state = out.state


@pytest.mark.parametrize(("name", "ar", "tar"), [("ce", 0.0, 0.0), ("ce_ar2_tar1", 2.0, 1.0)])
def test_losses_and_gradients(name: str, ar: float, tar: float) -> None:
    golden, net = load(f"lm_grads_{name}"), lm_net(NO_DROPOUT).train()
    loss, _ = lm_loss(net, Batch(golden["input"], golden["target"]), None, ar=ar, tar=tar)
    loss.total.backward()
    assert_same(loss.main, golden["loss_ce"])
    assert_same(loss.total, golden["loss_total"])
    assert_grads(net, golden)


def test_training_with_recorded_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    golden, net = load("lm_train_masks"), lm_net().train()
    masks = replay_masks(monkeypatch, golden)
    out = net(golden["input"], None)
    assert not masks
    assert_same(out.raw, golden["raw_out"])
    assert_same(out.dropped, golden["dropped_out"])
    assert_same(net.logits(out.dropped), golden["logits"])

    replay_masks(monkeypatch, golden)
    loss, _ = lm_loss(net, Batch(golden["input"], golden["target"]), None, ar=2.0, tar=1.0)
    loss.total.backward()
    assert_same(loss.total, golden["loss"])
    assert_grads(net, golden)


def test_layer_groups() -> None:
    groups = json.loads((GOLDENS / "param_groups.json").read_text())["lm"]["groups"]
    net = lm_net()
    names = {id(p): name for name, p in net.named_parameters()}
    got = [{names[id(p)] for p in group} for group in net.layer_groups().values()]
    assert got == [set(renamed(dict.fromkeys(group, 0))) for group in groups]
