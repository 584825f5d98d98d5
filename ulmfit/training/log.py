"""What happened while training: a table in the terminal, one line a record in metrics.jsonl."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

STEPS_PER_RECORD = 10  # every so many steps one goes to metrics.jsonl


class Log:
    """Records of one stage. `path` is appended to; `say` prints a line for people (None: silence)."""

    def __init__(
        self, stage: str, path: Path | None = None, say: Callable[[str], None] | None = None
    ) -> None:
        self.stage, self._path, self._say = stage, path, say
        self._columns: list[str] = []

    def step(self, *, step: int, **values: Any) -> None:
        """A training step; only every tenth is kept."""
        if step % STEPS_PER_RECORD == 0:
            self._write({"stage": self.stage, "kind": "step", "step": step} | values)

    def epoch(self, **values: Any) -> None:
        """The end of an epoch, with what `evaluate` measured."""
        self._write({"stage": self.stage, "kind": "epoch"} | values)
        if self._say:
            if list(values) != self._columns:
                self._columns = list(values)
                self._say(_row((name, name.replace("_", " ")) for name in values))
            self._say(_row((name, _shown(name, value)) for name, value in values.items()))

    def _write(self, record: dict[str, Any]) -> None:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            plain = {k: v.item() if hasattr(v, "item") else v for k, v in record.items()}
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain) + "\n")


def _row(cells: Iterable[tuple[str, str]]) -> str:
    """Values below their names, right-aligned; `cells` = (name of the column, what to show)."""
    return "  ".join(f"{shown:>{max(8, len(name))}}" for name, shown in cells)


def _shown(name: str, value: Any) -> str:
    if name == "seconds":
        return f"{int(value) // 60}:{int(value) % 60:02d}"
    if name == "epoch":
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:.4f}" if isinstance(value, float) else str(value)
