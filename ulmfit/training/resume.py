"""The state of an unfinished training: one safetensors file, replaced atomically."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ulmfit.checkpoint import CheckpointError, write_tensors
from ulmfit.runtime import Runtime, rng_state, set_rng_state

SAVE_EVERY_S = 120.0  # seconds between two saves inside an epoch


@dataclass(frozen=True)
class Position:
    """Where training stands: `step` updates of phase number `phase` (from 0) are done."""

    phase: int = 0
    step: int = 0


class ResumePoint:
    """Saves and restores net, optimizer, carry, random generators and position.

    `identity` says what is being trained (plan, config, data); a file of another identity is refused.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        self._saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved_at >= SAVE_EVERY_S

    def save(
        self,
        net: Any,
        optimizer: torch.optim.Optimizer,
        runtime: Runtime,
        position: Position,
        carry: Any,
    ) -> None:
        """Everything that the next step depends on."""
        tensors: dict[str, Tensor] = {f"net.{k}": v for k, v in net.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        for layer, pair in enumerate(carry or ()):
            tensors |= {f"carry.{layer}.{i}": t for i, t in enumerate(pair)}
        tensors |= {f"rng.{k}": v for k, v in rng_state(runtime.device).items()}
        metadata = {
            "identity": self.identity,
            "position": json.dumps(asdict(position)),
            "scaler": json.dumps(runtime.scaling()),
        }
        plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_tensors(self.path, plain, metadata)
        self._saved_at = time.monotonic()

    def load(
        self, net: Any, optimizer: torch.optim.Optimizer, runtime: Runtime
    ) -> tuple[Position, Any]:
        """Position and carry of the saved state, everything else put back in place; the start where none is saved."""
        if not self.path.exists():
            return Position(), None
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(
                f"{self.path} is damaged ({error}); delete it to start this stage again"
            ) from None
        if metadata.get("identity") != self.identity:
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
        flat = _part(tensors, "carry")
        carry = [
            tuple(flat[f"{layer}.{i}"].to(runtime.device) for i in range(2))
            for layer in range(len(flat) // 2)
        ]
        set_rng_state(_part(tensors, "rng"), runtime.device)
        runtime.restore_scaling(json.loads(metadata.get("scaler", "{}")))
        return Position(**json.loads(metadata["position"])), carry or None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix + "."): v for k, v in tensors.items() if k.startswith(prefix + ".")
    }
