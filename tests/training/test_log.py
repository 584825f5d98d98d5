"""Records: a line a record in the file, a table for people."""

import json
import sys
from pathlib import Path

import pytest
import torch

from ulmfit.training.log import STEPS_PER_RECORD, Log, read_records, summary_writer


def test_records_are_appended_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    for stage in ("first", "second"):
        log = Log(stage, path)
        for step in range(1, 2 * STEPS_PER_RECORD + 1):
            log.step(step, step=step, loss=torch.tensor(0.5), lr=0.1)
        log.epoch(step, epoch=1.0, train_loss=0.4)
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
    log.epoch(8, phase=1, epoch=1.0, valid_accuracy=0.5, valid_perplexity=123.456, seconds=65.4)
    log.epoch(10, phase=1, epoch=1.25, valid_accuracy=0.75, valid_perplexity=9.0, seconds=5.0)
    assert lines == [
        " phase   epoch  valid accuracy  valid perplexity    time",
        "     1       1          0.5000            123.46    1:05",
        "     1    1.25          0.7500              9.00    0:05",
    ]
    assert len({len(line) for line in lines}) == 1  # aligned


def test_what_was_written_behind_the_saved_state_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first, second = Log("first", path), Log("second", path)
    first.epoch(1, epoch=1.0)
    second.epoch(1, epoch=1.0)
    assert second.records() == 2
    second.epoch(2, epoch=2.0)
    with open(path, "a") as file:
        file.write('{"stage": "second", "ki')  # killed there
    assert len(read_records(path)) == 3 and second.records() == 3
    second.rewind(2)
    assert [r["epoch"] for r in read_records(path)] == [1.0, 1.0]
    second.epoch(2, epoch=2.0)
    second.rewind(None)  # killed before anything was saved
    assert [r["stage"] for r in read_records(path)] == ["first"]
    Log("third", path).rewind(None)
    assert path.read_text().endswith("\n") and len(read_records(path)) == 1


def test_without_a_file_there_is_nothing_to_forget(tmp_path: Path) -> None:
    for log in (Log("stage"), Log("stage", tmp_path / "metrics.jsonl")):
        log.rewind(None)
        log.rewind(0)
        assert log.records() == 0
    assert read_records(tmp_path / "metrics.jsonl") == [] and not list(tmp_path.iterdir())


def test_without_path_and_people_nothing_happens(tmp_path: Path) -> None:
    log = Log("stage")
    log.step(STEPS_PER_RECORD, step=STEPS_PER_RECORD, loss=1.0)
    log.epoch(STEPS_PER_RECORD, epoch=1.0)
    log.close()
    assert not list(tmp_path.iterdir())


def curves(events: Path) -> dict[str, dict[int, float]]:
    """Name → update → value, as TensorBoard shows them; an update that is there twice is an error."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(events))
    accumulator.Reload()
    found = {}
    for name in accumulator.Tags()["scalars"]:
        points = [(e.step, e.value) for e in accumulator.Scalars(name)]
        found[name] = dict(points)
        assert len(found[name]) == len(points), name
    return found


def test_tensorboard_goes_on_after_an_interruption_without_duplicates(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for first, last in ((1, 45), (23, 60)):  # killed at 45, saved at 22
        log = Log("stage", events=tmp_path / "board")
        for step in range(first, last + 1):
            log.step(step, phase=1, step=step, loss=1 / step, lr=0.1)
        log.epoch(last, phase=1, epoch=1.0, valid_loss=0.5, seconds=1.0)
        log.close()
    found = curves(tmp_path / "board")
    assert list(found["loss"]) == [10, 20, 30, 40, 50, 60]
    assert found["loss"][30] == pytest.approx(1 / 30)
    assert found["valid_loss"] == {60: 0.5}
    assert found.keys() == {"loss", "lr", "valid_loss"}


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        summary_writer()
    with pytest.raises(ImportError, match="pip install tensorboard"):
        Log("stage", events=tmp_path)
