"""The processes of one training, started by torchrun: which of them this is, and the few operations between them.

Each reads its rows of every batch; sums over rows are summed over processes. With one process nothing is done. A `World` is a
value that training passes down (`Runtime.world`); code without one, such as prediction, is `ALONE`.
"""

import atexit
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Batch = TypeVar("Batch", bound=tuple[Any, ...])

PATIENCE = timedelta(hours=3)  # how long the others wait for the first, which does some work alone
# A matrix with more rows is an embedding, of which a batch may touch few: the LSTMs of BASE have 4,608.
MANY_ROWS = 5_000


class LostProcessError(OSError):
    """Another process of the training is gone, or can't be reached."""


@dataclass(frozen=True)
class World:
    """`size` processes, of which this is number `rank` (from 0). All must make the same calls in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def mine(self, batch: Batch) -> Batch:
        """This process's rows of a batch (a named tuple of tensors or None): every `size`-th, so that lengths are shared evenly
        and a stream stays with its process. With fewer rows than processes some get none."""
        if self.size == 1:
            return batch
        rows = (None if t is None else t[self.rank :: self.size] for t in batch)
        return type(batch)(*rows)  # pyright: ignore[reportArgumentType]

    def whole(self, mine: Tensor, dim: int = 0) -> Tensor:
        """The inverse of `mine`: the rows of all processes along `dim`, in their order, bit-identical in each process."""
        if self.size == 1:
            return mine
        shape = list(mine.shape)
        shape[dim] = int(self.total(shape[dim]))
        rows = mine.new_zeros(shape)
        rows.movedim(dim, 0)[self.rank :: self.size] = mine.movedim(dim, 0)
        return _summed(rows)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over processes. Differentiable: gradients are summed, too."""
        return x if self.size == 1 else _Sum.apply(x)

    def total(self, number: Any) -> Any:
        """The sum of a number, or of a tensor without gradients, over processes."""
        if self.size == 1:
            return number
        if isinstance(number, Tensor):
            return _summed(number.detach().clone())
        return _summed(torch.tensor(float(number), dtype=torch.float64)).item()

    def any(self, mine: bool) -> bool:
        """Whether `mine` is true in any process."""
        return mine if self.size == 1 else self.total(int(mine)) > 0

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites the tensors with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                with _reached():
                    dist.broadcast(tensor.data, 0)

    def wait(self) -> None:
        """A barrier: returns when all processes have called it."""
        self.any(False)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process runs the block before the others enter it, so that they find what it wrote."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sums the gradients of trained parameters, in one message. Rows of an embedding that no process touched are not sent;
        for these, a message of 1 byte per row comes first."""
        if self.size == 1:
            return
        grads = []
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:  # this process had no rows of a small last batch
                    parameter.grad = torch.zeros_like(parameter)
                grads.append(parameter.grad)
        if not grads:
            return
        touched = [self._touched(grad) for grad in grads]
        parts = [grad[rows] for grad, rows in zip(grads, touched, strict=True)]
        flat = _summed(torch.cat([part.flatten() for part in parts]))
        sums = flat.split([part.numel() for part in parts])
        for grad, rows, part, summed in zip(grads, touched, parts, sums, strict=True):
            grad[rows] = summed.view_as(part)

    def _touched(self, grad: Tensor) -> Tensor | slice:
        """The rows in which any process has a gradient."""
        if grad.dim() < 2 or len(grad) < MANY_ROWS:
            return slice(None)
        touched = (grad != 0).any(1).to(torch.uint8)  # NaN is not 0
        with _reached():
            dist.all_reduce(touched, dist.ReduceOp.MAX)
        rows = touched.nonzero()[:, 0]
        return rows if len(rows) < len(grad) else slice(None)


ALONE = World()


def started_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(backend: str) -> World:
    """The world that torchrun started this process in; `ALONE` without it. Waits for the others, once per process."""
    if not started_several():
        return ALONE
    if not dist.is_available():
        raise ValueError("this PyTorch is built without torch.distributed: train in one process")
    if not dist.is_initialized():
        with _reached():
            store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))  # pyright: ignore[reportPrivateImportUsage]
            # torchrun's store outlives a restart, and holds the addresses of processes that are gone.
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = dist.PrefixStore(attempt, store)  # pyright: ignore[reportPrivateImportUsage]
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
            )
        atexit.register(_leave)
    return World(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        cause = re.sub(r"^\[[^]]*\] |\. .*", "", str(error).strip().splitlines()[0])
        raise LostProcessError(
            f"another process of this training is gone or can't be reached ({cause}); its own output tells why"
        ) from error


def _summed(x: Tensor) -> Tensor:
    """`x`, overwritten with its sum over processes."""
    with _reached():
        dist.all_reduce(x)
    return x


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x.clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _summed(grad.clone())
