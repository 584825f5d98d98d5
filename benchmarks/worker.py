"""Long-lived processes that work when told: a line of JSON asks, a line of JSON answers. The standard library only.

{"prepare": TASK, …} makes ready; {"window": true} does one window of work and answers with what it measured;
{"about": true} gives versions and the peak of memory.
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
    """The asking end. `ask` raises RuntimeError when the process has died; its traceback is on standard error."""

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
            pass  # said below
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"{self.name} died over {question}; the reason is above")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve(tasks: Mapping[str, Callable[..., Window]]) -> None:
    """The answering end: `tasks` gives for a name and its settings the function that does one window."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not stand between answers
    window: Window | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if name := question.pop("prepare", None):
            window = None  # frees what was prepared before
            window, answer = tasks[name](**question), {}
        elif "window" in question:
            assert window, "nothing was prepared"
            answer = window()
        else:
            answer = about()
        print(json.dumps(answer), file=answers, flush=True)


def about() -> dict[str, Any]:
    """Versions, and the largest resident memory so far (bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {"versions": versions(), "peak_rss": peak}


def versions() -> dict[str, str]:
    """Of Python and of those packages that are installed here."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds by the wall clock, and what the work gave back."""
    began = time.perf_counter()
    given = work()
    return time.perf_counter() - began, given
