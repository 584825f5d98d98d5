"""The LR range test: fastai's suggestions on a recorded curve; afterwards all is as it was."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY_FIT
from torch import Tensor

from ulmfit.config import FinetuneConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.prepare_lm import finetune_stage
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.training import loop
from ulmfit.training.log import Log
from ulmfit.training.lr_finder import HIGHEST_LR, STEPS, LRCurve, find_lr
from ulmfit.training.phases import Phase, layer_rates
from ulmfit.training.stage import Stage
from ulmfit.training.watch import DivergedError, Smooth


def test_suggestions_are_fastais(goldens: Path) -> None:
    recorded = json.loads((goldens / "lr_find.json").read_text())
    assert recorded["used_slice"] == "[num_it//10:-5]"
    curve = LRCurve(tuple(recorded["lrs"]), tuple(recorded["losses"]))
    found = curve.suggestions()
    assert curve.fell()
    assert list(found) == ["valley", "steep", "minimum"]
    for name, lr in found.items():  # fastai's are float32
        assert lr == pytest.approx(recorded["suggestions"][name], rel=1e-6), name


def test_the_loss_is_smoothed_as_in_fastai(goldens: Path) -> None:
    recorded, smooth = json.loads((goldens / "lr_find.json").read_text()), Smooth()
    for loss, expected in zip(
        recorded["losses"], recorded["smooth_loss_beta098_first30"], strict=False
    ):
        smooth.add(loss)
        assert smooth.value == pytest.approx(expected, rel=1e-6)


def test_a_loss_that_only_grows_suggests_the_lowest_rate() -> None:
    lrs = np.geomspace(1e-7, 10, STEPS)
    curve = LRCurve(tuple(lrs), tuple(np.linspace(1, 3, STEPS)))
    assert curve.suggestions()["valley"] == lrs[10] and not curve.fell()
    assert LRCurve(tuple(lrs), tuple(np.linspace(3, 1, STEPS))).fell()


def test_too_short_a_curve_suggests_nothing() -> None:
    with pytest.raises(ValueError, match="exploded after 16 steps of 100"):
        LRCurve((0.1,) * 16, (1.0,) * 16).suggestions()


@pytest.fixture
def stages(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> dict[str, Callable[[], Stage]]:
    config = FinetuneConfig(batch_size=16, bptt=10, min_steps=1, softmax="sampled", negatives=16)
    classifier = TINY_FIT.classifier
    return {
        "lm after skip-gram": lambda: finetune_stage(
            lm, reviews, replace(config, skipgram_epochs=2), TokenizerConfig(), runtime
        )[0],
        "lm": lambda: finetune_stage(lm, reviews, config, TokenizerConfig(), runtime)[0],
        "classifier": lambda: classifier_stage(lm, reviews, [], classifier, runtime)[0],
    }


def state(stage: Stage) -> dict[str, Tensor]:  # BatchNorm's buffers too
    return {name: t.clone() for name, t in stage.net.state_dict().items()}


def after_one_epoch(stage: Stage, runtime: Runtime) -> dict[str, Tensor]:
    stage.phases = [Phase(1, layer_rates(1e-2, stage.groups))]
    stage.train(runtime)
    return state(stage)


@pytest.mark.parametrize("kind", ["lm", "lm after skip-gram", "classifier"])
def test_afterwards_all_is_as_it_was(
    kind: str,
    stages: dict[str, Callable[[], Stage]],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also what is not seen: a training after it ends with the same bits as one without it."""
    monkeypatch.setattr("ulmfit.training.lr_finder.STEPS", 30)
    stage = stages[kind]()
    before, random = state(stage), torch.get_rng_state()
    curve = find_lr(stage, runtime, trained=stage.groups)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(t, stage.net.state_dict()[n]) for n, t in before.items())
    assert all(p.requires_grad and p.grad is None for p in stage.net.parameters())
    assert 15 < len(curve.lrs) <= 30 and curve.lrs[0] == pytest.approx(1e-7)
    trained = after_one_epoch(stage, runtime)
    other = after_one_epoch(stages[kind](), runtime)
    assert all(torch.equal(t, other[n]) for n, t in trained.items())


def test_rates_grow_alike_in_all_groups_that_are_not_frozen(
    stages: dict[str, Callable[[], Stage]], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, ...]] = []
    monkeypatch.setattr(Stage, "train", lambda self, *given: seen.append(self.phases[0].lrs))
    stage = stages["classifier"]()
    find_lr(stage, runtime)  # as the first phase: the head
    find_lr(stage, runtime, trained=2)
    assert seen == [(0.0, 0.0, 0.0, HIGHEST_LR), (0.0, 0.0, HIGHEST_LR, HIGHEST_LR)]


def test_rates_are_tried_on_a_net_that_is_warmed_up(
    stages: dict[str, Callable[[], Stage]], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages["lm after skip-gram"]()
    assert stage.warm_up
    stage.warm_up.run(wanted := copy.deepcopy(stage.net))
    weights: list[Tensor] = []
    real = loop.fit
    monkeypatch.setattr(
        "ulmfit.training.stage.fit",
        lambda net, *given, **told: (
            weights.append(net.encoder.embedding.weight.clone()),
            real(net, *given, **told),
        ),
    )
    find_lr(stage, runtime)
    assert torch.equal(weights[0], wanted.encoder.embedding.weight)
    assert not torch.equal(weights[0], stage.net.encoder.embedding.weight)


@pytest.mark.parametrize("end", ["explodes", "is no number", "is no number, seen late"])
def test_it_ends_where_the_loss(
    end: str,
    stages: dict[str, Callable[[], Stage]],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(self: Stage, runtime: Runtime, log: Log) -> None:
        for number in range(STEPS):
            if number == 40 and end == "is no number":
                raise DivergedError
            bad = 1e6 if end == "explodes" else math.nan
            loss = bad if number >= 40 else 1.0
            log.step(number + 1, loss=loss, lr=0.1, step=number + 1)

    monkeypatch.setattr(Stage, "train", train)
    curve = find_lr(stages["lm"](), runtime)
    assert len(curve.lrs) == len(curve.losses) == (41 if end == "explodes" else 40)
    assert all(math.isfinite(loss) for loss in curve.losses)
