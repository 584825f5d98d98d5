"""docs/tutorial.md → docs/tutorial.ipynb: the page's prose and Python as cells, run here from top to bottom.

    python docs/notebook.py runs/tutorial     # a new directory to work in; minutes

The page is the one source. Its commands, what they print, and what stands between `<!-- page -->` and `<!-- /page -->` are
the page's alone. A cell shows what Jupyter would: what was printed, and the value of its last line. Jupyter is not
needed.
"""

import ast
import code
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

PAGE = Path(__file__).resolve().with_name("tutorial.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
ORIGIN = "Made from [tutorial.md](tutorial.md), where each step is also a command, by `python docs/notebook.py`."
PAGE_ONLY = re.compile(r"^<!-- page -->\n.*?^<!-- /page -->\n", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^ {4}.*\n", re.MULTILINE)  # indented lines


@dataclass
class Cell:
    """A cell of the notebook; prose has no outputs."""

    kind: Literal["markdown", "code"]
    source: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    count: int | None = None  # of code that was run: which one it was


def cells(page: str) -> list[Cell]:
    """The notebook that a page becomes, not yet run."""
    found: list[Cell] = []
    for language, text in pieces(PAGE_ONLY.sub("", page)):
        if language == "python":
            found.append(Cell("code", text.strip()))
        elif language == "prose":
            prose = re.sub(r"\n{3,}", "\n\n", COMMANDS.sub("", text)).strip()
            found += [Cell("markdown", prose)] if prose else []
    return [*found[:1], Cell("markdown", ORIGIN), *found[1:]]


def pieces(page: str) -> Iterator[tuple[str, str]]:
    """(language, content) of the fenced blocks, ("prose", text) of what stands between them."""
    end = 0
    for block in FENCE.finditer(page):
        yield "prose", page[end : block.start()]
        yield block[1], block[2]
        end = block.end()
    yield "prose", page[end:]


class Session(code.InteractiveInterpreter):
    """One namespace for all cells; the first error ends it."""

    def showtraceback(self) -> None:
        raise  # the error that `runcode` has just caught


def run(cells_of_code: Sequence[Cell]) -> None:
    """Run the cells one after the other, and fill in what they show."""
    session = Session({"__name__": "__main__"})
    for number, cell in enumerate(cells_of_code, 1):
        print(f"cell {number} of {len(cells_of_code)}", file=sys.stderr, flush=True)
        cell.count, printed = number, io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = execute(cell.source, session, f"cell {number}")
        if text := printed.getvalue():
            cell.outputs.append({"output_type": "stream", "name": "stdout", "text": lines(text)})
        if value is not None:
            shown = {"data": {"text/plain": lines(repr(value))}, "metadata": {}}
            result = {"output_type": "execute_result", "execution_count": number}
            cell.outputs.append(result | shown)


def execute(source: str, session: Session, name: str) -> Any:
    """The value of the last line, if that is an expression."""
    *body, last = ast.parse(source).body
    values: list[Any] = []
    if not isinstance(last, ast.Expr):
        body.append(last)
    session.runcode(compile(ast.Module(body, []), name, "exec"))
    if isinstance(last, ast.Expr):
        sys.displayhook = values.append  # is given what Python would show
        try:
            session.runcode(compile(ast.Interactive([last]), name, "single"))
        finally:
            sys.displayhook = sys.__displayhook__
    return values[0] if values else None


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def notebook(found: Sequence[Cell]) -> dict[str, Any]:
    """As nbformat 4.4 wants it."""
    written = []
    for cell in found:
        told: dict[str, Any] = {
            "cell_type": cell.kind,
            "metadata": {},
            "source": lines(cell.source),
        }
        if cell.kind == "code":
            told |= {"execution_count": cell.count, "outputs": cell.outputs}
        written.append(told)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    found = cells(PAGE.read_text(encoding="utf-8"))
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)  # an error where it is there: its files would be read
    os.chdir(folder)
    run([cell for cell in found if cell.kind == "code"])
    text = json.dumps(notebook(found), indent=1, ensure_ascii=False) + "\n"
    NOTEBOOK.write_text(text, encoding="utf-8")
    print(f"{NOTEBOOK}: {len(found)} cells, {len(text) / 1024:.0f} kB")


if __name__ == "__main__":
    main()
