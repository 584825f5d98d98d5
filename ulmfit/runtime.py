"""Device, precision, processes and seed as a value: all that training and prediction ask of the machine.

A `Runtime` is passed down, not a global: tests use several of different precision side by side.
"""

import math
import random
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ulmfit import world
from ulmfit.config import RuntimeConfig
from ulmfit.hardware import (
    Hardware,
    choose_device,
    choose_for_rank,
    choose_precision,
    memory_kept,
)
from ulmfit.world import ALONE, World

try:
    import resource
except ImportError:  # Windows
    resource = None

Batch = TypeVar("Batch", bound=tuple[Any, ...])
Net = TypeVar("Net", bound=nn.Module)


@dataclass
class Runtime:
    """Chosen once, and passed to everything that computes."""

    device: torch.device
    precision: str
    reasons: dict[str, str]
    seed: int = 0
    ends_at: float | None = None  # by time.monotonic()
    _scaler: torch.amp.GradScaler | None = field(default=None, repr=False)
    world: World = ALONE  # the processes that train together
    on_bad_loss: str = RuntimeConfig.on_bad_loss
    asked_to_stop: str = ""  # name of the signal that asked, if one did
    scores_in: str | None = None  # precision without gradients, if another one

    @classmethod
    def choose(
        cls,
        config: RuntimeConfig = RuntimeConfig(),
        hardware: Hardware | None = None,
        *,
        training: bool = False,
    ) -> "Runtime":
        """A runtime of one process, enough for prediction; sets no global state. ValueError: no such device, or a bad setting."""
        hardware = hardware or Hardware.found()
        device, why_device = choose_device(config.device, hardware)
        asked = (config.precision, device, hardware)
        precision, why_precision = choose_precision(*asked, training=training)
        # On CUDA in bf16 too: cuDNN's LSTM computes in fp16 all the same.
        scaled = precision != "fp32" and device.startswith("cuda")
        scaler = torch.amp.GradScaler("cuda") if scaled else None
        reasons = {"device": why_device, "precision": why_precision}
        minutes = config.max_minutes
        if minutes is not None and not minutes >= 0:  # nor NaN
            raise ValueError(f"--max-minutes must not be negative, but is {minutes:g}")
        if not 0 <= config.seed < 2**63:
            raise ValueError(f"--seed must be from 0 to 2**63 - 1, not {config.seed}")
        if config.threads is not None and config.threads < 1:
            raise ValueError(f"--threads must be at least 1, not {config.threads}")
        ends_at = None if minutes is None else time.monotonic() + 60 * minutes
        return cls(
            torch.device(device),
            precision,
            reasons,
            config.seed,
            ends_at,
            scaler,
            on_bad_loss=config.on_bad_loss,
            scores_in=choose_precision(*asked)[0],
        )

    @classmethod
    def start(
        cls,
        config: RuntimeConfig = RuntimeConfig(),
        hardware: Hardware | None = None,
        *,
        training: bool = True,
    ) -> "Runtime":
        """`choose`, then set PyTorch's threads and seed all random generators. Under torchrun it waits for all processes to get
        here; they have the same seed until `diverge`."""
        hardware, backend = hardware or Hardware.found(), "gloo"
        if world.started_several():
            device, backend = choose_for_rank(config.device, hardware)
            config = replace(config, device=device)
        runtime = cls.choose(config, hardware, training=training)
        if runtime.device.index is not None and backend != "gloo":
            torch.cuda.set_device(runtime.device)  # where NCCL looks for this process
        runtime.world = world.join(backend)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        seed_everything(config.seed)
        return runtime

    def diverge(self) -> None:
        """From here on each process draws its own dropout masks, by seed and rank; the first draws those of a single process."""
        if not self.world.first:
            own = np.random.SeedSequence((self.seed % 2**32, self.world.rank))
            torch.manual_seed(int(own.generate_state(1, np.uint64)[0]))

    def out_of_time(self) -> bool:
        """Whether, in any process, `max_minutes` have passed since `choose`, or a signal asked for a stop."""
        over = self.ends_at is not None and time.monotonic() >= self.ends_at
        return self.world.any(over or bool(self.asked_to_stop))

    @property
    def look_every(self) -> int:
        """Steps between two looks at the loss: reading a number off a GPU waits for all work queued on it."""
        return 1 if self.device.type == "cpu" else 10

    def peak_memory(self) -> int | None:
        """Peak memory in bytes: of tensors on a CUDA device, else of this process. None: unknown on this system."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if self.device.type != "cpu" or resource is None:
            return None
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024  # KiB elsewhere

    def describe(self) -> str:
        """One line for people: what was chosen, and why."""
        n = torch.get_num_threads()
        threads = f", {n} thread{'s' * (n > 1)}" if self.device.type == "cpu" else ""
        processes = f"{self.world.size} processes, " if self.world.size > 1 else ""
        return (
            f"device {self.device} ({self.reasons['device']}){threads}, {processes}"
            f"precision {self.precision} ({self.reasons['precision']}), seed {self.seed}"
        )

    @property
    def fused(self) -> bool:
        """Whether PyTorch has fused optimizer kernels for this device."""
        return self.device.type in ("cpu", "cuda")

    @property
    def one_by_one(self) -> bool:
        """Whether single tokens are read faster by `nn.one_by_one` than by `nn.LSTM`: not in half precision, where autocast would
        convert its weights at each token."""
        return self.device.type == "cpu" and "fp32" in (self.scores_in, self.precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision if it was chosen, else no effect. If `auto` chose it for training on a CPU, computation without gradients
        stays in fp32, so that validation scores are those of the saved model."""
        precision = self.precision if torch.is_grad_enabled() else self.scores_in or self.precision
        if precision == "fp32":
            return nullcontext()
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype)

    def keeping_memory(self) -> AbstractContextManager[None]:
        """For steps that all need the same memory: on a CPU it is not returned to the system in between."""
        return memory_kept() if self.device.type == "cpu" else nullcontext()

    def ready(self, net: Net) -> Net:
        """The net on this device, in evaluation mode. A net already here is not moved: `to` makes PyTorch's LSTMs rebuild their
        list of weights, which crashes another thread that predicts at that moment."""
        weight = next(net.parameters())
        device = torch.empty(0, device=self.device).device  # "cuda" with its index
        if weight.device != device:
            net.to(self.device)
        return net.eval() if net.training else net

    def move(self, batch: Batch) -> Batch:
        """This process's rows of the batch (a tuple of tensors or None) on this device. The field `lengths` stays on the CPU:
        Python code branches on it, and reading it off a GPU would wait for the queue."""
        names = getattr(batch, "_fields", range(len(batch)))
        rows = zip(names, self.world.mine(batch), strict=True)
        moved = (t if t is None or name == "lengths" else self._moved(t) for name, t in rows)
        return type(batch)(*moved)  # pyright: ignore[reportArgumentType]

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy from pinned memory overlaps with the GPU's work; from other memory it waits for the queue."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" and tensor.is_cpu else tensor
        return pinned.to(self.device, non_blocking=pinned is not tensor)

    def step(
        self,
        loss: torch.Tensor,
        optimizer: torch.optim.Optimizer,
        net: nn.Module,
        max_grad_norm: float | None,
    ) -> torch.Tensor:
        """One optimizer update: backward, sum gradients over processes, clip by global norm, step, clear gradients. Returns the
        norm before clipping.

        If gradients are NaN or infinite, the weights stay as they are with scaled losses or `on_bad_loss` "skip".
        """
        scaler = self._scaler
        (scaler.scale(loss) if scaler else loss).backward()
        self.world.sum_gradients(net.parameters())  # still scaled: all see the same overflow
        if scaler:
            scaler.unscale_(optimizer)
        bound = math.inf if max_grad_norm is None else max_grad_norm
        norm = nn.utils.clip_grad_norm_(net.parameters(), bound)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        elif self.on_bad_loss == "stop" or bool(norm.isfinite()):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def scaling(self) -> dict[str, Any]:
        """The state of loss scaling as plain numbers; empty without it."""
        return self._scaler.state_dict() if self._scaler else {}

    def restore_scaling(self, state: dict[str, Any]) -> None:
        """The inverse of `scaling`; ignored if this or the saved precision has no scaling."""
        if self._scaler and state:
            self._scaler.load_state_dict(state)

    def reset_scaling(self) -> None:
        """Back to the initial scale, so that a training does not depend on those before it."""
        self._scaler = self._scaler and torch.amp.GradScaler(self.device.type)


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and PyTorch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """PyTorch's generator states, for checkpoints. The order of documents follows from (seed, epoch) and needs none."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse of `rng_state`."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
