"""Each kind of label from a table to a saved classifier and back, by the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import ulmfit
from ulmfit.cli import main
from ulmfit.ensemble import Ensemble
from ulmfit.text.document import Document

TINY = [
    *("--no-finetune", "--classifier.bptt", "30", "--classifier.batch-size", "8"),
    *("--classifier.min-steps", "4", "--classifier.lr", "0.2", "--classifier.lr-divisors"),
    *("1", "1", "1", "1", "--classifier.epochs", "1", "1", "1", "15", "--device", "cpu"),
    *("--classifier.dropout-scale", "0", "--classifier.weight-decay", "0"),
    *("--classifier.lr-decay", "1", "--classifier.head-only-below", "0"),
]
TABLES: dict[str, Callable[[bool, bool], object]] = {
    "multi": lambda good, film: "|".join(["good"] * good + ["film"] * film),
    "number": lambda good, film: f"{1 + 8 * good + film}",
}


@pytest.fixture
def table(reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All kinds of label as columns: good or not, and whether it is about the film."""
    monkeypatch.chdir(tmp_path)
    texts = [d.text for d in reviews]
    facts = [(d.label == "good", "film" in d.text) for d in reviews]
    frame = pl.DataFrame({"text": texts})
    for name, label in TABLES.items():
        frame = frame.with_columns(pl.Series(name, [label(*fact) for fact in facts]))
    frame[:48].write_csv("train.csv")
    frame[48:].write_csv("test.csv")
    return tmp_path


def fit(kind: str, lm: Path, *more: str) -> None:
    columns = ["--label-column", kind, "--label-kind", kind]
    columns += ["--label-separator", "|"] if kind == "multi" else []
    main(["fit", "train.csv", "--test", "test.csv", "--out", "run", "--pretrained", str(lm), *columns, *TINY, *more])  # fmt: skip


@pytest.mark.usefixtures("table")
def test_several_labels(lm_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit("multi", lm_directory, "--directions", "both", "--classifier.class-weight", "balanced", "--classifier.label-smoothing", "0.05")  # fmt: skip
    said = capsys.readouterr().err
    assert "any of 2 labels per text" in said and "valid micro f1" in said
    assert "rows are empty: texts to which no label applies" in said
    record = json.loads(Path("run/config.json").read_text())
    results = record["results"]["test"]
    assert results.keys() == {"micro_f1", "macro_f1", "average_precision", "documents"}
    assert results["micro_f1"] > 0.7
    saved = json.loads(Path("run/forward/classifier/config.json").read_text())
    assert (saved["label_kind"], saved["labels"]) == ("multi", ["film", "good"])
    model = ulmfit.load("run")
    assert isinstance(model, Ensemble)
    prediction = model.predict("The film was superb.")
    assert prediction.probabilities.keys() == {"film", "good"}
    main(["evaluate", "run", "test.csv", "--label-column", "multi", "--label-separator", "|", "--json"])  # fmt: skip
    assert json.loads(capsys.readouterr().out) == pytest.approx(results)
    main(["predict", "run", "test.csv", "--text-column", "text", "--out", "scored.csv"])
    main(["predict", "run", "test.csv", "--text-column", "text", "--out", "scored.jsonl"])
    rows = [json.loads(line) for line in Path("scored.jsonl").read_text().splitlines()]
    flat = pl.read_csv("scored.csv").fill_null("")
    assert flat["prediction"].to_list() == ["|".join(row["prediction"]) for row in rows]
    for row in rows:
        assert row["prediction"] == [n for n in ("film", "good") if row[f"probability_{n}"] >= 0.5]
    with pytest.raises(SystemExit, match=r"single values such as .* --label-separator"):
        main(["evaluate", "run", "test.csv", "--label-column", "multi"])
    main(["predict", "run", "--text", "The film was superb."])
    assert capsys.readouterr().out.strip() == prediction.line()


@pytest.mark.usefixtures("table")
def test_numbers(lm_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit("number", lm_directory, "--classifier.y-range", "0", "11")
    said = capsys.readouterr().err
    assert "a number per text, from 0 to 11" in said and "valid rmse" in said
    results = json.loads(Path("run/config.json").read_text())["results"]["test"]
    assert results.keys() == {"mae", "rmse", "r2", "documents"} and results["r2"] > 0.5
    model = ulmfit.load("run")
    assert 0 < model.predict("The film was superb.").value < 11 and model.labels == ()
    main(["evaluate", "run", "test.csv", "--label-column", "number", "--json"])  # reads numbers
    assert json.loads(capsys.readouterr().out) == pytest.approx(results)
    main(["predict", "run", "test.csv", "--text-column", "text", "--out", "scored.csv"])
    scored = pl.read_csv("scored.csv")
    assert scored.columns[-1] == "prediction" and scored["prediction"].dtype == pl.Float64
    with pytest.raises(SystemExit, match="'good'; expected finite numbers"):
        main(["evaluate", "run", "test.csv", "--label-column", "multi", "--on-bad", "skip"])


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("kind", TABLES)
def test_a_dry_run_says_what_would_be_learnt(
    kind: str, lm_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(kind, lm_directory, "--dry-run")
    said = capsys.readouterr().err
    assert "per text" in said and "training would take" in said
    assert not Path("run").exists()


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--classifier.y-range", "2", "8"), "labels lie outside of y_range 2 to 8"),
        (("--classifier.class-weight", "balanced"), "class_weight balanced does not apply"),
        (("--label-kind", "single", "--classifier.y-range", "0", "9"), "y_range .* does not apply"),
        (("--label-kind", "multi"), "single values such as"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    flags: tuple[str, ...], complaint: str, lm_directory: Path
) -> None:
    with pytest.raises(SystemExit, match=complaint):
        fit("number", lm_directory, *flags)
    assert not Path("run").exists()
