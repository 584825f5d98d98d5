"""`ulmfit export`, as people type it."""

import json
from pathlib import Path

import polars
import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.cli import main
from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def here(
    lm: LanguageModel, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a classifier and a table."""
    monkeypatch.chdir(tmp_path)
    TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(Path("c"))
    table = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(table).write_csv("test.csv")


@pytest.mark.usefixtures("here")
def test_exported_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", "c", "--onnx", "--out", "e"])
    assert "checked on 16 texts of random words" in capsys.readouterr().err
    found = []
    for model in ("c", "e"):
        main(["predict", model, "--text", "the film was great", "--json"])
        main(["evaluate", model, "test.csv", "--json"])
        main(["predict", model, "test.csv", "--out", f"{model}.csv"])
        found.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert found[0][0]["label"] == found[1][0]["label"]
    assert found[0][1] == pytest.approx(found[1][1])
    tables = [polars.read_csv(f"{model}.csv") for model in ("c", "e")]
    assert tables[0]["prediction"].equals(tables[1]["prediction"])


@pytest.mark.usefixtures("here")
def test_low_precision_with_texts(capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", "c", "test.csv", "--low-precision", "--json", "--out", "deep/e"])
    found = json.loads(capsys.readouterr().out)
    assert found["texts"] == 60 and not found["made_up"] and 0 < found["largest_difference"] < 0.1


@pytest.mark.usefixtures("here")
def test_what_can_not_be_is_said_in_a_line() -> None:
    for arguments, problem in (
        (["export", "c", "--low-precision", "--out", "e"], "give texts"),
        (["export", "c", "--no-onnx", "--out", "e"], "no format"),
        (["export", "c", "--out", "c"], "already exists"),
        (["export", "c", "nosuch.csv", "--out", "e"], "nosuch.csv"),
    ):
        with pytest.raises(SystemExit, match=problem):
            main(arguments)
    main(["export", "c", "--out", "e"])
    with pytest.raises(SystemExit, match="leave out --device"):
        main(["predict", "e", "--text", "a", "--device", "cuda"])
