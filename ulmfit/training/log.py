"""What happened while training: a table in the terminal, one line a record in metrics.jsonl, TensorBoard's files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ulmfit.files.checkpoint import atomic, writing
from ulmfit.progress import Say

STEPS_PER_RECORD = 10  # every so many steps one goes to metrics.jsonl and TensorBoard
NOT_DRAWN = {"step", "phase", "epoch", "seconds"}  # in TensorBoard, whose axis is the update


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
            summary_writer()  # a missing package is said now, not after the first step

    def step(self, update: int, **values: Any) -> None:
        """A training step, `update` of the whole stage, from 1; only every tenth of a phase is kept. Tensors are read then."""
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
        """How many there are of all stages, safe on disk."""
        if self._path is None or not self._path.exists():
            return 0
        with open(self._path, "rb+") as file:  # Windows makes safe only what it may write
            os.fsync(file.fileno())
            return sum(line.endswith(b"\n") for line in file)

    def rewind(self, records: int | None) -> None:
        """Forget what was written after so many records; None: everything of this stage. A training that is resumed writes
        it again."""
        if self._path is None or not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]  # of the last, half may be there
        if records is None:
            stages = [json.loads(line)["stage"] for line in whole]
            records = stages.index(self.stage) if self.stage in stages else len(whole)
        if len(lines) > records:
            with atomic(self._path) as shorter:
                shorter.write_bytes(b"".join(whole[:records]))

    def close(self) -> None:
        """Write out what TensorBoard has not been given yet."""
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
            # Of a stage that was interrupted, what lies behind the saved state is drawn again.
            self._board = summary_writer()(str(self._events), purge_step=update)
        for name, value in values.items():
            if name not in NOT_DRAWN:
                self._board.add_scalar(name, float(value), update)


def read_records(path: Path) -> list[dict[str, Any]]:
    """What a metrics.jsonl holds; the last line of a run that was killed may be half a record, and is left aside."""
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
