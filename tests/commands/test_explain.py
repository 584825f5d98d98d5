"""`ulmfit explain`: text, JSON, picture; errors before the work."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from ulmfit.classifier import TextClassifier
from ulmfit.commands.explain import Explain, shown, style
from ulmfit.config import ClassifierConfig
from ulmfit.insight.explain import Explanation, Word, explain
from ulmfit.language_model import LanguageModel

FOUND = Explanation(
    "A <b>fine</b> film,\nnot bad",
    "good",
    0.9,
    "gradient",
    (
        Word("A", 0, 1, 0.01),
        Word("<b>fine</b>", 2, 13, 2.0),
        Word("film,", 14, 19, 0.5),
        Word("not", 20, 23, -1.0),
        Word("bad", 24, 27, 0.0),
    ),
)


@pytest.fixture
def model(lm: LanguageModel, tmp_path: Path) -> str:
    TextClassifier.create(lm, ["bad", "good"], ClassifierConfig()).save(tmp_path / "model")
    return str(tmp_path / "model")


def drawn(colours: bool) -> str:
    out = io.StringIO()
    kind = "truecolor" if colours else None
    Console(file=out, width=80, force_terminal=colours, color_system=kind).print(shown(FOUND, 3))
    return out.getvalue()


def test_without_colours_nothing_is_lost() -> None:
    lines = drawn(colours=False).splitlines()
    assert lines[0] == "good  0.900  (words weighed by gradient)"
    assert lines[2:4] == ["A <b>fine</b> film,", "not bad"]
    assert [line.split()[:2] for line in lines[5:8]] == [
        ["+2.00", "<b>fine</b>"],
        ["-1.00", "not"],
        ["+0.50", "film,"],
    ]
    assert [line.count("█") for line in lines[5:8]] == [24, 12, 6]
    assert "2 more" in lines[8]
    assert "\x1b" not in "".join(lines)


def test_colours_show_sign_and_size() -> None:
    coloured = drawn(colours=True)
    assert coloured.count("\x1b[30;48;2;") == 3  # A and bad weigh too little
    red, green, blue = (int(x) for x in style(1.0).split("(")[1].rstrip(")").split(","))
    assert green > red and green > blue  # for
    red, green, blue = (int(x) for x in style(-1.0).split("(")[1].rstrip(")").split(","))
    assert red > green > blue  # against
    assert style(0.0) == "black on rgb(255,255,255)"


def test_one_text(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, out = "the film and the plot", tmp_path / "new" / "why.svg"
    Explain(model, text=text, json=True, method="gradient", label="good", out=str(out)).run()
    found = json.loads(capsys.readouterr().out)
    classifier = TextClassifier.load(model)
    assert found == json.loads(
        json.dumps(asdict(explain(classifier, text, label="good", method="gradient")))
    )
    drawing = out.read_text(encoding="utf-8")
    ElementTree.fromstring(drawing)
    assert "film" in drawing and "url(https" not in drawing and "cdnjs" not in drawing


def test_a_file(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("text\nthe film\nthe plot again\n")
    Explain(model, str(table), json=True).run()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["the film", "the plot again"]
    Explain(model, str(table), top=1).run()
    assert capsys.readouterr().out.count("words weighed by occlusion") == 2


def test_half_a_character_is_drawn_as_a_question(model: str, tmp_path: Path) -> None:
    """As a terminal hands over bytes that are no UTF-8."""
    Explain(model, text="bad \udcff film", out=str(tmp_path / "a.svg")).run()
    ElementTree.parse(tmp_path / "a.svg")


def test_errors_come_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a file, or --text"):
        Explain("nosuch").run()
    with pytest.raises(ValueError, match="one text"):
        Explain("nosuch", "a.csv", out="a.svg").run()
    with pytest.raises(ValueError, match=r"\.svg"):
        Explain("nosuch", text="a", out="a.png").run()
    with pytest.raises(ValueError, match="--top must be 0 or more"):
        Explain("nosuch", text="a", top=-1).run()
