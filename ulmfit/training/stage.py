"""One training, ready to start: all that the loop needs, as data that can be printed first."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ulmfit.files.checkpoint import load_into, load_json, save_json, save_tensors
from ulmfit.runtime import Runtime
from ulmfit.training.log import Log
from ulmfit.training.loop import Batches, LossFn, Optim, fit, step_cost
from ulmfit.training.phases import Phase, plan
from ulmfit.training.resume import ResumePoint
from ulmfit.world import ALONE, World

ESTIMATE_STEPS = 3  # timed, after one that warms up
DRAWN = 100  # steps of a phase at most whose rates are kept to be plotted


class WarmUp(NamedTuple):
    """What is done to a net once, before its first step; not in a resumed training."""

    name: str
    run: Callable[[Any], None]


@dataclass(frozen=True)
class Drawn:
    """Batches that were already drawn, as an epoch."""

    batches: list[Any]
    steady: bool

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        return iter(self.batches[start:])


@dataclass
class Stage:
    """Net, objective, data, phases and evaluation of one training."""

    name: str
    net: Any
    loss_fn: LossFn
    batches: Batches
    phases: list[Phase]
    optim: Optim
    evaluate: Callable[[], dict[str, float]] | None = None
    warm_up: WarmUp | None = None

    @property
    def groups(self) -> int:
        """Layer groups of the net, each with its own learning rate."""
        return len(self.net.layer_groups())

    def plan(self) -> str:
        """The phases as a table: a column per layer group with its peak learning rate."""
        rows = plan(self.phases, list(self.net.layer_groups()), self.batches.steps_per_epoch)
        first = f"\nfirst: {self.warm_up.name}" if self.warm_up else ""
        return f"{self.name}: {self.size()}{first}\n{as_table(rows)}"

    def facts(self) -> dict[str, Any]:
        """The plan as plain data. `rates`: the factor on the peak rate, and the momentum, of some of a phase's steps;
        `tokens`: read in all steps, without padding."""
        per_epoch = self.batches.steps_per_epoch
        phases = []
        for phase in self.phases:
            steps = phase.steps(per_epoch)
            drawn = range(0, steps, -(-steps // DRAWN))
            phases.append(
                {
                    "epochs": phase.epochs,
                    "steps": steps,
                    "lrs": phase.lrs,
                    "schedule": type(phase.schedule).__name__,
                    "rates": {step: phase.schedule(step / steps) for step in drawn},
                }
            )
        corpus = self.corpus
        return {
            "size": self.size(),
            "first": self.warm_up.name if self.warm_up else None,
            "groups": list(self.net.layer_groups()),
            "steps_per_epoch": per_epoch,
            "phases": phases,
            "tokens": round(corpus.n_tokens * self.steps() / per_epoch) if corpus else None,
        }

    def size(self) -> str:
        """Parameters and steps, for people."""
        parameters = sum(p.numel() for p in self.net.parameters())
        return f"{parameters / 1e6:.1f} M parameters, {self.steps():,} steps, {self.batches}"

    def estimate(self, runtime: Runtime) -> float:
        """Seconds of training, from a few steps of the last phase, timed on a throw-away copy; steps of other phases are
        scaled by `step_cost`. What is done once an epoch, to build its batches and to evaluate, is left out.

        Where batches differ in size, steps are weighted by their tokens, without padding.
        """
        twin, last = copy.deepcopy(self.net).to(runtime.device), self.phases[-1]
        # drawn before the clock runs: the first one waits until a whole epoch is put together
        first, *rest = islice(self.batches.epoch(0), 1 + ESTIMATE_STEPS)
        timed = rest or [first]  # an epoch of one step

        def measure(drawn: list[Any]) -> float:
            """Seconds of training on these batches. `fit` ends with a look at the loss, which waits for a GPU."""
            began = time.monotonic()
            fit(
                twin,
                self.loss_fn,
                Drawn(drawn, self.batches.steady),
                [Phase(1.0, last.lrs, last.schedule)],
                optim=self.optim,
                runtime=runtime,
                log=Log("probe"),
                description="",
            )
            return time.monotonic() - began

        measure([first])  # warms up
        per_epoch, corpus = self.batches.steps_per_epoch, self.corpus
        work = sum(p.steps(per_epoch) * step_cost(self.net, p.lrs) for p in self.phases)
        epochs = work / step_cost(self.net, last.lrs) / per_epoch
        share = len(timed) / per_epoch
        if corpus and not self.batches.steady:
            share = sum(int(batch.lengths.sum()) for batch in timed) / corpus.n_tokens
        return measure(timed) / share * epochs

    @property
    def corpus(self) -> Any:
        """The corpus that is read; batches made by hand may have none."""
        return getattr(self.batches, "corpus", None)

    def steps(self) -> int:
        """Optimizer updates of all phases."""
        return sum(phase.steps(self.batches.steps_per_epoch) for phase in self.phases)

    def train(
        self, runtime: Runtime, log: Log | None = None, resume: ResumePoint | None = None
    ) -> None:
        """Run the phases; an interrupted training goes on where `resume` stands. Without a log nothing is shown or written."""
        if self.warm_up and runtime.world.first and not (resume and resume.exists()):
            self.warm_up.run(self.net)
        self.warm_up = None  # the next call goes on from here
        self.net.to(runtime.device)
        runtime.world.from_first(self.net.state_dict().values())
        fit(
            self.net,
            self.loss_fn,
            self.batches,
            self.phases,
            optim=self.optim,
            runtime=runtime,
            log=log or Log(self.name),
            evaluate=self.evaluate,
            resume=resume,
            description=self.name,
        )


class KeepBest:
    """An `evaluate` that also remembers the weights of the best epoch by one metric, on disk, across restarts."""

    def __init__(
        self,
        stage: Stage,
        metric: str,
        directory: Path,
        *,
        lowest: bool = False,
        world: World = ALONE,
    ) -> None:
        """`lowest`: the metric is an error. The first process of `world` writes; all have the same weights and metrics."""
        if stage.evaluate is None:
            raise ValueError("keeping the best epoch needs a validation set")
        self._lowest, self._world = lowest, world
        self._net, self._evaluate, self._metric, self._directory = (
            stage.net,
            stage.evaluate,
            metric,
            directory,
        )

    def __call__(self) -> dict[str, float]:
        metrics = self._evaluate()
        if not self._world.first:
            return metrics
        record = self._directory / "best.json"
        value = metrics[self._metric]
        best = load_json(record)[self._metric] if record.exists() else None
        if best is None or math.isnan(best) or (value < best if self._lowest else value > best):
            save_tensors(self._directory / "best.safetensors", self._net.state_dict())
            save_json(record, metrics)
        return metrics

    def restore(self) -> dict[str, float]:
        """Put the best weights back; gives that epoch's metrics."""
        with self._world.in_turn():  # after the first process, which has written
            load_into(self._net, self._directory / "best.safetensors")
            return load_json(self._directory / "best.json")


def as_table(rows: Sequence[dict[str, str]]) -> str:
    """Rows of equal keys as aligned text."""
    columns = list(rows[0])
    widths = [max(len(c), *(len(row[c]) for row in rows)) for c in columns]
    lines = [columns, *([row[c] for c in columns] for row in rows)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
