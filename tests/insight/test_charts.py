"""Charts inside a page: its colours, its letters, ids of their own."""

import re
from xml.etree import ElementTree

import pytest

from ulmfit.insight.charts import compared_charts, inline, reliability_chart, stage_charts
from ulmfit.insight.curves import Curves
from ulmfit.insight.scores import Bin, wilson

pytest.importorskip("matplotlib")


def curves(epochs: int) -> Curves:
    loss = {10 * i: 5.0 / i for i in range(1, 9)}
    planned = {"lr": {1: 0.1, 40: 1.0}, "momentum": {1: 0.8, 40: 0.7}}
    measured = {20 * i: 0.5 + 0.1 * i for i in range(1, epochs + 1)}
    return Curves(planned, {"loss": loss}, {"valid_accuracy": measured}, (40, 80))


def test_what_was_measured_twice_gets_a_chart() -> None:
    assert len(stage_charts("a", curves(1), "s0")) == 3
    captions = [caption for caption, _ in stage_charts("a", curves(3), "s0")]
    assert captions[:2] == ["Loss (nats)", "Accuracy on the validation set"]
    assert ["rate" in captions[2], "Momentum" in captions[3]] == [True, True]


def test_charts_of_one_page_share_no_ids_and_refer_to_their_own() -> None:
    svgs = [svg for number in (0, 1) for _, svg in stage_charts("a", curves(3), f"s{number}")]
    svgs.append(reliability_chart([Bin(7, 0.85, wilson(6, 7))], "six of seven"))
    seen = set[str]()
    for svg in svgs:
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        assert ids and not ids & seen
        seen |= ids
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {
            pair for i in ids for pair in ((i, ""), ("", i))
        }
        ElementTree.fromstring(svg)


def test_colours_are_the_pages_and_words_say_what_is_seen() -> None:
    (_, svg), *_ = stage_charts('a "b" <c>', curves(1), "s0")
    assert "var(--accent)" in svg and not re.search(r"#[0-9a-f]{6}\b", svg)
    assert 'role="img" aria-label="a &quot;b&quot; &lt;c&gt;: Loss' in svg
    assert "<style" not in svg and "<metadata" not in svg
    assert not re.search(r"<svg[^>]* (width|height)=", svg)  # as wide as its place


def test_inline_keeps_the_drawing() -> None:
    svg = '<?xml?><svg width="9" viewBox="0 0 9 9"><style>*{}</style><path id="p" style="fill: #1f6feb"/></svg>'
    assert inline(svg, "x", "y").endswith('<path id="x-p" style="fill: var(--accent)"/></svg>')


def test_several_runs_share_a_chart_and_each_has_its_line_and_name() -> None:
    runs = {
        f"run {i} <b> $x_$": curves(epochs)
        for i, epochs in enumerate((3, 1, 0, 3, 3, 3, 3, 3, 3, 3))
    }
    found = dict(compared_charts("a", runs, "s0"))
    assert list(found) == ["Training loss, smoothed (nats)", "Accuracy on the validation set"]
    loss, accuracy = found.values()
    for name in runs:
        assert f"{name.split(' <')[0]} &lt;b&gt;" in loss
    assert "run 2" not in accuracy and "run 1" in accuracy  # the third measured nothing
    assert "<b>" not in loss + accuracy
    for svg in found.values():
        ElementTree.fromstring(svg)
    assert compared_charts("a", {"one": curves(0), "two": Curves()}, "s0")[0][0].startswith(
        "Training"
    )
    assert compared_charts("a", {"one": Curves()}, "s0") == []
