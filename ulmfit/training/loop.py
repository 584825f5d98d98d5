"""The only training loop: pre-training, fine-tuning and classification differ in their arguments.

Losses → weights. `fit` walks a list of phases; each freezes some layer groups and schedules the others. The LSTM
state of the text streams is a value (`carry`) that passes through the loop, not something the net remembers.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile, islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ulmfit.config import OutOfTime
from ulmfit.progress import bar
from ulmfit.runtime import Runtime
from ulmfit.training.log import Log
from ulmfit.training.phases import Phase
from ulmfit.training.resume import Position, ResumePoint
from ulmfit.training.watch import Smooth, Watch

BETA2, EPS = 0.99, 1e-5  # Adam's, as fastai sets them


@runtime_checkable
class Batches(Protocol):
    """What the loop needs of data: epochs that can be entered anywhere, for resuming."""

    @property
    def steps_per_epoch(self) -> int: ...
    @property
    def steady(self) -> bool: ...  # whether all batches have one shape
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]: ...


@runtime_checkable
class Grouped(Protocol):
    """What the loop needs of a net: parameters by layer group, bottom to top."""

    def layer_groups(self) -> dict[str, list[nn.Parameter]]: ...


LossFn = Callable[[Any, Any, Any], tuple[Any, Any]]  # (net, batch, carry) → (Loss, carry)


@dataclass(frozen=True)
class Optim:
    """Numbers of the optimizer that stay fixed during a stage."""

    weight_decay: float  # decoupled; not on BatchNorm, nor on parameters called bias
    max_grad_norm: float | None = None


def fit(
    net: Any,
    loss_fn: LossFn,
    batches: Batches,
    phases: Sequence[Phase],
    *,
    optim: Optim,
    runtime: Runtime,
    log: Log,
    evaluate: Callable[[], dict[str, float]] | None = None,
    resume: ResumePoint | None = None,
    description: str = "training",
) -> None:
    """Train `net` in place through `phases`. Adam's moments start anew with each, as after fastai's `freeze_to`.

    `evaluate` is called after each epoch and at the end of a phase; what it returns is logged. With `resume`, training
    goes on where the saved state stands, and ends with the same bits as if it had not been interrupted; `OutOfTime`
    ends it, saved, when the runtime's minutes are over or it is asked to stop. `DivergedError` ends it when numbers go
    bad (`watch.py`); the last saved state stays as it was.
    """
    optimizer = build_optimizer(net, optim.weight_decay, runtime)
    runtime.reset_scaling()  # as in a new process that resumes this training
    runtime.diverge()
    here, carry = resume.load(net, optimizer, runtime) if resume else (Position(), None)
    watch = Watch(description or log.stage, runtime, log.say)
    # After a finished training the log holds what the next one wrote.
    if resume and here.phase < len(phases):
        log.rewind(here.records)
        watch.restore(here.watch)
    per_epoch = batches.steps_per_epoch
    totals = [phase.steps(per_epoch) for phase in phases]
    done = sum(totals[: here.phase]) + here.step

    def save(phase: int, step: int) -> None:
        assert resume
        watch.look()
        position = Position(phase, step, log.records(), watch.state())
        resume.save(net, optimizer, runtime, position, carry)

    work = partial(work_until, totals, [step_cost(net, phase.lrs) for phase in phases])
    kept = runtime.keeping_memory() if batches.steady else nullcontext()
    with kept, bar(description, total=sum(totals), unit="steps", done=done, work=work) as advance:
        for number in range(here.phase, len(phases)):
            phase, total = phases[number], totals[number]
            freeze(net, phase.lrs)
            step = here.step if number == here.phase else 0
            if step == 0:
                optimizer.state.clear()
            while step < total:
                epoch, start = divmod(step, per_epoch)
                seed_epoch = sum(math.ceil(t / per_epoch) for t in totals[:number]) + epoch
                carry = carry if start else None
                began = time.monotonic()
                if not start:
                    watch.smooth = Smooth()
                net.train()
                for batch in islice(batches.epoch(seed_epoch, start), total - step):
                    factor, momentum = phase.schedule(step / total)
                    set_rates(optimizer, [lr * factor for lr in phase.lrs], momentum)
                    buffers = [b.clone() for b in net.buffers()] if watch.skips else []
                    with runtime.autocast():
                        loss, after = loss_fn(net, runtime.move(batch), carry)
                    norm = runtime.step(loss.total, optimizer, net, optim.max_grad_norm)
                    if watch.undoes(loss.main):
                        for buffer, before in zip(net.buffers(), buffers, strict=True):
                            buffer.copy_(before)
                    else:
                        carry = after
                    step += 1
                    rate = max(phase.lrs) * factor
                    place = f"step {step} of phase {number + 1} (lr {rate:.1e})"
                    watch.add(loss.main, norm, place)
                    if watch.due():
                        watch.look()
                    log.step(
                        sum(totals[:number]) + step,
                        phase=number + 1,
                        step=step,
                        loss=loss.main,
                        lr=rate,
                        momentum=momentum,
                        grad_norm=norm,
                    )
                    shown = f"phase {number + 1}/{len(phases)} loss {watch.smooth.value:.3f}"
                    advance(1, shown)
                    # Never at the end of an epoch or phase: that is saved once it is evaluated.
                    if resume and step < total and step % per_epoch:
                        over = runtime.out_of_time()
                        if over or runtime.world.any(resume.due()):
                            save(number, step)
                        if over:
                            raise OutOfTime
                watch.look()
                metrics = evaluate() if evaluate else {}
                log.epoch(
                    sum(totals[:number]) + step,
                    phase=number + 1,
                    epoch=step / per_epoch,
                    train_loss=watch.smooth.value,
                    **metrics,
                    seconds=time.monotonic() - began,
                )
                watch.end_epoch(f"epoch {step / per_epoch:.3g} of phase {number + 1}")
                if resume:
                    save(*((number, step) if step < total else (number + 1, 0)))
                    if runtime.out_of_time() and (step < total or number + 1 < len(phases)):
                        raise OutOfTime
    freeze(net, [1.0] * len(net.layer_groups()))
    net.eval()


def evaluate_loss(net: Any, loss_fn: LossFn, batches: Batches, runtime: Runtime) -> float:
    """Mean `main` loss over one pass, every target counted once (perplexity = exp of it); dropout off.

    The runtime's processes share the rows; `loss_fn` gives the mean over its own.
    """
    net.eval()
    total, count, carry = 0.0, 0, None
    with torch.no_grad():
        for batch in batches.epoch(0):
            mine = runtime.move(batch)
            if not len(mine[0]):  # fewer rows than processes
                continue
            with runtime.autocast():
                loss, carry = loss_fn(net, mine, carry)
            total += float(loss.main) * loss.count
            count += loss.count
    return runtime.world.total(total) / max(1, runtime.world.total(count))


def build_optimizer(net: Any, weight_decay: float, runtime: Runtime) -> torch.optim.AdamW:
    """AdamW over all layer groups, each split into decayed and exempt parameters; rates are set at every step.

    Exempt are BatchNorm's parameters and those called bias. LSTM biases (`bias_ih_l0`, …) do decay, as in fastai.
    """
    exempt = {
        id(parameter)
        for module in net.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.BatchNorm1d) or name == "bias" or name.endswith("_bias")
    }
    groups = []
    for number, parameters in enumerate(net.layer_groups().values()):
        decayed = [p for p in parameters if id(p) not in exempt]
        rest = [p for p in parameters if id(p) in exempt]
        for members, decay in ((decayed, weight_decay), (rest, 0.0)):
            if members:
                groups.append({"params": members, "weight_decay": decay, "layer_group": number})
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.0, BETA2), eps=EPS, fused=runtime.fused)


def work_until(totals: Sequence[int], costs: Sequence[float], steps: int) -> float:
    """Cost of the first `steps` steps, in phases of `totals` steps at `costs` each."""
    work = 0.0
    for total, cost in zip(totals, costs, strict=True):
        work += min(steps, total) * cost
        steps -= min(steps, total)
    return work


def step_cost(net: Grouped, lrs: Sequence[float]) -> float:
    """Time of a step, in forward passes: one, and two for backward, shared among the LSTM layers by weights and counted for
    those that the gradient reaches (docs/log.md: measured 1, 1.6, 3.0 and 3.1 by phase, where this gives 1, 1.7, 3 and 3)."""
    groups = net.layer_groups()
    trained = {name for name, lr in zip(groups, lrs, strict=True) if lr > 0}
    sizes = {n: sum(p.numel() for p in groups[n]) for n in groups if n.startswith("lstm")}
    reached = list(dropwhile(lambda name: not trained & {name, "embedding"}, sizes))
    return 1 + 2 * sum(sizes[name] for name in reached) / max(1, sum(sizes.values()))


def set_rates(optimizer: torch.optim.Optimizer, lrs: Sequence[float], momentum: float) -> None:
    """Learning rate per layer group and β₁ for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lrs[group["layer_group"]]
        group["betas"] = (momentum, BETA2)


def freeze(net: Grouped, lrs: Sequence[float]) -> None:
    """Layer groups with rate 0.0 get no gradients. Their dropout stays on, as in fastai."""
    for parameters, lr in zip(net.layer_groups().values(), lrs, strict=True):
        for parameter in parameters:
            parameter.requires_grad_(lr > 0)
            parameter.grad = None
