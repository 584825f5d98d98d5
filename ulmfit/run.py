"""A run directory: what was asked, what is finished, and what an unfinished stage needs to go on."""

import hashlib
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ulmfit import lock
from ulmfit.card import write_card
from ulmfit.checkpoint import CheckpointError, load_json, save_json
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.files import Say
from ulmfit.training.log import Log, summary_writer
from ulmfit.training.resume import ResumePoint
from ulmfit.training.stage import Stage

WRITTEN = (
    "forward",
    "backward",
    "corpus",
    "resume",
    "metrics.jsonl",
    "tensorboard",
    "predictions",
    "doctor.json",
    "report.html",
    "calibration.json",
)  # beside config.json and lock
MACHINE = {
    "device",
    "precision",
    "threads",
    "max_minutes",
}  # settings of a runtime that ask for nothing else


def silent(line: str) -> None:
    """Says nothing."""


class Run:
    """Paths and bookkeeping of one run; everything is below `path`.

    One process at a time: `finish`, or the end of a `with` block, lets others in.
    """

    def __init__(self, path: Path, identity: str, say: Say, tensorboard: bool = False) -> None:
        self.path, self.identity, self.say = path, identity, say
        self._tensorboard = tensorboard
        if tensorboard:
            summary_writer()  # a missing package is said before any work

    @classmethod
    def open(
        cls,
        path: str | Path,
        config: dict[str, Any] | None = None,
        data: str = "",
        *,
        overwrite: bool = False,
        tensorboard: bool = False,
        say: Say = silent,
    ) -> "Run":
        """A new run, or an unfinished one of the same config and data (`data` = fingerprint).

        A finished run, or one with other settings, is refused, or replaced with `overwrite`; a directory that is no
        run is always refused. Opened without config and data, only the stages check what they were given.
        `tensorboard`: the curves of each stage also go to `path`/tensorboard.
        """
        path, config = Path(path), config or {}
        run = cls(path, _identity(config, data), say, tensorboard)
        if path.exists() and not _may_hold_a_run(path):
            raise CheckpointError(f"{path} exists and is not a run directory; give another --out")
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(path)
        try:
            run._begin(config, data, overwrite)
        except BaseException:
            lock.release(path)
            raise
        return run

    def _begin(self, config: dict[str, Any], data: str, overwrite: bool) -> None:
        """Go on with what is here, or start anew; `open` has seen that nothing but a run can be here."""
        record = self.path / "config.json"
        old = load_json(record) if record.exists() else None
        # Also with --overwrite: the same command must go on after it was stopped.
        if old and not old.get("finished") and old.get("identity") == self.identity:
            self.say(f"{self.path} holds an unfinished run of this command: going on with it")
            return
        if old and not overwrite:
            raise CheckpointError(self._refusal(old))
        self._clear()
        told = _record(config, self.identity) | {"data": data}
        save_json(record, told)  # last: until then the old run is the one

    def _refusal(self, old: dict[str, Any]) -> str:
        if old.get("finished"):
            return f"{self.path} holds a finished run; give another --out, or --overwrite to replace it"
        return (
            f"{self.path} holds an unfinished run with other settings or data; repeat its command to go on "
            f"({old.get('command')}), or use --overwrite to start anew"
        )

    def _clear(self) -> None:
        """Delete what a run writes, and nothing that somebody put beside it."""
        for item in (self.path / name for name in WRITTEN):
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes in; the run stays as finished or unfinished as it is."""
        lock.release(self.path)

    def has(self, saved: Path) -> bool:
        """Whether a stage's result is there already (config.json is written last); says so."""
        finished = (saved / "config.json").exists()
        if finished:
            self.say(f"{saved} is finished: taken from there")
        return finished

    def train(self, stage: Stage, runtime: Runtime, config: Any) -> None:
        """Print the plan and train; an interrupted stage goes on where its saved state stands."""
        self.say(stage.plan())
        # A run opened by its path alone knows neither settings nor data: the stage's own are checked.
        corpus = getattr(stage.batches, "corpus", None)
        told = {"plan": stage.plan(), "config": asdict(config), "seed": runtime.seed}
        asked = _identity(told, corpus.fingerprint if corpus else "")
        point = ResumePoint(
            self.path / "resume" / f"{stage.name}.safetensors",
            f"{self.identity}/{stage.name}/{asked}",
        )
        events = self.path / "tensorboard" / stage.name if self._tensorboard else None
        log, began = (
            Log(stage.name, self.path / "metrics.jsonl", self.say, events),
            time.monotonic(),
        )
        facts = stage.facts()
        try:
            stage.train(runtime, log, point)
        finally:
            log.close()
            self._keep_stage(stage.name, facts, runtime, time.monotonic() - began)

    def _keep_stage(
        self, name: str, facts: dict[str, Any], runtime: Runtime, seconds: float
    ) -> None:
        """Plan, time and memory of a stage; what a training that was stopped took before counts, too."""
        stages = load_json(self.path / "config.json").get("stages", {})
        seconds += stages.get(name, {}).get("seconds", 0.0)
        spent = {
            "seconds": seconds,
            "peak_memory": runtime.peak_memory(),
            "machine": runtime.describe(),
        }
        self.keep(stages=stages | {name: facts | spent})

    def card(
        self, verb: str, stage: Stage, config: Any, best: dict[str, float] | None = None
    ) -> dict[str, Any]:
        """What a saved model says about its making; `best` = metrics of the epoch kept, where it is not the last."""
        epoch = {"last": self._last_epoch()} if best is None else {"best": best}
        return {"made_by": verb, "size": stage.size(), "config": asdict(config), **epoch}

    def _last_epoch(self) -> dict[str, Any]:
        lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return next((r for r in map(json.loads, reversed(lines)) if r["kind"] == "epoch"), {})

    def keep(self, **facts: Any) -> None:
        """Add to the run's record."""
        record = self.path / "config.json"
        save_json(record, load_json(record) | facts)

    def finish(self, results: dict[str, Any]) -> None:
        """Mark the run finished, keep its results, drop what only an unfinished run needs. Model cards are written
        again, now with the results."""
        self.keep(finished=True, results=results)
        for saved in self.path.glob("*ward/*/config.json"):
            write_card(saved.parent)
        for name in ("resume", "corpus"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        self.close()


def fingerprint(*parts: Iterable[Document] | Corpus) -> str:
    """One hash over the texts and labels of all parts, in order; of a corpus, its own."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"\x00part")
        if isinstance(part, Corpus):
            digest.update(part.fingerprint.encode())
            continue
        for document in part:
            digest.update(
                f"{document.label}\x00{document.text}\x01".encode("utf-8", "surrogatepass")
            )
    return digest.hexdigest()


def _identity(config: dict[str, Any], data: str) -> str:
    """One hash over what is asked for: the same on any machine, with any number of threads."""
    asked = dict(config)
    if "runtime" in asked:
        asked["runtime"] = {k: v for k, v in asked["runtime"].items() if k not in MACHINE}
    content = json.dumps([asked, data], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _may_hold_a_run(path: Path) -> bool:
    record = path / "config.json"
    if record.exists():
        return load_json(record).get("kind") == "run"
    return path.is_dir() and not set(path.iterdir()) - {path / lock.NAME}


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "ulmfit" if name == "__main__.py" else name


def _record(config: dict[str, Any], identity: str) -> dict[str, Any]:
    return {
        "kind": "run",
        "finished": False,
        "identity": identity,
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        "versions": {name: version(name) for name in ("ulmfit", "torch", "numpy", "spacy")}
        | {"python": platform.python_version()},
    }
