"""`ulmfit explain`: its fields are the flags, its docstring is the help."""

import json
import re
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional

from ulmfit.commands.flags import (
    FILE,
    MODEL,
    NAME,
    TEXT,
    Flat,
    Machine,
    Sources,
    check_name,
    given,
    note,
)
from ulmfit.commands.use import one_of

if TYPE_CHECKING:
    from ulmfit.insight.explain import Explanation

FOR, AGAINST = (46, 125, 50), (198, 80, 20)  # background of the words, at full weight
PALE = 0.12  # words of less than this share of the largest weight stay white
BAR = 24  # characters of the longest bar
WIDTH = 100  # of a picture, in characters


@dataclass(frozen=True)
class Explain:
    """Show which words of a text speak for its label, and which against it."""

    # run or classifier directory, or an installed model's name
    model: Positional[Annotated[str, MODEL]]
    data: Positional[Annotated[str | None, FILE]] = None  # texts; each is explained
    text: Annotated[str | None, TEXT] = None  # one text instead of a file
    label: Annotated[str | None, NAME] = None  # label to explain; left out: the predicted one
    # occlusion: reads the text once per word; gradient: less exact, but costs about thirty readings however long the text is
    method: Literal["occlusion", "gradient"] = "occlusion"
    top: int = 10  # words listed below the text
    out: Annotated[str | None, FILE] = None  # picture to write (SVG); only with --text
    json: bool = False  # print JSON lines
    columns: Annotated[Sources, Flat] = Sources()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from rich.console import Console

        from ulmfit.files.checkpoint import atomic
        from ulmfit.insight.explain import explain
        from ulmfit.saved import load_classifier

        one_of(self.data, self.text, "a file", given(self.columns))
        self.columns.check(self.data)
        if self.top < 0:
            raise ValueError(f"--top must be 0 or more, not {self.top}")
        if self.out is not None:
            check_picture(self.out, self.text)
        classifier, runtime = load_classifier(self.model), self.machine.start()
        if self.text is None:
            texts = [d.text for d in self.columns.read(self.data, labelled=False, use="test")]
        else:
            texts = [self.text]
        for number, text in enumerate(texts):
            explanation = explain(
                classifier, text, label=self.label, method=self.method, runtime=runtime
            )
            if self.out is not None:
                svg = picture(explanation, self.top).encode(errors="replace")  # lone surrogates
                with atomic(Path(self.out)) as temporary:
                    temporary.write_bytes(svg)
                note(f"saved in {self.out}")
            if self.json:
                print(json.dumps(asdict(explanation), ensure_ascii=False), flush=True)
            else:
                Console(highlight=False).print(
                    *([""] if number else []), shown(explanation, self.top), sep="\n"
                )


def check_picture(out: str, text: str | None) -> None:
    """ValueError, before the work, if no picture can be written."""
    if text is None:
        raise ValueError("--out writes a picture of one text; give it with --text")
    check_name(out, ".svg")


def shown(explanation: "Explanation", top: int) -> Any:
    """Label, text with its words coloured, and the words of largest weight with bars, as rich's `Text`.

    Colours repeat what the list says in signs and numbers, so nothing is lost without them.
    """
    from rich.text import Text

    largest = max((abs(word.weight) for word in explanation.words), default=0.0) or 1.0
    body = Text(explanation.text)
    for word in explanation.words:
        if abs(word.weight) >= PALE * largest:
            body.stylize(style(word.weight / largest), word.start, word.end)
    head = f"{explanation.label}  {explanation.probability:.3f}  (words weighed by {explanation.method})"
    lines = [Text(head, style="bold"), Text(), body, Text()]
    words = explanation.top(top)
    width = max((len(word.text) for word in words), default=0)
    for word in words:
        bar = Text("█" * max(1, round(BAR * abs(word.weight) / largest)))
        bar.stylize("rgb({},{},{})".format(*(FOR if word.weight > 0 else AGAINST)))
        lines.append(Text.assemble(f"{word.weight:+7.2f}  {word.text:{width}}  ", bar))
    if left := len(explanation.words) - len(words):
        lines.append(
            Text(f"         and {left} more; log-odds, + for {explanation.label}, − against")
        )
    return Text("\n").join(lines)


def style(share: float) -> str:
    """Black on a background between white and the full colour, for a weight of −1 to 1."""
    full = FOR if share > 0 else AGAINST
    mixed = [round(255 + (channel - 255) * 0.75 * abs(share)) for channel in full]
    return "black on rgb({},{},{})".format(*mixed)


def picture(explanation: "Explanation", top: int) -> str:
    """The same as SVG, without the fonts that rich would fetch from the net."""
    from rich.console import Console

    console = Console(
        record=True, file=StringIO(), width=WIDTH, force_terminal=True, highlight=False
    )
    console.print(shown(explanation, top))
    drawn = console.export_svg(title="ulmfit explain", unique_id="ulmfit")
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
