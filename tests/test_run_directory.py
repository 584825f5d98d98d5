"""A run directory: new, unfinished, finished, foreign."""

import itertools
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_FIT

from ulmfit.config import RuntimeConfig
from ulmfit.files import lock
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.run_directory import FinishedError, Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.training.log import read_records
from ulmfit.training.phases import Phase, layer_rates
from ulmfit.world import World

CONFIG = {"lr": 0.1, "sizes": (1, 2)}


def test_a_new_run_records_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/ulmfit", "fit", "a file.csv"])
    Run.open(tmp_path / "runs" / "x", CONFIG, "data")
    record = load_json(tmp_path / "runs" / "x" / "config.json")
    assert record["kind"] == "run" and record["finished"] is False
    assert record["config"] == {"lr": 0.1, "sizes": [1, 2]}
    assert record["command"] == "ulmfit fit 'a file.csv'"
    assert {"ulmfit", "torch", "python"} <= record["versions"].keys()


def test_an_unfinished_run_goes_on_with_the_same_settings_only(tmp_path: Path) -> None:
    first, said = Run.open(tmp_path, CONFIG, "data"), list[str]()
    kept = tmp_path / "forward" / "kept"
    kept.parent.mkdir()
    kept.touch()
    again = Run.open(tmp_path, CONFIG, "data", say=said.append)
    assert again.identity == first.identity and kept.exists()
    assert "going on" in said[0]
    for config, data in ((CONFIG | {"lr": 0.2}, "data"), (CONFIG, "other data")):
        with pytest.raises(CheckpointError, match=r"other settings or data.*--overwrite"):
            Run.open(tmp_path, config, data)
        assert kept.exists()
    Run.open(tmp_path, CONFIG, "other data", overwrite=True)
    assert not kept.exists()


def test_the_same_command_goes_on_also_with_overwrite(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data").finish({})
    Run.open(tmp_path, CONFIG, "data", overwrite=True)  # replaces the finished one, and is stopped
    (tmp_path / "resume").mkdir()
    Run.open(tmp_path, CONFIG, "data", overwrite=True)
    assert (tmp_path / "resume").exists()


def test_overwriting_deletes_only_what_a_run_writes(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data").finish({})
    (tmp_path / "thesis.tex").touch()
    for name in ("notes", "forward", "backward", "corpus", "resume", "tensorboard", "predictions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    for name in ("metrics.jsonl", "doctor.json", "report.html", "calibration.json"):
        (tmp_path / name).touch()
    Run.open(tmp_path, CONFIG, "data", overwrite=True).close()
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "notes", "thesis.tex"}
    assert (tmp_path / "notes" / "file").exists()


def test_a_finished_run_is_refused_unless_told(tmp_path: Path) -> None:
    run = Run.open(tmp_path, CONFIG, "data")
    (tmp_path / "resume").mkdir()
    (tmp_path / "corpus").mkdir()
    run.finish({"test": {"accuracy": 0.5}})
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert load_json(tmp_path / "config.json")["results"] == {"test": {"accuracy": 0.5}}
    with pytest.raises(FinishedError, match=r"finished run.*--overwrite"):
        Run.open(tmp_path, CONFIG, "data")
    with pytest.raises(CheckpointError, match=r"finished run.*--overwrite") as other:
        Run.open(tmp_path, CONFIG, "other data")
    assert not isinstance(other.value, FinishedError)
    Run.open(tmp_path, CONFIG, "data", overwrite=True)
    assert load_json(tmp_path / "config.json")["finished"] is False


class Second(World):
    """The second of two processes, whose first one found a finished run."""

    def any(self, mine: bool) -> bool:
        return True


def test_all_processes_hear_that_a_run_is_finished(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data").finish({})
    with pytest.raises(FinishedError):
        Run.open(tmp_path, CONFIG, "data", world=Second(1, 2))


def test_the_machine_is_not_part_of_what_was_asked(tmp_path: Path) -> None:
    """An unfinished run may go on with other threads, or on another device; not with another seed."""
    runtime = asdict(RuntimeConfig())
    first = Run.open(tmp_path, {"runtime": runtime}, "data")
    other = runtime | {"threads": 3, "device": "cpu", "precision": "fp32"}
    assert Run.open(tmp_path, {"runtime": other}, "data").identity == first.identity
    with pytest.raises(CheckpointError, match="other settings"):
        Run.open(tmp_path, {"runtime": runtime | {"seed": 1}}, "data")


def test_by_hand_a_path_is_enough(tmp_path: Path) -> None:
    with Run.open(str(tmp_path / "run")) as run:
        assert run.path == tmp_path / "run" and (run.path / lock.NAME).exists()
    assert not (run.path / lock.NAME).exists()
    assert Run.open(tmp_path / "run").identity == run.identity


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_processes_do_not_share_a_run(overwrite: bool, tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data").close()
    take = "import sys, pathlib, ulmfit.files.lock as l; l.acquire(pathlib.Path(sys.argv[1])); print(flush=True); input()"
    command = [sys.executable, "-c", take, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        with pytest.raises(lock.LockedError, match=str(other.pid)):
            Run.open(tmp_path, CONFIG, "data", overwrite=overwrite)
        other.kill()
    assert (tmp_path / "config.json").exists()


def test_the_run_is_given_back_on_errors(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Run.open(tmp_path, CONFIG, "data"):
        raise ZeroDivisionError
    with pytest.raises(CheckpointError):
        Run.open(tmp_path, CONFIG, "other data")
    assert not (tmp_path / lock.NAME).exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_touched(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    save_json(tmp_path / "model" / "config.json", {"kind": "language_model"})
    for name in ("folder", "file", "model"):
        with pytest.raises(CheckpointError, match="not a run directory"):
            Run.open(tmp_path / name, CONFIG, "data", overwrite=overwrite)
    assert (tmp_path / "folder" / "thesis.tex").exists()


def test_what_is_saved_whole_is_finished(tmp_path: Path) -> None:
    said: list[str] = []
    run = Run.open(tmp_path, CONFIG, "data", say=said.append)
    saved = tmp_path / "forward" / "classifier"
    saved.mkdir(parents=True)
    (saved / "model.safetensors").touch()
    assert not run.has(saved) and not said
    (saved / "config.json").touch()
    assert run.has(saved) and "is finished already" in said[0]


def test_what_differs_is_said(tmp_path: Path) -> None:
    Run.open(tmp_path, {"config": {"lm": {"lr": 0.1}}}, "data").close()
    with pytest.raises(CheckpointError, match=r"\(config\.lm\.lr was 0\.1, now 0\.2\); repeat"):
        Run.open(tmp_path, {"config": {"lm": {"lr": 0.2}}}, "data")
    with pytest.raises(CheckpointError, match="the texts or their labels have changed"):
        Run.open(tmp_path, {"config": {"lm": {"lr": 0.1}}}, "other data")


def test_other_versions_are_said_when_a_run_goes_on(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data").close()
    record = load_json(tmp_path / "config.json")
    record["versions"]["torch"] = "1.0"
    save_json(tmp_path / "config.json", record)
    said = list[str]()
    Run.open(tmp_path, CONFIG, "data", say=said.append).close()
    (line,) = [line for line in said if "torch" in line]
    assert "began with torch 1.0" in line


def test_a_run_killed_at_its_first_or_last_write_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.json.x1.part").touch()  # killed while its record was written for the first time
    Run.open(run, CONFIG, "data").finish({})
    for name in ("resume", "corpus"):  # killed before these were deleted
        (run / name).mkdir()
    (run / "forward").mkdir()
    (run / "forward" / ".model.safetensors.x1.part").touch()
    (run / ".part").touch()  # somebody's
    with pytest.raises(FinishedError):
        Run.open(run, CONFIG, "data")
    assert {p.name for p in run.iterdir()} == {"config.json", "forward", ".part"}
    assert not list((run / "forward").iterdir())


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data")
    (tmp_path / "config.json").write_text(json.dumps({"kind": "run"}))
    with pytest.raises(CheckpointError, match="--overwrite"):
        Run.open(tmp_path, CONFIG, "data")


def test_tensorboard_has_every_update_once_also_after_an_interruption(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("ulmfit.training.log.STEPS_PER_RECORD", 2)
    # 5 updates an epoch: the interruption comes in the second
    config = replace(TINY_FIT.classifier, keep="last", batch_size=8, min_batch_size=8)
    for stop in (7, None):
        stage, _ = classifier_stage(lm, reviews[:40], reviews[40:], config, runtime)
        stage.phases = [Phase(1, layer_rates(0.01, 4, 1)), Phase(1, layer_rates(0.01, 4))]
        real, steps = stage.loss_fn, itertools.count(1)

        def loss_fn(*given: Any) -> Any:
            if next(steps) == stop:  # noqa: B023
                raise KeyboardInterrupt
            return real(*given)  # noqa: B023

        stage.loss_fn = loss_fn
        with Run.open(tmp_path / "run", tensorboard=True) as run:
            if stop:
                with pytest.raises(KeyboardInterrupt):
                    run.train(stage, runtime, config)
            else:
                run.train(stage, runtime, config)
                assert next(steps) < stage.steps()  # it went on
    board = accumulators.EventAccumulator(str(run.path / "tensorboard" / stage.name)).Reload()
    per_epoch = stage.batches.steps_per_epoch
    whole = [e * per_epoch + s for e in (0, 1) for s in range(2, per_epoch + 1, 2)]
    assert [e.step for e in board.Scalars("loss")] == whole
    assert [e.step for e in board.Scalars("valid_accuracy")] == [per_epoch, 2 * per_epoch]
    assert {"lr", "momentum", "valid_loss", "valid_macro_f1"} <= set(board.Tags()["scalars"])


def test_a_missing_tensorboard_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        Run.open(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_stage_leaves_its_plan_and_what_it_cost(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    stage, _ = classifier_stage(lm, reviews, [], TINY_FIT.classifier, runtime)
    with Run.open(tmp_path) as run:
        run.keep(stages={"earlier": {}, stage.name: {"seconds": 100.0}})  # stopped after that long
        run.train(stage, runtime, TINY_FIT.classifier)
        told = load_json(tmp_path / "config.json")["stages"]
    assert list(told) == ["earlier", stage.name]
    assert 100 < told[stage.name]["seconds"] < 200
    assert told[stage.name]["machine"] == runtime.describe()
    assert told[stage.name]["groups"] == list(stage.net.layer_groups())


def test_a_training_that_stops_has_cost_something_too(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    stage, _ = classifier_stage(lm, reviews, [], TINY_FIT.classifier, runtime)

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    stage.loss_fn = stop  # type: ignore[assignment]
    with Run.open(tmp_path) as run, pytest.raises(KeyboardInterrupt):
        run.train(stage, runtime, TINY_FIT.classifier)
    assert load_json(tmp_path / "config.json")["stages"][stage.name]["seconds"] > 0


def test_the_card_has_the_figures_of_the_last_epoch(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    stage, made = classifier_stage(lm, reviews[:40], reviews[40:], TINY_FIT.classifier, runtime)
    with Run.open(tmp_path) as run:
        run.train(stage, runtime, TINY_FIT.classifier)
        run.save(made, tmp_path / "saved", "verb", stage, TINY_FIT.classifier)
    records = read_records(tmp_path / "metrics.jsonl")
    card = load_json(tmp_path / "saved" / "config.json")["card"]
    assert card["last"] == records[-1] and card["last"]["phase"] == 4
