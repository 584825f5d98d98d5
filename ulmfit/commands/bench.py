"""`ulmfit bench`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass
from typing import Annotated

from ulmfit.commands.flags import Flat, Machine, note


@dataclass(frozen=True)
class Bench:
    """Measure how fast training and prediction are on this machine: a minute with the shipped model."""

    seconds: float = 5.0  # least duration of each measurement
    json: bool = False  # print JSON
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.bench import figures

        if self.seconds < 0:
            raise ValueError(f"--seconds is {self.seconds:g}; give 0 or more")
        runtime = self.machine.start(training=True)
        note(runtime.describe())
        rows = []
        for figure in figures(runtime, self.seconds):
            rows.append(row := figure.row())
            if not self.json:
                typical, low, high = (shown(row[name]) for name in ("median", "low", "high"))
                spread = f"({low} to {high})"
                print(f"{figure.name:42} {typical:>10} {figure.unit:12} {spread}", flush=True)
        if self.json:
            print(json.dumps({"machine": runtime.describe(), "figures": rows}))


def shown(number: float) -> str:
    """Three significant digits, or all digits before the decimal point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
