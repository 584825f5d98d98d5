"""The tutorial as a notebook: made from the page, committed as it ran, and run here with tiny models and made-up reviews."""

import importlib.util
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny import TINY_FIT

import ulmfit
from ulmfit.demo import Reviews
from ulmfit.text.document import Document

DOCS = Path(__file__).parents[1] / "docs"
LARGEST = 100  # kilobytes of the committed notebook


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook", DOCS / "notebook.py")
    assert spec and spec.loader
    sys.modules["notebook"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))


def test_prose_and_python_become_cells_and_commands_stay_on_the_page(maker: ModuleType) -> None:
    page = "# Title\n\nWhy.\n\n    $ ulmfit fit\n      --help\n\n```\nout\n```\n\n```python\nx = 1\nx\n```\n\n"
    page += "<!-- page -->\nHere only.\n<!-- /page -->\n\nThe end.\n"
    told = [(cell.kind, cell.source) for cell in maker.cells(page)]
    prose, code = "markdown", "code"
    assert told == [
        (prose, "# Title\n\nWhy."),
        (prose, maker.ORIGIN),
        (code, "x = 1\nx"),
        (prose, "The end."),
    ]


def test_a_cell_shows_what_it_prints_and_its_last_value(maker: ModuleType) -> None:
    cells = [maker.Cell("code", s) for s in ("print('é\\n')\n(1,\n 2)", "print", "x = print(1)")]
    cells.append(maker.Cell("code", "None"))
    maker.run(cells)
    shown = [[o.get("text") or o["data"]["text/plain"] for o in cell.outputs] for cell in cells]
    assert shown == [[["é\n", "\n"], ["(1, 2)"]], [[repr(print)]], [["1\n"]], []]
    with pytest.raises(ZeroDivisionError):
        maker.run([maker.Cell("code", "1 / 0")])


def test_the_notebook_is_the_page(maker: ModuleType, committed: dict[str, Any]) -> None:
    cells = maker.cells((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in committed["cells"]]
    again = "the page has changed: run `python docs/notebook.py runs/tutorial`"
    assert found == [(cell.kind, cell.source) for cell in cells], again


def test_the_notebook_was_run_from_top_to_bottom(committed: dict[str, Any]) -> None:
    code = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert {o["output_type"] for c in code for o in c["outputs"]} == {"stream", "execute_result"}
    assert sum(bool(cell["outputs"]) for cell in code) >= len(code) - 2
    assert (DOCS / "tutorial.ipynb").stat().st_size <= LARGEST * 1024


@pytest.fixture
def small(
    reviews: list[Document], lm_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few short reviews in place of IMDB's, of which the cells' slices take what there is; what is trained is tiny."""
    many = [Document(f"{d.text} Number {i}.", d.label) for i in range(22) for d in reviews]
    cut = Reviews(many[:60], [Document(d.text) for d in many[60:120]], many[120:])
    monkeypatch.setattr("ulmfit.demo.load_reviews", lambda: cut)
    once = replace(TINY_FIT.classifier, batch_size=64, epochs=(1,), lr_divisors=(1.0,), min_steps=1)
    tiny = replace(TINY_FIT, pretrained=str(lm_directory), classifier=once)
    monkeypatch.setattr(ulmfit, "fit", partial(ulmfit.fit, config=tiny))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))  # for the server, a process of its own
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("small")
def test_the_notebooks_cells_run(maker: ModuleType) -> None:
    pytest.importorskip("onnxruntime")
    cells = maker.cells((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    code = [cell for cell in cells if cell.kind == "code"]
    maker.run(code)
    assert Path("runs/reviews/report.html").exists() and Path("exported/config.json").exists()
    assert sum(bool(cell.outputs) for cell in code) >= len(code) - 2
