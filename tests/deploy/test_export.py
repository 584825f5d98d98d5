"""`export` writes what says the same as PyTorch, or nothing."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.deploy import export as module
from ulmfit.deploy.export import Check, export
from ulmfit.deploy.exported import ExportedClassifier
from ulmfit.deploy.onnx import Predictor
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import load_json
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.saved import load
from ulmfit.text.document import Document
from ulmfit.training.calibration import Calibration

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def classifier(lm: LanguageModel, direction: str = "forward") -> TextClassifier:
    """Untrained, but of many opinions; long texts are pooled in part."""
    lm = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
    made = TextClassifier.create(lm, ("bad", "good", "so so"), ClassifierConfig(bptt=6, max_len=12))
    for norm in made.net.head.norms:
        norm.running_mean.normal_()  # type: ignore[operator,union-attr]
        norm.running_var.uniform_(0.01, 0.1)  # type: ignore[operator,union-attr]
    return made


@pytest.mark.parametrize("directions", [["forward"], ["backward"], ["forward", "backward"]])
def test_the_same_numbers_in_every_direction(
    directions: list[str],
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
) -> None:
    members = [classifier(lm, direction) for direction in directions]
    whole = members[0] if len(members) == 1 else Ensemble(members)
    texts = [d.text for d in reviews[:20]] + ["", "great " * 40]
    said = list[str]()
    check = export(whole, tmp_path / "e", texts, say=said.append)
    wanted = whole.probabilities(texts, runtime)
    assert np.abs(Predictor(tmp_path / "e").probabilities(texts) - wanted).max() < 1e-5
    assert np.ptp(wanted, axis=0).max() > 0.1
    assert isinstance(load(tmp_path / "e"), ExportedClassifier)
    assert check == Check(22, False, check.largest_difference, 1.0)
    assert len(said) == 1 and "22 texts: 100.00% get the same label" in said[0]
    saved = load_json(tmp_path / "e" / "config.json")
    assert saved["directions"] == directions and saved["checked"]["texts"] == 22
    assert saved["precision"] == "fp32" and saved["labels"] == ["bad", "good", "so so"]


def test_without_texts_some_are_made_up(lm: LanguageModel, tmp_path: Path) -> None:
    said = list[str]()
    check = export(classifier(lm), tmp_path / "e", say=said.append)
    assert check.made_up and check.texts == module.MADE_UP and check.largest_difference < 1e-5
    assert "texts of random words" in said[0]
    longest = max(len(lm.tokenizer.encode(t)) for t in module._made_up(classifier(lm)))
    assert longest > 12 + 6  # more than are pooled


def test_low_precision_is_reported(
    lm: LanguageModel, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, said = [d.text for d in reviews], list[str]()
    check = export(classifier(lm), tmp_path / "e", texts, low_precision=True, say=said.append)
    assert 1e-6 < check.largest_difference < 0.2 and check.agreement > 0.9
    assert load_json(tmp_path / "e" / "config.json")["precision"] == "int8"
    monkeypatch.setattr(module, "LEAST_AGREEMENT", 1.1)
    export(classifier(lm), tmp_path / "f", texts, low_precision=True, say=said.append)
    assert "less than 110.0%" in said[-1] and "ulmfit evaluate" in said[-1]


def test_a_wrong_graph_is_not_written(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module,
        "classifier_graph",
        lambda net, **how: real(other, **how),
    )
    other, real = classifier(lm).net, sys.modules["ulmfit.deploy.graph"].classifier_graph
    other.head.linears[-1].weight.data.neg_()  # type: ignore[operator,union-attr]
    with pytest.raises(ValueError, match=r"the export is wrong.*not written.*16 texts of random"):
        export(classifier(lm), tmp_path / "e")
    assert list(tmp_path.iterdir()) == []


def test_refusals_come_before_the_work(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = classifier(lm)
    with pytest.raises(ValueError, match="low precision changes predictions: give texts"):
        export(made, tmp_path / "e", low_precision=True)
    with pytest.raises(ValueError, match="already exists"):
        export(made, tmp_path)
    export(made, tmp_path / "e")
    with pytest.raises(ValueError, match="export already"):
        export(load(tmp_path / "e"), tmp_path / "f")  # type: ignore[arg-type]
    for package in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(ImportError, match=f"needs {package}.*pip install onnx onnxruntime"):
                export(made, tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(("low_precision", "bound"), [(False, 1e-5), (True, 0.05)])
@pytest.mark.parametrize("several", [False, True])
def test_what_was_calibrated_goes_with_it(
    several: bool, low_precision: bool, bound: float, lm: LanguageModel, reviews: list[Document],
    runtime: Runtime, tmp_path: Path,
) -> None:  # fmt: skip
    members = [classifier(lm, direction) for direction in ("forward", "backward")]
    whole, texts = Ensemble(members) if several else members[0], [d.text for d in reviews]
    for each in (*members, whole):
        each.calibration = Calibration(2.5)
    rows = whole.probabilities(texts, runtime)
    half = float(np.median(rows.max(axis=1)))
    whole.calibration = Calibration(2.5, dict.fromkeys(whole.labels, half))
    export(whole, tmp_path / "e", texts, low_precision=low_precision)
    exported = Predictor(tmp_path / "e")
    assert np.abs(exported.probabilities(texts) - rows).max() < bound
    assert 20 < sum(p.sure for p in exported.predict(texts)) < 40
