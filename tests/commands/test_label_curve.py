"""The verb measures, prints a table and sentences, and leaves figures and a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from ulmfit.cli import main
from ulmfit.insight import label_curve
from ulmfit.insight.label_curve import Point
from ulmfit.text.document import Document

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def told(
    reviews: list[Document], lm_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A command line on a small table; points follow a law instead of a training."""
    rows = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(rows).write_csv(tmp_path / "reviews.csv")

    def measure(models: Any, parts: Any, n: int, draw: int, *given: Any) -> Point:
        noise = np.random.default_rng([n, draw]).normal()
        return Point(n, draw, 0.9 - 1.5 * n**-0.7 + 0.003 * noise, 0.8 - n**-0.8, 1.0)

    monkeypatch.setattr(label_curve, "_measure", measure)
    files = [str(tmp_path / "reviews.csv"), "--out", str(tmp_path / "curve")]
    return ["label-curve", *files, "--pretrained", str(lm_directory), "--no-finetune"]


def test_a_table_sentences_figures_and_a_picture(
    told: list[str], tmp_path: Path, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    main([*told, "--sizes", "6", "12", "24", "48"])
    shown = capsys.readouterr()
    head, *lines = shown.out.splitlines()
    assert head.split() == ["labels", "draws", "ULMFiT", "TF-IDF", "+", "LR"]
    assert [line.split()[:2] for line in lines[:7]] == [
        *([str(n), "3"] for n in (6, 12, 24, 48)),
        *([str(n), "expected"] for n in (72, 96, 192)),
    ]
    assert "About 48 more labels (96 in all) would bring" in shown.out
    assert (tmp_path / "curve" / "curve.svg").read_text().rstrip().endswith("</svg>")
    kept = json.loads((tmp_path / "curve" / "label_curve.json").read_text())
    main([*told, "--sizes", "6", "12", "24", "48", "--json"])
    assert json.loads(capsys.readouterr().out) == kept
    assert (
        len(kept["label_curve"]["points"]) == 12 and kept["forecast"]["expected"][0]["labels"] == 72
    )


def test_without_matplotlib_there_are_figures(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    main([*told, "--sizes", "6", "12", "--draws", "1"])
    shown = capsys.readouterr()
    assert "no curve.svg: pictures need matplotlib" in shown.err
    assert "No forecast: a forecast needs 4 numbers of labels" in shown.out
    assert (tmp_path / "curve" / "label_curve.json").exists()


def test_a_budget_of_nothing_says_so(told: list[str], capsys: Captured) -> None:
    main([*told, "--sizes", "6", "--draws", "1", "--budget-minutes", "-1"])
    assert "No point was finished" in capsys.readouterr().out


def test_settings_of_a_run_are_taken_over(
    told: list[str], tmp_path: Path, capsys: Captured
) -> None:
    main([*told, "--sizes", "6", "--draws", "1", "--classifier.lr", "0.01"])
    record = str(tmp_path / "curve" / "config.json")
    main(
        [
            *told[:2],
            "--config",
            record,
            "--sizes",
            "6",
            "--draws",
            "1",
            "--out",
            f"{tmp_path}/again",
        ]
    )
    kept = (
        json.loads(Path(p).read_text())["config"]
        for p in (record, tmp_path / "again" / "config.json")
    )
    first, second = kept
    assert first == second and first["config"]["classifier"]["lr"] == 0.01
