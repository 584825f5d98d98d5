"""`ulmfit report`: its fields are the flags, its docstring is the help."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import DIR


@dataclass(frozen=True)
class Report:
    """Write report.html into a run's directory: scores, curves, mistakes and settings on one page. `ulmfit fit` does so at its end."""

    run_directory: Positional[Annotated[str, DIR]]  # the directory that training had as --out

    def run(self) -> None:
        from ulmfit.insight.report import report

        print(report(self.run_directory))
