"""The verb ranks rows of a table, and writes them with rank and reason."""

import io
import json
from pathlib import Path

import polars
import pytest
from tiny import TINY_FIT

from ulmfit.classifier import TextClassifier
from ulmfit.cli import main
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(lm: LanguageModel, tmp_path: Path) -> str:
    TextClassifier.create(lm, ["bad", "good"], TINY_FIT.classifier).save(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def table(reviews: list[Document], tmp_path: Path) -> str:
    """A row without text among others with two columns."""
    rows = {"id": list(range(61)), "text": [None, *(d.text for d in reviews)]}
    polars.DataFrame(rows).write_csv(tmp_path / "new.csv")
    return str(tmp_path / "new.csv")


def test_a_table_of_the_most_worthwhile(
    model: str, table: str, tmp_path: Path, reviews: list[Document], capsys: Captured
) -> None:
    out = tmp_path / "next.csv"
    main(["next-labels", model, table, "--n", "7", "--out", str(out), "--on-bad", "skip"])
    assert "7 rows written to" in capsys.readouterr().err
    rows = polars.read_csv(out)
    assert rows.columns == ["id", "text", "rank", "prediction", "probability", "reason"]
    assert rows["rank"].to_list() == list(range(1, 8))
    assert [reviews[i - 1].text for i in rows["id"]] == rows["text"].to_list()
    main(["next-labels", model, table, "--n", "7", "--on-bad", "skip"])
    assert polars.read_csv(io.StringIO(capsys.readouterr().out)).equals(rows)
    main(["next-labels", model, table, "--n", "7", "--on-bad", "skip", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == rows["id"].cast(polars.String).to_list()
    main(["next-labels", model, table, "--n", "99", "--on-bad", "skip", "--json"])
    shown = capsys.readouterr()
    assert (
        len(shown.out.splitlines()) == 60 and "60 different texts, fewer than --n 99" in shown.err
    )


def test_what_is_wrong_is_said_before_the_model_is_loaded(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.saved.load_classifier", None)
    polars.DataFrame({"text": ["a"], "rank": [1]}).write_csv(tmp_path / "ranked.csv")
    polars.DataFrame({"text": ["a"], "picture": [b"b"]}).write_parquet(tmp_path / "new.parquet")
    for data, more, why in (
        (table, ["--out", "next.txt"], "next.txt can't be written"),
        (table, ["--out", table], "is the input file"),
        (table, [], "no text in 1 row"),
        (table, ["--n", "0"], "n must be at least 1, not 0"),
        (str(tmp_path / "ranked.csv"), [], "has a column 'rank' already"),
        (str(tmp_path / "new.parquet"), ["--json"], "'picture' holds bytes, which .jsonl can't"),
    ):
        with pytest.raises(SystemExit, match=why):
            main(["next-labels", "model", data, *more])
