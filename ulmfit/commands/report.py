"""The verb that writes a run's report: a dataclass; its fields are the flags, its docstring is the help."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import DIR


@dataclass(frozen=True)
class Report:
    """Write report.html into a run's directory: scores, curves, mistakes, settings on one page. `ulmfit fit` ends with it."""

    run_directory: Positional[Annotated[str, DIR]]  # what --out named in training

    def run(self) -> None:
        from ulmfit.insight.report import report

        print(report(self.run_directory))
