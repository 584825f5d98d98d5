"""The record of a training: a table in the terminal, one line per record in metrics.jsonl, TensorBoard's files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ulmfit.files.checkpoint import atomic, writing
from ulmfit.progress import Say

STEPS_PER_RECORD = 10  # one step in so many goes to metrics.jsonl and TensorBoard
NOT_DRAWN = {"step", "phase", "epoch", "seconds"}  # by TensorBoard, whose x axis is the update


class Log:
    """Records of one stage. `path` is appended to; `say` prints a line for people (None: silence).

    `events`: a directory for TensorBoard, with one curve per value over the stage's updates. Needs the extra
    `tensorboard`.
    """

    def __init__(
        self,
        stage: str,
        path: Path | None = None,
        say: Say | None = None,
        events: Path | None = None,
    ) -> None:
        self.stage, self._path, self._say, self._events = stage, path, say, events
        self._columns: list[str] = []
        self._board: Any = None
        if events:
            summary_writer()  # a missing package is reported now, not after the first step

    def step(self, update: int, **values: Any) -> None:
        """A training step; `update` counts those of the whole stage from 1. Only every tenth step of a phase is recorded, and
        only then are tensors read."""
        self._draw(update, {})
        if values.get("step", update) % STEPS_PER_RECORD == 0:
            self._write({"stage": self.stage, "kind": "step"} | values)
            self._draw(update, values)

    def epoch(self, update: int, **values: Any) -> None:
        """The end of an epoch, after `update`, with what `evaluate` measured."""
        self._write({"stage": self.stage, "kind": "epoch"} | values)
        self._draw(update, values)
        if self._say:
            if list(values) != self._columns:
                self._columns = list(values)
                self._say(_row((name, _title(name)) for name in values))
            self._say(_row((name, _shown(name, value)) for name, value in values.items()))

    def say(self, line: str) -> None:
        """For people."""
        if self._say:
            self._say(line)

    def records(self) -> int:
        """The number of records of all stages, after making sure that they are on disk."""
        if self._path is None or not self._path.exists():
            return 0
        with open(self._path, "rb+") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
            return sum(line.endswith(b"\n") for line in file)

    def rewind(self, records: int | None) -> None:
        """Deletes all but the first `records` records; None: all from the first of this stage on. A resumed training writes
        them again."""
        if self._path is None or not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]  # the last may be cut off
        if records is None:
            stages = [json.loads(line)["stage"] for line in whole]
            records = stages.index(self.stage) if self.stage in stages else len(whole)
        if len(lines) > records:
            with atomic(self._path) as shorter:
                shorter.write_bytes(b"".join(whole[:records]))

    def close(self) -> None:
        """Write out what TensorBoard's writer still holds."""
        if self._board:
            self._board.close()
            self._board = None

    def _write(self, record: dict[str, Any]) -> None:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            plain = {k: v.item() if hasattr(v, "item") else v for k, v in record.items()}
            with writing(self._path), open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain) + "\n")

    def _draw(self, update: int, values: dict[str, Any]) -> None:
        if not self._events:
            return
        if not self._board:
            # After an interruption, what lies behind the saved state is drawn again.
            self._board = summary_writer()(str(self._events), purge_step=update)
        for name, value in values.items():
            if name not in NOT_DRAWN:
                self._board.add_scalar(name, float(value), update)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records in a metrics.jsonl; a last line that is cut off, as a killed run leaves it, is ignored."""
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def summary_writer() -> Any:
    """TensorBoard's writer class; an error that names the package where it is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            "writing for TensorBoard needs its package: pip install tensorboard"
        ) from None
    return SummaryWriter


def _row(cells: Iterable[tuple[str, str]]) -> str:
    """Values below their names, right-aligned; `cells` = (name of the column, what to show)."""
    return "  ".join(f"{shown:>{max(6, len(_title(name)))}}" for name, shown in cells)


def _title(name: str) -> str:
    return {"seconds": "time", "valid_macro_f1": "valid macro F1"}.get(name, name.replace("_", " "))


def _shown(name: str, value: Any) -> str:
    if name == "seconds":
        return f"{int(value) // 60}:{int(value) % 60:02d}"
    if name == "epoch":
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if name.endswith("perplexity"):
        return f"{value:.2f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
