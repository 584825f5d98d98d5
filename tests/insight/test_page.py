"""How figures are written for people."""

import re

from ulmfit.insight import page
from ulmfit.insight.charts import VARIABLES


def test_figures() -> None:
    assert page.percent(0.8314) == "83.1\u202f%" and page.percent(None) == "–"
    assert page.points(-0.012) == "−1.2" and page.points(0.012) == "+1.2"
    assert [page.rate(lr) for lr in (0.05, 0.0)] == ["5.0e-2", "frozen"]
    assert [page.duration(s) for s in (4.26, 75, 3_725)] == ["4.3 s", "1:15 min", "1:02:05 h"]
    assert [page.size(n) for n in (None, 5 << 20, 3 << 29)] == ["–", "5 MiB", "1.5 GiB"]
    assert [page.figure(x) for x in (None, 0.18831, 12_345.6)] == ["–", "0.1883", "12,346"]


def test_commands_are_set_as_code_and_all_else_is_escaped() -> None:
    assert str(page.code("a <b> `c <d>`")) == "a &lt;b&gt; <code>c &lt;d&gt;</code>"


def test_every_colour_has_a_twin_by_night_and_the_days_on_paper() -> None:
    style = (page.HERE / "page.css").read_text(encoding="utf-8")
    day, night, paper = (
        dict(re.findall(r"--([\w-]+): ([^;]+);", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    assert day == paper and day.keys() == night.keys() >= set(VARIABLES.values())
    assert all(day[name] != night[name] for name in day)
    used = set(re.findall(r"var\(--([\w-]+)\)", style)) - {"w"}
    assert used <= day.keys()
