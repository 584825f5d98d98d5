"""The values that metrics.jsonl recorded during training, as series over the updates of each stage."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from ulmfit.training.log import read_records

Series = dict[int, float]  # number of the update in the stage, from 1 → value


@dataclass(frozen=True)
class Curves:
    """The series of one stage by name. `planned`: lr of the top layer group, and momentum; `steps`: loss, lr and momentum of
    every tenth update; `epochs`: values measured at the end of an epoch."""

    planned: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    steps: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    epochs: dict[str, Series] = field(default_factory=lambda: defaultdict(dict))
    phases: tuple[int, ...] = ()  # updates after which a phase ended

    @property
    def done(self) -> int:
        """The last update recorded: all of them for a finished training, up to nine too few for an interrupted one."""
        series = (*self.steps.values(), *self.epochs.values())
        return max((update for values in series for update in values), default=0)


def read_curves(path: Path, stages: Mapping[str, Any]) -> dict[str, Curves]:
    """The stages of a run's record, in its order. If an update was recorded twice, by a resumed training, the last value counts."""
    found = {name: _planned(stage["phases"]) for name, stage in stages.items()}
    for record in read_records(path):
        stage = record.pop("stage")
        if stage not in found:
            continue
        kind, phase, curves = record.pop("kind"), record.pop("phase"), found[stage]
        before = (0, *curves.phases)[phase - 1]  # updates of the earlier phases
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
