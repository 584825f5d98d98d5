"""Records: a line a record in the file, a table for people."""

import json
from pathlib import Path

import torch

from ulmfit.training.log import STEPS_PER_RECORD, Log


def test_records_are_appended_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    for stage in ("first", "second"):
        log = Log(stage, path)
        for step in range(1, 2 * STEPS_PER_RECORD + 1):
            log.step(step=step, loss=torch.tensor(0.5), lr=0.1)
        log.epoch(epoch=1.0, train_loss=0.4)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    one = [
        {"kind": "step", "step": STEPS_PER_RECORD, "loss": 0.5, "lr": 0.1},
        {"kind": "step", "step": 2 * STEPS_PER_RECORD, "loss": 0.5, "lr": 0.1},
        {"kind": "epoch", "epoch": 1.0, "train_loss": 0.4},
    ]
    assert records == [{"stage": stage} | r for stage in ("first", "second") for r in one]


def test_people_see_a_table_with_one_header() -> None:
    lines: list[str] = []
    log = Log("stage", say=lines.append)
    log.epoch(phase=1, epoch=1.0, valid_accuracy=0.5, seconds=65.4)
    log.epoch(phase=1, epoch=1.25, valid_accuracy=0.75, seconds=5.0)
    assert [line.split() for line in lines] == [
        ["phase", "epoch", "valid", "accuracy", "seconds"],
        ["1", "1", "0.5000", "1:05"],
        ["1", "1.25", "0.7500", "0:05"],
    ]
    assert len({len(line) for line in lines}) == 1  # aligned


def test_without_path_and_people_nothing_happens(tmp_path: Path) -> None:
    log = Log("stage")
    log.step(step=STEPS_PER_RECORD, loss=1.0)
    log.epoch(epoch=1.0)
    assert not list(tmp_path.iterdir())
