"""A run directory: new, unfinished, finished, foreign."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from ulmfit import lock
from ulmfit.checkpoint import CheckpointError, load_json, save_json
from ulmfit.config import RuntimeConfig
from ulmfit.run import Run, fingerprint
from ulmfit.text.corpus import Document

CONFIG = {"lr": 0.1, "sizes": (1, 2)}


def test_a_new_run_records_what_was_asked(tmp_path: Path) -> None:
    Run.open(tmp_path / "runs" / "x", CONFIG, "data")
    record = load_json(tmp_path / "runs" / "x" / "config.json")
    assert record["kind"] == "run" and record["finished"] is False
    assert record["config"] == {"lr": 0.1, "sizes": [1, 2]}
    assert record["command"].startswith("ulmfit ")
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
    for name in ("notes", "forward", "backward", "corpus", "resume"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "metrics.jsonl").touch()
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
    with pytest.raises(CheckpointError, match=r"finished run.*--overwrite"):
        Run.open(tmp_path, CONFIG, "data")
    Run.open(tmp_path, CONFIG, "data", overwrite=True)
    assert load_json(tmp_path / "config.json")["finished"] is False


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
    take = "import sys, pathlib, ulmfit.lock as l; l.acquire(pathlib.Path(sys.argv[1])); print(flush=True); input()"
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
    assert run.has(saved) and "taken from there" in said[0]


def test_the_fingerprint_sees_texts_labels_order_and_parts() -> None:
    a, b = Document("a", "x"), Document("b", "y")
    prints = [
        fingerprint([a, b], []),
        fingerprint([b, a], []),
        fingerprint([a], [b]),
        fingerprint([a, b]),
        fingerprint([a, Document("b")], []),
        fingerprint([Document("ab", "x"), b], []),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint([a, b], []) == prints[0]
    assert fingerprint([Document("\ud800")])  # half a surrogate, as JSON may hold it


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    Run.open(tmp_path, CONFIG, "data")
    (tmp_path / "config.json").write_text(json.dumps({"kind": "run"}))
    with pytest.raises(CheckpointError, match="--overwrite"):
        Run.open(tmp_path, CONFIG, "data")
