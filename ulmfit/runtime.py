"""Device, precision, seed, as a value: what training and prediction ask of the machine.

A `Runtime` is an object that is passed down, not a global: two with different precisions live side by side in tests.
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
    """Chosen once, passed to everything that computes."""

    device: torch.device
    precision: str
    reasons: dict[str, str]
    seed: int = 0
    ends_at: float | None = None  # by time.monotonic()
    _scaler: torch.amp.GradScaler | None = field(default=None, repr=False)
    world: World = ALONE  # the processes that train together
    on_bad_loss: str = RuntimeConfig.on_bad_loss
    asked_to_stop: str = ""  # name of the signal that did
    scores_in: str | None = None  # precision without gradients, where it is another one

    @classmethod
    def choose(
        cls,
        config: RuntimeConfig = RuntimeConfig(),
        hardware: Hardware | None = None,
        *,
        training: bool = False,
    ) -> "Runtime":
        """Device and precision. Touches nothing global: enough for prediction."""
        hardware = hardware or Hardware.found()
        device, why_device = choose_device(config.device, hardware)
        told = (config.precision, device, hardware)
        precision, why_precision = choose_precision(*told, training=training)
        # On CUDA with bf16 too: the LSTMs compute in fp16 all the same.
        scaled = precision != "fp32" and device.startswith("cuda")
        scaler = torch.amp.GradScaler("cuda") if scaled else None
        reasons = {"device": why_device, "precision": why_precision}
        minutes = config.max_minutes
        if minutes is not None and minutes < 0:
            raise ValueError(f"--max-minutes must not be negative, but is {minutes:g}")
        if not 0 <= config.seed < 2**63:
            raise ValueError(f"--seed lies in 0 to 2**63 - 1, not {config.seed}")
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
            scores_in=choose_precision(*told)[0],
        )

    @classmethod
    def start(
        cls,
        config: RuntimeConfig = RuntimeConfig(),
        hardware: Hardware | None = None,
        *,
        training: bool = True,
    ) -> "Runtime":
        """`choose`, then set PyTorch's threads and seed all random generators. Under torchrun it waits until all processes
        have come so far; each has the same seed until `diverge`."""
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
        """From here on each process draws dropout masks of its own, a function of seed and rank; the first goes on as if
        it were alone."""
        if not self.world.first:
            own = np.random.SeedSequence((self.seed % 2**32, self.world.rank))
            torch.manual_seed(int(own.generate_state(1, np.uint64)[0]))

    def out_of_time(self) -> bool:
        """Whether `max_minutes` have passed since this was chosen, or a signal asked for a stop, for one process at least."""
        over = self.ends_at is not None and time.monotonic() >= self.ends_at
        return self.world.any(over or bool(self.asked_to_stop))

    @property
    def look_every(self) -> int:
        """Steps between two looks at the loss: reading a number off a GPU waits for all that was given it to do."""
        return 1 if self.device.type == "cpu" else 10

    def peak_memory(self) -> int | None:
        """Most bytes held at once so far: on a CUDA device by its tensors, else by this process. None: not known here."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if self.device.type != "cpu" or resource is None:
            return None
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024  # KiB everywhere else

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
        """Whether PyTorch's optimizers have a kernel here that updates everything in one go."""
        return self.device.type in ("cpu", "cuda")

    @property
    def one_by_one(self) -> bool:
        """Whether single tokens are better read by `nn.one_by_one` than by `nn.LSTM`. In half precision autocast would
        convert its weights at each token."""
        return self.device.type == "cpu" and "fp32" in (self.scores_in, self.precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision where it was chosen, otherwise nothing. Where `auto` chose it for training on a CPU, what is computed
        without gradients is not in it: a text's score is the same then and when the saved model predicts."""
        precision = self.precision if torch.is_grad_enabled() else self.scores_in or self.precision
        if precision == "fp32":
            return nullcontext()
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype)

    def keeping_memory(self) -> AbstractContextManager[None]:
        """Around steps that all need the same memory: on a CPU it is not given back in between."""
        return memory_kept() if self.device.type == "cpu" else nullcontext()

    def ready(self, net: Net) -> Net:
        """The net on this device, in evaluation. One that is here is left alone: `to` makes PyTorch's LSTMs list their
        weights anew, which another thread that reads with them at that moment does not survive."""
        weight = next(net.parameters())
        there = torch.empty(0, device=self.device).device  # "cuda" has a number here
        if weight.device != there:
            net.to(self.device)
        return net.eval() if net.training else net

    def move(self, batch: Batch) -> Batch:
        """This process's rows of the batch (a tuple of tensors or None) on this device. What is called lengths stays: it
        decides what is computed, and reading it off a GPU would wait for that."""
        names = getattr(batch, "_fields", range(len(batch)))
        rows = zip(names, self.world.mine(batch), strict=True)
        moved = (t if t is None or name == "lengths" else self._moved(t) for name, t in rows)
        return type(batch)(*moved)  # pyright: ignore[reportArgumentType]

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """A GPU fetches pinned memory while it computes; from other memory a copy waits for all it was given to do."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" and tensor.is_cpu else tensor
        return pinned.to(self.device, non_blocking=pinned is not tensor)

    def step(
        self,
        loss: torch.Tensor,
        optimizer: torch.optim.Optimizer,
        net: nn.Module,
        max_grad_norm: float | None,
    ) -> torch.Tensor:
        """One optimizer update: backward, gradients of all processes, clip by global norm, step, forget gradients. Gives the
        norm before clipping.

        Gradients that are no numbers: with scaled losses, and with `on_bad_loss` "skip", the weights stay as they are.
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
        """How losses are scaled now, as plain numbers; empty where they are not."""
        return self._scaler.state_dict() if self._scaler else {}

    def restore_scaling(self, state: dict[str, Any]) -> None:
        """The inverse of `scaling`; a state from another precision is left aside."""
        if self._scaler and state:
            self._scaler.load_state_dict(state)

    def reset_scaling(self) -> None:
        """As at first: each training starts with the same scale, whatever was trained before."""
        self._scaler = self._scaler and torch.amp.GradScaler(self.device.type)


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and PyTorch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """PyTorch's generator states, for checkpoints. Orders are drawn from (seed, epoch) and need none."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse of `rng_state`."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
