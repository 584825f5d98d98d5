"""Tables, sentences and pictures say what the points say, and no more."""

import re

import numpy as np
import pytest

from ulmfit.insight.curve_report import as_json, curve_picture, rows, sentences
from ulmfit.insight.label_curve import LabelCurve, Point

SIZES = (50, 100, 200, 400, 800)


def curve(rate: float, at_hand: int = 800, draws: int = 3) -> LabelCurve:
    """ULMFiT follows a law with a little noise; the baseline stays where it is."""
    noise = np.random.default_rng(0)
    points = [
        Point(n, draw, 0.9 - 2 * n**-rate + 0.002 * noise.normal(), 0.7, 1.0)
        for n in SIZES
        for draw in range(draws)
    ]
    return LabelCurve(points, at_hand, held_out=400)


def test_the_table_goes_on_where_the_law_does() -> None:
    table = rows(curve(0.7))
    assert [row["labels"] for row in table] == [
        "50",
        "100",
        "200",
        "400",
        "800",
        "1,200",
        "1,600",
        "3,200",
    ]
    assert table[0]["TF-IDF + LR"] == "70.0 ± 0.0" and table[-1]["TF-IDF + LR"] == "–"
    mean, low, high = (
        float(x) for x in table[-1]["ULMFiT"].strip(")").replace("–", "(").split("(")
    )
    assert low < mean < high and mean == pytest.approx(100 * (0.9 - 2 * 3200**-0.7), abs=0.5)


def test_the_words() -> None:
    told = sentences(curve(0.7))
    assert told[0].startswith("With 800 labels ULMFiT gets 87.") and "400 held-out texts" in told[0]
    assert told[2].startswith("About 800 more labels (1,600 in all) would bring 88.")
    assert "80% interval" in told[2]
    assert told[-1] == "Even 4 times the labels are not expected to bring one point more."
    found = re.search(
        r"with 800 labels is expected to take about (\d+) more", sentences(curve(0.5))[-1]
    )
    assert found and 220 <= int(found[1]) <= 350 and int(found[1]) % 10 == 0  # 285 by the law
    assert sentences(curve(0.7, at_hand=1_000))[-1].startswith("There are 1,000 labels")
    assert sentences(LabelCurve([], 800, 400, 3)) == [
        "No point was finished; give a larger budget."
    ]


def test_what_is_expected_counts_from_the_most_that_was_measured() -> None:
    whole = curve(0.7)
    lone = Point(1_300, 0, 0.88, 0.7, 1.0)  # a single draw is shown, and not fitted
    told = " ".join(sentences(LabelCurve([*whole.points, lone], 1_300, 400)))
    assert "With 1,300 labels" in told and "About 300 more labels (1,600 in all)" in told
    assert "1,200 in all" not in told


def test_no_forecast_is_said_with_its_reason() -> None:
    short = curve(0.7, draws=1)
    assert sentences(short)[1].startswith("No forecast: a forecast needs")
    assert [row["draws"] for row in rows(short)] == ["1"] * 5
    assert as_json(short)["forecast"]["refused"].startswith("a forecast needs")


def test_json_has_what_the_table_has() -> None:
    told = as_json(curve(0.7))
    assert [line["labels"] for line in told["forecast"]["expected"]] == [1200, 1600, 3200]
    assert told["forecast"]["ceiling"] == pytest.approx(0.9, abs=0.02)
    assert "does not rise" in told["baseline_forecast"]["refused"]
    assert len(told["label_curve"]["points"]) == 15


def test_the_picture_shows_both_and_what_is_expected() -> None:
    pytest.importorskip("matplotlib")
    picture = curve_picture(curve(0.7), "A title")
    for text in ("A title", "ULMFiT", "TF-IDF + LR", "400 held-out texts", "1,600"):
        assert text in picture
    assert picture == curve_picture(curve(0.7), "A title")
    assert picture.count("stroke-dasharray") > curve_picture(curve(0.7, draws=1), "").count(
        "stroke-dasharray"
    )
