"""Records of training → series over a stage's updates."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_FIT

from ulmfit.insight.curves import read_curves
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document

PHASE: dict[str, Any] = {
    "steps": 20,
    "lrs": [0.0, 2.0],
    "rates": {"0": (0.5, 0.8), "10": (1.0, 0.7)},
}


def test_phases_stand_behind_each_other_and_the_last_record_counts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    step, epoch = {"stage": "a", "kind": "step"}, {"stage": "a", "kind": "epoch"}
    records = [
        step | {"phase": 1, "step": 10, "loss": 3.0},
        step | {"phase": 1, "step": 10, "loss": 2.0},  # resumed
        step | {"phase": 2, "step": 10, "loss": 1.0},
        epoch | {"phase": 2, "epoch": 2.0, "valid_loss": 0.5},
        {"stage": "of another run", "kind": "step", "phase": 1, "step": 10, "loss": 9.0},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    curves = read_curves(path, {"a": {"phases": [PHASE, PHASE], "steps_per_epoch": 10}})["a"]
    assert curves.steps["loss"] == {10: 2.0, 30: 1.0}
    assert curves.epochs["valid_loss"] == {40: 0.5}
    assert curves.phases == (20, 40) and curves.done == 40
    assert curves.planned["lr"] == {1: 1.0, 11: 2.0, 21: 1.0, 31: 2.0}


def test_without_records_the_plan_is_left(tmp_path: Path) -> None:
    stage = {"phases": [PHASE], "steps_per_epoch": 10}
    curves = read_curves(tmp_path / "none.jsonl", {"a": stage})["a"]
    assert (
        not curves.steps
        and not curves.epochs
        and curves.done == 0
        and len(curves.planned["momentum"]) == 2
    )


def test_the_rates_planned_are_those_recorded(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    config = TINY_FIT.classifier
    stage, _ = classifier_stage(lm, reviews, [], config, runtime)
    stage.phases = [type(p)(40.0 / stage.batches.steps_per_epoch, p.lrs) for p in stage.phases[:2]]
    with Run.open(tmp_path / "run") as run:
        run.train(stage, runtime, config)
        told = json.loads((run.path / "config.json").read_text())["stages"]
    (curves,) = read_curves(tmp_path / "run" / "metrics.jsonl", told).values()
    recorded = curves.steps["lr"]
    assert len(recorded) == 8
    for update, lr in recorded.items():  # all of the 40 steps of a phase are kept
        assert curves.planned["lr"][update] == pytest.approx(lr)
        assert curves.planned["momentum"][update] == pytest.approx(curves.steps["momentum"][update])
