"""A run directory: its settings, what is finished, and what an unfinished stage needs to resume."""

import platform
import shlex
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ulmfit.card import write_card
from ulmfit.files import lock
from ulmfit.files.checkpoint import PART, CheckpointError, load_json, save_json, sweep, writing
from ulmfit.identity import differences, identity
from ulmfit.interruption import stopped_by_signals
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime
from ulmfit.training.log import Log, read_records, summary_writer
from ulmfit.training.resume import ResumePoint
from ulmfit.training.stage import Stage
from ulmfit.world import ALONE, World

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
)  # all that a run writes, besides config.json and lock


class FinishedError(CheckpointError):
    """The directory holds this very run, finished."""


class Run:
    """Paths and bookkeeping of one run, below `path`. It is locked for other processes until `finish` or the end of a `with`
    block. Of the processes that train together (`world`), the first writes and reports."""

    def __init__(
        self, path: Path, identity: str, say: Say, tensorboard: bool = False, world: World = ALONE
    ) -> None:
        self.path, self.identity, self.world = path, identity, world
        self.say = say if world.first else silent
        self._tensorboard = tensorboard
        if tensorboard:
            summary_writer()  # ImportError before any work

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
        world: World = ALONE,
    ) -> "Run":
        """A new run, or an unfinished one of the same config and data (`data` = fingerprint).

        A finished run, or one of other settings, is refused (CheckpointError), or replaced with `overwrite`; a directory that is
        no run is always refused. Without config and data an unfinished run goes on: its unfinished stage checks its own settings
        and data, a finished stage is taken as it is. `tensorboard`: the curves of each stage also go to `path`/tensorboard.
        """
        path, config = Path(path), config or {}
        run = cls(path, identity(config, data), say, tensorboard, world)
        finished = None
        if world.first:
            try:
                run._take(config, data, overwrite)
            except FinishedError as error:
                finished = error
        if world.any(finished is not None):  # the others wait here for the first
            raise finished or FinishedError(f"{path} holds a finished run")
        if not world.first:
            run._follow()
        return run

    def _take(self, config: dict[str, Any], data: str, overwrite: bool) -> None:
        """Lock the directory for this process, and make it an unfinished run of these settings."""
        path = self.path
        if path.exists() and not _may_hold_a_run(path):
            raise CheckpointError(f"{path} exists and is not a run directory; give another --out")
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            lock.acquire(path)
        try:
            self._begin(config, data, overwrite)
        except BaseException:
            lock.release(path)
            raise

    def _follow(self) -> None:
        """For every process but the first: check that it sees the directory and has the same settings and data."""
        record = self.path / "config.json"
        if not record.exists() or load_json(record).get("identity") != self.identity:
            raise CheckpointError(
                f"process {self.world.rank} does not find its run in {self.path}: all processes need the same command, the "
                "same texts, and an --out that all their machines share"
            )

    def _begin(self, config: dict[str, Any], data: str, overwrite: bool) -> None:
        """Resume the run that is here, or start anew; `_take` has checked that nothing but a run can be here."""
        record = self.path / "config.json"
        self._sweep()
        old = load_json(record) if record.exists() else None
        # Even with --overwrite, so that the same command resumes after it was stopped.
        if old and not old.get("finished") and old.get("identity") == self.identity:
            self.say(f"{self.path} holds an unfinished run of this command: going on with it")
            now = _versions()
            for name, then in old.get("versions", {}).items():
                if now.get(name) != then:
                    self.say(
                        f"it began with {name} {then}, this is {now.get(name)}: results may differ in the last bits"
                    )
            return
        if old and not overwrite:
            raise self._refusal(old, config, data)
        self._clear()
        # last: until then config.json is that of the old run
        save_json(record, _record(config, data, self.identity))

    def _refusal(self, old: dict[str, Any], config: dict[str, Any], data: str) -> CheckpointError:
        if old.get("finished"):
            kind = FinishedError if old.get("identity") == self.identity else CheckpointError
            return kind(
                f"{self.path} holds a finished run; give another --out, or --overwrite to replace it"
            )
        why = differences(old, config, data)
        return CheckpointError(
            f"{self.path} holds an unfinished run with other settings or data{why and f' ({why})'}; repeat its command "
            f"to go on ({old.get('command')}), or use --overwrite to start anew"
        )

    def _sweep(self) -> None:
        """Delete what a killed process left half written, or had not yet deleted."""
        for name in ("config.json", *WRITTEN):
            sweep(self.path / name)
            for left in self.path.glob(f".{name}.*{PART}"):
                left.unlink()
        record = self.path / "config.json"
        if record.exists() and load_json(record).get("finished"):
            self._drop_what_only_the_unfinished_need()

    def _clear(self) -> None:
        """Delete what a run writes, and no file that somebody put beside it."""
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
        """Unlock the directory for other processes; the run stays finished or unfinished."""
        if self.world.first:
            lock.release(self.path)

    def has(self, saved: Path) -> bool:
        """Whether a stage's result is there already (its config.json is written last); reports it."""
        finished = self.world.any(self.world.first and (saved / "config.json").exists())
        if finished:
            self.say(f"{saved} is finished already: it is used as it is")
        return finished

    def train(self, stage: Stage, runtime: Runtime, config: Any) -> None:
        """Report the plan and train; an interrupted stage resumes from its saved state."""
        self.say(stage.plan())
        # A run opened by its path alone knows neither settings nor data, so the stage's own are part of the identity.
        corpus = getattr(stage.batches, "corpus", None)
        settings = {"plan": stage.plan(), "config": asdict(config), "seed": runtime.seed}
        own = identity(settings, corpus.fingerprint if corpus else "")
        point = ResumePoint(
            self.path / "resume" / f"{stage.name}.safetensors",
            f"{self.identity}/{stage.name}/{own}",
            self.say,
        )
        events = self.path / "tensorboard" / stage.name if self._tensorboard else None
        written, began = self.path / "metrics.jsonl", time.monotonic()
        first = self.world.first
        log = Log(stage.name, written, self.say, events) if first else Log(stage.name)
        facts = stage.facts()
        try:
            with stopped_by_signals(runtime):
                stage.train(runtime, log, point)
        except BaseException:
            with suppress(OSError):  # such as a full disk: must not hide the error under way
                self._keep_stage(stage.name, facts, runtime, time.monotonic() - began)
            raise
        finally:
            log.close()
        self._keep_stage(stage.name, facts, runtime, time.monotonic() - began)

    def _keep_stage(
        self, name: str, facts: dict[str, Any], runtime: Runtime, seconds: float
    ) -> None:
        """Record plan, time and memory of a stage; the time of earlier, interrupted attempts is included."""
        if not self.world.first:
            return
        stages = load_json(self.path / "config.json").get("stages", {})
        seconds += stages.get(name, {}).get("seconds", 0.0)
        spent = {
            "seconds": seconds,
            "peak_memory": runtime.peak_memory(),
            "machine": runtime.describe(),
        }
        self.keep(stages=stages | {name: facts | spent})

    def save(
        self,
        model: Any,
        path: Path,
        verb: str,
        stage: Stage,
        config: Any,
        best: dict[str, float] | None = None,
    ) -> None:
        """Save the model that a stage trained, with its card; `best` = the metrics of the weights kept, if not the last epoch's."""
        if self.world.first:
            epoch = {"last": self._last_epoch()} if best is None else {"best": best}
            card = {"made_by": verb, "size": stage.size(), "config": asdict(config)}
            model.save(path, card=card | epoch)

    def _last_epoch(self) -> dict[str, Any]:
        records = read_records(self.path / "metrics.jsonl")
        return next((r for r in reversed(records) if r["kind"] == "epoch"), {})

    def keep(self, **facts: Any) -> None:
        """Add facts to the run's record, config.json."""
        if not self.world.first:
            return
        record = self.path / "config.json"
        save_json(record, load_json(record) | facts)

    def finish(self, results: dict[str, Any]) -> None:
        """Record the results, write them into the model cards, mark the run finished, and delete what only resuming needs."""
        if self.world.first:
            self.keep(results=results)
            for saved in self.path.glob("*ward/*/config.json"):
                write_card(saved.parent)
            self.keep(finished=True)
            self._drop_what_only_the_unfinished_need()
        self.close()
        self.world.wait()  # for the first process, which had more to do

    def _drop_what_only_the_unfinished_need(self) -> None:
        for name in ("resume", "corpus"):
            shutil.rmtree(self.path / name, ignore_errors=True)


def _may_hold_a_run(path: Path) -> bool:
    record = path / "config.json"
    if record.exists():
        return load_json(record).get("kind") == "run"
    # a run that was killed before it wrote config.json
    begun = {path / lock.NAME, *path.glob(f".config.json.*{PART}")}
    return path.is_dir() and not set(path.iterdir()) - begun


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "ulmfit" if name == "__main__.py" else name


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("ulmfit", "torch", "numpy", "spacy"):
        with suppress(PackageNotFoundError):  # on a bare machine, from a checkout
            found[name] = version(name)
    return found


def _record(config: dict[str, Any], data: str, identity: str) -> dict[str, Any]:
    return {
        "kind": "run",
        "finished": False,
        "identity": identity,
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        "data": data,
        "versions": _versions(),
    }
