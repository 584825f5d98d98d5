"""`ulmfit calibrate`: what it prints and what it changes."""

import json
from pathlib import Path

import polars
import pytest
import torch

from ulmfit.classifier import TextClassifier
from ulmfit.commands.calibrate import Calibrate
from ulmfit.commands.use import Predict
from ulmfit.config import ClassifierConfig
from ulmfit.deploy.export import export
from ulmfit.files.checkpoint import save_json
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document


@pytest.fixture
def files(reviews: list[Document], tmp_path: Path) -> tuple[str, str]:
    """Two tables, the second a little shorter."""
    paths = []
    for name, part in (("valid", reviews), ("test", reviews[10:])):
        rows = {"text": [d.text for d in part], "label": [d.label for d in part]}
        polars.DataFrame(rows).write_csv(tmp_path / f"{name}.csv")
        paths.append(str(tmp_path / f"{name}.csv"))
    return paths[0], paths[1]


@pytest.fixture
def model(lm: LanguageModel, tmp_path: Path) -> str:
    made = TextClassifier.create(lm, ["bad", "good"], ClassifierConfig())
    torch.nn.init.normal_(made.net.head.linears[-1].get_parameter("weight"), std=8.0)
    made.save(tmp_path / "model")
    return str(tmp_path / "model")


def test_before_and_after(
    model: str, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    valid, test = files
    Calibrate(model, valid, test=test, json=True).run()
    told = json.loads(capsys.readouterr().out)
    calibration = TextClassifier.load(model).calibration
    assert told["calibration"] == calibration.to_json() and calibration.temperature > 1.5
    before, after, before_test, after_test = told["measured"]
    assert [row["set"] for row in told["measured"]] == [valid, valid, test, test]
    assert after[""] == "after (fitted on it)" and after_test[""] == "after"
    assert after["log loss"] < before["log loss"]
    assert after_test["log loss"] < before_test["log loss"]
    Calibrate(model, valid).run()  # once more: the table; before is after now
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[0] == "set" and len(out) == 3
    assert f"{after['log loss']:.4f}" in out[1] and f"{after['log loss']:.4f}" in out[2]


def test_what_is_calibrated_on_is_no_test(model: str, files: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is the file to calibrate on"):
        Calibrate(model, files[0], test=files[0]).run()


def test_thresholds_come_and_go(
    model: str, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Calibrate(model, files[0], threshold_for="precision=0.99").run()
    assert "always unsure" in capsys.readouterr().err
    Predict(model, text="the film").run()
    assert capsys.readouterr().out.startswith("unsure: ")
    Predict(model, text="the film", json=True).run()
    assert json.loads(capsys.readouterr().out)["sure"] is False
    Predict(model, files[1], out=str(tmp_path / "scored.csv")).run()
    scored = polars.read_csv(tmp_path / "scored.csv")
    assert scored.columns == ["text", "label", "prediction", "probability", "most_likely"]
    assert set(scored["prediction"]) == {"unsure"} and set(scored["most_likely"]) <= {"bad", "good"}
    capsys.readouterr()
    Calibrate(model, files[0]).run()
    assert capsys.readouterr().err.endswith(f"old temperature\nsaved in {model}\n")
    Predict(model, files[1]).run()
    assert "unsure" not in capsys.readouterr().out


@pytest.mark.parametrize("rule", [None, "precision=0.9"])
def test_too_few_documents_leave_what_is_saved(
    rule: str | None, model: str, files: tuple[str, str], tmp_path: Path
) -> None:
    Calibrate(model, files[0], threshold_for="precision=0.5").run()
    saved = (Path(model) / "config.json").read_bytes()
    polars.read_csv(files[0]).head(6).write_csv(tmp_path / "six.csv")
    with pytest.raises(
        ValueError, match=r"6 documents are too few .*50 are needed.*; nothing was changed"
    ):
        Calibrate(model, str(tmp_path / "six.csv"), test=files[1], threshold_for=rule).run()
    assert (Path(model) / "config.json").read_bytes() == saved


def test_the_training_set_is_noticed(
    model: str,
    reviews: list[Document],
    files: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A made-up run around the classifier; that runs record this is in test_stages.py."""
    run = tmp_path / "run"
    (run / "forward").mkdir(parents=True)
    Path(model).rename(run / "forward" / "classifier")
    record = {"kind": "run", "finished": True, "labelled": fingerprint(reviews)}
    save_json(run / "config.json", record)
    for data, warned in ((files[0], True), (files[1], False)):
        Calibrate(str(run), data).run()
        err = capsys.readouterr().err
        assert (f"was trained on {data}" in err) is warned and "dropped" not in err


def test_an_export_is_refused_before_anything_is_said(
    model: str, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    Calibrate(model, files[0], threshold_for="precision=0.99").run()
    export(TextClassifier.load(model), tmp_path / "export")
    capsys.readouterr()
    with pytest.raises(ValueError, match="this is an export already"):
        Calibrate(str(tmp_path / "export"), files[0]).run()
    assert "dropped" not in capsys.readouterr().err


def test_a_wrong_rule_is_said_before_any_work() -> None:
    with pytest.raises(ValueError, match=r"precision=0\.95, not '0\.9'"):
        Calibrate("nosuch", "nosuch.csv", threshold_for="0.9").run()
