"""The state of an unfinished training: one safetensors file, replaced atomically, and the one before it."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ulmfit.files.checkpoint import CheckpointError, read_tensors, rename, write_tensors
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime, rng_state, set_rng_state
from ulmfit.training.watch import DivergedError

SAVE_EVERY_S = 120.0  # seconds between two saves inside an epoch


@dataclass(frozen=True)
class Position:
    """Where training stands: `step` updates of phase number `phase` (from 0) are done."""

    phase: int = 0
    step: int = 0
    records: int | None = None  # lines that metrics.jsonl had then
    watch: dict[str, Any] = field(default_factory=dict)  # what `Watch` knows of the losses so far


class ResumePoint:
    """Saves and restores net, optimizer, carry, random generators and position. Several processes share one file; a
    different number of them may go on from it, but with other dropout masks.

    `identity` says what is being trained (plan, config, data); a file of another identity is refused. `say` is told if the
    file is damaged and the one before it is taken.
    """

    def __init__(self, path: Path, identity: str, say: Say = silent) -> None:
        self.path, self.identity, self._say = path, identity, say
        self._before = path.with_name(f"before {path.name}")
        self._saved_at = time.monotonic()

    def exists(self) -> bool:
        """Whether there is a saved state."""
        return self.path.exists() or self._before.exists()

    def due(self) -> bool:
        """Whether the last save is `SAVE_EVERY_S` ago."""
        return time.monotonic() - self._saved_at >= SAVE_EVERY_S

    def save(
        self,
        net: Any,
        optimizer: torch.optim.Optimizer,
        runtime: Runtime,
        position: Position,
        carry: Any,
    ) -> None:
        """Saves all that the next step depends on. All processes call it; the first writes, and keeps the file before beside
        it. `DivergedError`: something is not finite any more; then nothing is written."""
        world = runtime.world
        tensors: dict[str, Tensor] = {f"net.{k}": v for k, v in net.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        for layer, pair in enumerate(carry or ()):
            tensors |= {f"carry.{layer}.{i}": world.whole(t, 1) for i, t in enumerate(pair)}
        for k, v in rng_state(runtime.device).items():
            tensors |= {
                f"{_rng(rank)}.{k}": s.clone() for rank, s in enumerate(world.whole(v[None]))
            }
        plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        for name, tensor in plain.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise DivergedError(
                    f"{name} holds values that are not finite, so {self.path} is kept as it was; use a lower learning rate"
                )
        about = {
            "identity": self.identity,
            "position": asdict(position),
            "scaler": runtime.scaling(),
        }
        if world.first:
            new = self.path.with_name(f"new {self.path.name}")
            write_tensors(new, plain, about)
            if self.path.exists():
                rename(self.path, self._before)
            rename(new, self.path)
        world.wait()  # from here on every process finds the file
        self._saved_at = time.monotonic()

    def load(
        self, net: Any, optimizer: torch.optim.Optimizer, runtime: Runtime
    ) -> tuple[Position, Any]:
        """Puts net, optimizer and generators back, and gives position and carry; the beginning where nothing is saved."""
        world = runtime.world
        if not self.exists():
            return Position(), None
        tensors, about = self._read()
        if about.get("identity") != self.identity:
            raise CheckpointError(
                f"{self.path} belongs to a run with other settings or data; "
                "repeat the old command to go on, or use --overwrite to start anew"
            )
        net.load_state_dict(_part(tensors, "net"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "optimizer").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        flat, mine = _part(tensors, "carry"), slice(world.rank, None, world.size)
        # fp32 holds half-precision numbers exactly, and autocast gives the same bits again
        flat = {name: t[:, mine].contiguous().float() for name, t in flat.items()}
        carry = [
            tuple(flat[f"{layer}.{i}"].to(runtime.device) for i in range(2))
            for layer in range(len(flat) // 2)
        ]
        if random := _part(tensors, _rng(world.rank)):  # none if more processes go on than saved
            set_rng_state(random, runtime.device)
        runtime.restore_scaling(about["scaler"])
        return Position(**about["position"]), carry or None

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The content of the last undamaged file: a process may be killed between two renames, and disks make mistakes."""
        damage = ""
        for path in filter(Path.exists, (self.path, self._before)):
            try:
                content = read_tensors(path)
            except CheckpointError as error:
                damage = damage or str(error).split(";")[0]
                continue
            if damage:
                self._say(f"{damage}: continuing from the state saved before it, {path.name}")
            return content
        raise CheckpointError(
            f"{damage}, and there is no undamaged earlier state; delete {self.path.parent} to start this stage again"
        )


def _rng(rank: int) -> str:
    """Prefix of a process's random generators."""
    return f"rng{rank}" if rank else "rng"


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix + "."): v for k, v in tensors.items() if k.startswith(prefix + ".")
    }
