"""Long-lived worker processes: a JSON line per request, a JSON line per answer. Uses the standard library only.

{"prepare": TASK, …} prepares a task; {"window": true} does one window of work and answers with its measurements;
{"about": true} answers with versions and peak memory.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "numpy", "fastai", "spacy", "ulmfit")
Window = Callable[[], dict[str, Any]]


class Worker:
    """The requesting side. `ask` raises RuntimeError if the process has died; its traceback is on standard error."""

    def __init__(self, python: Path, module: str, env: Mapping[str, str] = {}) -> None:
        self.name = module
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            cwd=ROOT,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # reported below
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"{self.name} died over {question}; the reason is above")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve(tasks: Mapping[str, Callable[..., Window]]) -> None:
    """The answering side. `tasks`: name → function that takes the settings and returns the function that does one window."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that output of libraries does not mix with answers
    window: Window | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if name := question.pop("prepare", None):
            window = None  # frees the memory of the task before
            window, answer = tasks[name](**question), {}
        elif "window" in question:
            assert window, "nothing was prepared"
            answer = window()
        else:
            answer = about()
        print(json.dumps(answer), file=answers, flush=True)


def about() -> dict[str, Any]:
    """Versions, and peak resident memory in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {"versions": versions(), "peak_rss": peak}


def versions() -> dict[str, str]:
    """The versions of Python and of those `PACKAGES` that are installed."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(wall-clock seconds, result) of the work."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
