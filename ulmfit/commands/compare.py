"""The verb that puts runs beside each other: a dataclass; its fields are the flags, its docstring is the help."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ulmfit.commands.flags import FILE, check_name, note


@dataclass(frozen=True)
class Compare:
    """Show runs side by side: scores with intervals, a paired test on the same texts, the settings that differ, curves as a page."""

    # run directories; the others are compared with the first
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN RUN [RUN ...]")]]
    out: Annotated[str | None, FILE] = None  # page to write, with the curves, as compare.html
    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.insight.compare import compare

        if self.out is not None:
            check_name(self.out, ".html")
        found = compare(self.runs, out=self.out)
        print(json.dumps(asdict(found)) if self.json else found)
        if self.out is not None:
            note(f"written to {self.out}")
