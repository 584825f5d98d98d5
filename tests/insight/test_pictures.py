"""Pictures stand alone, can be read by day and by night, and are the same each time."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ulmfit.insight import pictures
from ulmfit.training.lr_finder import LRCurve


@pytest.fixture
def curve(goldens: Path) -> LRCurve:
    recorded = json.loads((goldens / "lr_find.json").read_text())
    return LRCurve(tuple(recorded["lrs"]), tuple(recorded["losses"]))


def test_a_picture_stands_alone_and_names_what_it_shows(curve: LRCurve) -> None:
    pytest.importorskip("matplotlib")
    svg = pictures.lr_picture(curve, "Learning rates: a < b")
    tree = ElementTree.fromstring(svg)
    texts = " | ".join("".join(e.itertext()) for e in tree.iter() if e.tag.endswith("}text"))
    for shown in (
        "Learning rates: a < b",
        "learning rate (log",
        "loss, smoothed",
        "valley 2.8e-04",
    ):
        assert shown in texts
    assert not [e for e in tree.iter() if e.tag.split("}")[1] in ("script", "image", "font")]
    references = [v for e in tree.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert references and all(r.startswith("#") for r in references)  # nothing is fetched
    assert "url(http" not in svg and "@import" not in svg
    assert svg == pictures.lr_picture(curve, "Learning rates: a < b")


def test_every_colour_drawn_has_a_twin_for_dark_pages(curve: LRCurve) -> None:
    pytest.importorskip("matplotlib")
    drawn = pictures.lr_picture(curve, "x").split("</style>", 1)[1]
    for light in pictures.DARK:
        assert f": {light}" in drawn, light
        drawn = drawn.replace(light, "")
    styles = [
        e.get("style", "") for e in ElementTree.fromstring(f"<svg xmlns:xlink='x'>{drawn}").iter()
    ]
    assert not [s for s in styles if "#" in s.replace("url(#", "")]
    assert set(pictures.DARK.values()) <= set(
        pictures.lr_picture(curve, "x").replace("!", ":").split(":")
    )


def test_the_chart_fits_a_terminal_and_marks_the_valley(curve: LRCurve) -> None:
    lines = pictures.lr_chart(curve).splitlines()
    assert max(map(len, lines)) <= 80
    *plot, axis, decades, mark = lines
    columns = [max((i for i, c in enumerate(line) if c == "•"), default=0) for line in plot]
    assert len(plot) == 10 and max(columns) < len(axis)
    assert "1e-4" in decades and mark.strip() == "▲ valley"
    # 2.8e-4 lies between 1e-4 and 1e-2, nearer to the first
    assert decades.index("1e-4") < mark.index("▲") < decades.index("1e-2")


def test_a_loss_that_did_not_fall_is_shown_and_nothing_is_marked(curve: LRCurve) -> None:
    rising = LRCurve(curve.lrs[:79], tuple(0.7236 + 0.0018 * i for i in range(79)))
    chart = pictures.lr_chart(rising)
    assert sum("•" in line for line in chart.splitlines()) >= 8  # not one corner of it
    assert "▲" not in chart
    pytest.importorskip("matplotlib")
    svg = pictures.lr_picture(rising, "x")
    assert pictures.MARK not in svg.split("</style>", 1)[1]


def test_a_suggestion_beside_the_curve_is_not_drawn(curve: LRCurve) -> None:
    """A tenth of the best rate may lie below all rates shown."""
    pytest.importorskip("matplotlib")
    losses = [1 + abs(i - 18) / 100 for i in range(len(curve.lrs))]
    early = LRCurve(curve.lrs, tuple(losses))
    assert early.fell() and early.suggestions()["minimum"] < early.shown()[0][0]
    svg = pictures.lr_picture(early, "x")
    assert "valley" in svg and "minimum" not in svg


def test_without_matplotlib_the_extra_is_named(
    curve: LRCurve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        pictures.lr_picture(curve, "x")
    assert pictures.lr_chart(curve)
