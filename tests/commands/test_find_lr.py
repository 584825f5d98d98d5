"""Rates are suggested, shown, drawn, and printed as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import polars
import pytest

from ulmfit.cli import main
from ulmfit.config import ClassifierConfig
from ulmfit.text.document import Document
from ulmfit.training.lr_finder import LRCurve


@pytest.fixture
def table(reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Labelled texts; a range test is short."""
    monkeypatch.setattr("ulmfit.training.lr_finder.STEPS", 30)
    rows = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(rows).write_csv(tmp_path / "reviews.csv")
    return str(tmp_path / "reviews.csv")


@pytest.mark.parametrize("task", ["classifier", "lm"])
def test_find_lr_suggests_rates_and_draws_the_curve(
    task: str,
    table: str,
    lm_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "new" / "lr.svg"
    told = ["find-lr", table, "--task", task, "--lm", str(lm_directory)]
    main([*told, "--batch-size", "8", "--unfrozen", "--out", str(picture), "--device", "cpu"])
    shown = capsys.readouterr().out
    assert "valley" in shown and f"--{task}.lr " in shown and "•" in shown
    assert picture.read_text().rstrip().endswith("</svg>")


def test_find_lr_in_json_with_the_rate_as_the_flag_takes_it(
    table: str, lm_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["find-lr", table, "--lm", str(lm_directory), "--batch-size", "8", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["suggestions"].keys() == found["lr"].keys() == {"valley", "steep", "minimum"}
    scale = ClassifierConfig.batch_size / 8  # the flag is meant for a full batch
    assert found["lr"]["valley"] == pytest.approx(scale * found["suggestions"]["valley"])
    assert len(found["lrs"]) == len(found["losses"]) > 17


def test_find_lr_advises_nothing_where_the_loss_did_not_fall(
    table: str,
    lm_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    curve = LRCurve(tuple(np.geomspace(1e-7, 10, 79)), tuple(np.linspace(0.7236, 0.865, 79)))
    monkeypatch.setattr("ulmfit.training.lr_finder.find_lr", lambda *given, **told: curve)
    main(["find-lr", table, "--lm", str(lm_directory)])
    shown = capsys.readouterr()
    assert "loss did not fall at any rate; no suggestion can be trusted" in shown.err
    assert "•" in shown.out and "--classifier.lr" not in shown.out and "valley" not in shown.out


def test_find_lr_has_a_seed_but_no_limit_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["find-lr", "--help"])
    shown = capsys.readouterr().out
    assert "--seed" in shown and "--max-minutes" not in shown


def test_find_lr_leaves_texts_without_label_out_and_says_so(
    reviews: list[Document],
    table: str,
    lm_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, document in enumerate(reviews[:30]):
        file = tmp_path / "train" / ("pos", "neg", "unsup")[number % 3] / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document.text)
    main(["find-lr", str(tmp_path / "train"), "--lm", str(lm_directory), "--batch-size", "8"])
    shown = capsys.readouterr()
    assert "10 documents without a label are left out" in shown.err
    assert "20 documents" in shown.out


@pytest.mark.parametrize("out", ["", "lr.png", "lr"])
def test_find_lr_says_before_the_work_that_it_cannot_write(
    out: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("ulmfit.commands.flags.Sources.read", None)
    with pytest.raises(SystemExit, match=r"--out .*: expected a file's name that ends in \.svg"):
        main(["find-lr", table, "--out", str(tmp_path / out)])


def test_find_lr_says_before_the_work_that_it_cannot_draw(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("ulmfit.prepare_lm.start_lm", None)
    with pytest.raises(SystemExit, match="pip install matplotlib"):
        main(["find-lr", table, "--out", "lr.svg"])
