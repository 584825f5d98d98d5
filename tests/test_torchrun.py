"""The command line under torchrun, as people start it; whole processes, so these are slow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from together import WORDS

ROOT = Path(__file__).parents[1]
ONE_HOST = ["--standalone", "--nproc-per-node=2"]
SMALL_STEPS = ["--batch-size", "8", "--bptt", "10", "--valid-fraction", "0.2"]
pytestmark = pytest.mark.soak


@pytest.fixture
def here(tmp_path: Path, lm_directory: Path) -> Path:
    rows = ["text,label"]
    rows += [f"{' '.join(WORDS[i % 7 :])} {i},{WORDS[i % 2]}" for i in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    return tmp_path


def torchrun(here: Path, *command: str, options: list[str] = ONE_HOST) -> str:
    """What it wrote to standard error."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    env |= {"GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"}
    start = [sys.executable, "-m", "torch.distributed.run", *options, *command]
    done = subprocess.run(start, cwd=here, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stderr


def fit(out: str) -> list[str]:
    told = ["fit", "train.csv", "--out", out, "--pretrained", "pretrained", "--no-report"]
    for part in ("lm", "classifier"):
        told += [f"--{part}.{flag[2:]}" if flag[:2] == "--" else flag for flag in SMALL_STEPS]
    return told


def epochs(run: Path) -> list[Any]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "train_loss")}
        for line in lines
        if line["kind"] == "epoch"
    ]


@pytest.mark.parametrize("verb", ["fit", "pretrain-lm", "finetune-lm", "train-classifier"])
def test_every_stage(verb: str, here: Path) -> None:
    common = ["train.csv", "--out", "run"]
    told = {
        "fit": fit("run"),
        "pretrain-lm": [verb, *common, *SMALL_STEPS, "--tokenizer.min-freq", "1"],
        "finetune-lm": [verb, *common, *SMALL_STEPS, "--pretrained", "pretrained"],
        "train-classifier": [verb, *common, *SMALL_STEPS, "--lm", "pretrained", "--no-report"],
    }
    said = torchrun(here, "-m", "ulmfit", *told[verb])
    record = json.loads((here / "run" / "config.json").read_text())
    assert record["finished"] and said.count("2 processes") == 1
    assert said.count("saved in run") == 1


def test_a_killed_process_changes_nothing(here: Path) -> None:
    """torchrun starts all again, they go on where the state stands, and end with the same bits."""
    script = str(Path(__file__).with_name("killed.py"))
    said = torchrun(
        here, script, "1", "13", *fit("killed"), options=[*ONE_HOST, "--max-restarts=1"]
    )
    assert "going on with it" in said
    torchrun(here, script, "1", "-1", *fit("whole"))
    assert epochs(here / "killed") == epochs(here / "whole")
    for saved in ("language_model", "classifier"):
        one, other = (
            load_file(here / run / "forward" / saved / "model.safetensors")
            for run in ("killed", "whole")
        )
        assert all(one[name].equal(other[name]) for name in one)
