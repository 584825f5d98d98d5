"""What metrics.jsonl recorded while a run trained, as series over the updates of each stage."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from ulmfit.training.log import read_records

Series = dict[int, float]  # update of the whole stage, from 1 → value


@dataclass(frozen=True)
class Curves:
    """One stage. `planned`: lr of the top layer group, and momentum; `steps`: loss, lr, momentum of every tenth update;
    `epochs`: what was measured at an epoch's end."""

    planned: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    steps: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    epochs: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    phases: tuple[int, ...] = ()  # updates after which a phase ended

    @property
    def done(self) -> int:
        """The last update recorded: up to nine fewer than were done where a training was stopped, all behind its end."""
        series = (*self.steps.values(), *self.epochs.values())
        return max((update for values in series for update in values), default=0)


def read_curves(path: Path, stages: Mapping[str, Any]) -> dict[str, Curves]:
    """The stages of a run's record, in its order. Of an update recorded twice – a training that was resumed – the last counts."""
    found = {name: _planned(stage["phases"]) for name, stage in stages.items()}
    for record in read_records(path):
        stage = record.pop("stage")
        if stage not in found:
            continue
        kind, phase, curves = record.pop("kind"), record.pop("phase"), found[stage]
        before = (0, *curves.phases)[phase - 1]
        if kind == "step":
            update, into = before + record.pop("step"), curves.steps
        else:
            step = round(record.pop("epoch") * stages[stage]["steps_per_epoch"])
            update, into = before + step, curves.epochs
        for name, value in record.items():
            into[name][update] = value
    return found


def _planned(phases: Sequence[Mapping[str, Any]]) -> Curves:
    curves = Curves(phases=tuple(accumulate(phase["steps"] for phase in phases)))
    for before, phase in zip((0, *curves.phases), phases, strict=False):
        for step, (share, momentum) in phase["rates"].items():  # JSON's keys are strings
            update = before + int(step) + 1
            curves.planned["lr"][update] = share * phase["lrs"][-1]
            curves.planned["momentum"][update] = momentum
    return curves
