"""What a new process costs: the import, and the start to a first prediction by a saved classifier."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.tasks import Task
from benchmarks.worker import ROOT, Worker

FASTAI = ROOT / ".peers" / "fastai" / "bin" / "python"
QUIET = ("-W", "ignore")
THEIR_IMPORT = "from fastai.text.all import *"
THEIR_START = f"{THEIR_IMPORT}; load_learner(FILE).predict(TEXT)"


def measure(task: Task, size: str, windows: int, threads: int) -> dict[str, Any]:
    """Wall-clock times of whole processes in turn, and the peak memory of the last of each."""
    inputs = Inputs.open(size)
    commands = starts(inputs) if task.settings["until"] == "prediction" else imports()
    versions = prepare(size, threads)
    for command in commands.values():
        run(command, threads)  # loads the files into the page cache
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
    for _ in range(windows):
        for name, command in commands.items():
            found[name].append(run(command, threads))
    return {
        "work": 1,
        "unit": "process",
        "seconds": {name: [seconds for seconds, _ in runs] for name, runs in found.items()},
        "peak_rss": {name: runs[-1][1] for name, runs in found.items()},
        "versions": versions,
        "agrees": None,
    }


def imports() -> dict[str, list[str]]:
    return {
        "ours": [sys.executable, *QUIET, "-c", "import ulmfit"],
        "fastai": [str(FASTAI), *QUIET, "-c", THEIR_IMPORT],
    }


def starts(inputs: Inputs) -> dict[str, list[str]]:
    """What a user would start for one prediction: our command, and a one-line script for fastai."""
    text, export = inputs.texts["single"]["20"][0], inputs.folder / "fastai" / "export.pkl"
    theirs = THEIR_START.replace("FILE", repr(str(export))).replace("TEXT", repr(text))
    ours = ["-m", "ulmfit", "predict", str(inputs.folder / "exported-int8"), "--text", text]
    return {
        "ours": [sys.executable, *QUIET, *ours],
        "fastai": [str(FASTAI), *QUIET, "-c", theirs],
    }


def prepare(size: str, threads: int) -> dict[str, Any]:
    """Saves the classifiers of both libraries; returns the versions."""
    versions = {}
    for name, python, module in (
        ("ours", Path(sys.executable), "benchmarks.our_worker"),
        ("fastai", FASTAI, "benchmarks.fastai_worker"),
    ):
        worker = Worker(python, module)
        more = {"exported": "int8"} if name == "ours" else {}
        worker.ask(prepare="saved", size=size, threads=threads, proof=False, **more)
        worker.ask(window=True)
        versions[name] = worker.ask(about=True)["versions"]
        worker.close()
    return versions


def run(command: list[str], threads: int) -> tuple[float, int]:
    """Seconds and peak resident memory (bytes) of a process that must succeed."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024  # Linux counts in KiB
