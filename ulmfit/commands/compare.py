"""`ulmfit compare`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ulmfit.commands.flags import FILE, check_name, note


@dataclass(frozen=True)
class Compare:
    """Show runs side by side: scores with intervals, a paired test on the same texts, the settings that differ, and curves on a page."""

    # run directories; the first is compared with each of the others
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN RUN [RUN ...]")]]
    out: Annotated[str | None, FILE] = None  # page to write, with curves, such as compare.html
    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.insight.compare import compare

        if self.out is not None:
            check_name(self.out, ".html")
        comparison = compare(self.runs, out=self.out)
        print(json.dumps(asdict(comparison)) if self.json else comparison)
        if self.out is not None:
            note(f"written to {self.out}")
