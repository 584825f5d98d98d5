"""A process that runs one `ulmfit` command on a tiny model, and may kill itself while it writes a file."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import ulmfit.commands.train
import ulmfit.files.checkpoint
import ulmfit.run_directory
import ulmfit.training.log
import ulmfit.training.resume
from ulmfit import cli
from ulmfit.config import ModelConfig

TINY = ModelConfig(embedding_size=8, hidden_size=12, layers=2)
RUN = "run"  # the run directory, in the working directory
CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkstemp"}


class Job(NamedTuple):
    """The arguments of one process."""

    command: list[str]  # verb and flags
    save_every: float  # seconds between two saved states within an epoch
    die_at: int = 0  # number of the event below `RUN` at which it kills itself; 0: none
    count_to: str = ""  # file for the number of events, if it ends by itself


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still here")


class Events:
    """Counts changes to files below `RUN`: calls, and writes; a write at which the process dies leaves half a file."""

    def __init__(self, die_at: int) -> None:
        self.count, self._die_at = 0, die_at

    def last(self) -> bool:
        """Count one more event; whether it is the one to die at."""
        self.count += 1
        return self.count == self._die_at

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CALLS or isinstance(arguments[0], int):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if f"/{RUN}/" in os.path.abspath(os.fsdecode(arguments[0])) and self.last():
            die()

    def watch(self) -> None:
        """Count from here on. CPython audits most calls, but neither fsync nor writes, so these are patched."""
        sync, save, text = os.fsync, ulmfit.files.checkpoint.save_file, Path.write_text

        def fsync(handle: int) -> None:
            if self.last():
                die()
            sync(handle)

        def save_file(tensors: Any, path: Path, *more: Any) -> None:
            save(tensors, path, *more)
            if self.last():
                os.truncate(path, path.stat().st_size // 2)
                die()

        def write_text(path: Path, content: str, **more: Any) -> int:
            if f"/{RUN}/" in str(path.absolute()) and self.last():
                text(path, content[: len(content) // 2], **more)
                die()
            return text(path, content, **more)

        def write_record(log: Any, record: dict[str, Any]) -> None:
            if log._path and self.last():
                with open(log._path, "a") as file:
                    file.write(json.dumps({k: str(v) for k, v in record.items()})[:20])
                die()
            real(log, record)

        real: Callable[..., None] = ulmfit.training.log.Log._write
        ulmfit.training.log.Log._write = write_record
        os.fsync, ulmfit.files.checkpoint.save_file, Path.write_text = fsync, save_file, write_text  # type: ignore[assignment]
        sys.addaudithook(self.audit)


def keep_states() -> None:
    """Copies the last saved state of each training, which `finish` deletes, beside the run directory, to be compared."""
    real = ulmfit.run_directory.Run._drop_what_only_the_unfinished_need

    def drop(run: Any) -> None:
        for state in (run.path / "resume").glob("[!bn]*.safetensors"):  # not "before", not "new"
            copy = run.path.parent / f"{state.name}.last"
            copy.with_suffix(".part").write_bytes(state.read_bytes())
            copy.with_suffix(".part").rename(copy)
        real(run)

    ulmfit.run_directory.Run._drop_what_only_the_unfinished_need = drop


def work(job: Job) -> None:
    """Run the command; its output goes to the file `said`."""
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    ulmfit.training.resume.SAVE_EVERY_S = job.save_every
    ulmfit.commands.train.SMALL = TINY
    keep_states()
    events = Events(job.die_at)
    events.watch()
    sys.argv = ["ulmfit", *job.command]
    try:
        cli.main(job.command)
    finally:
        if job.count_to:
            Path(job.count_to).write_text(str(events.count))


if __name__ == "__main__":
    work(Job(**json.loads(sys.argv[1])))
