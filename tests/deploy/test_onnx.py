"""`Predictor`: PyTorch and spaCy are not even there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.deploy.export import export
from ulmfit.deploy.onnx import Predictor, is_exported
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.prediction import Prediction
from ulmfit.text.document import Document

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def exported(lm: LanguageModel, tmp_path: Path) -> Path:
    export(TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()), tmp_path / "exported")
    return tmp_path / "exported"


def test_a_batch_is_its_texts_one_by_one(exported: Path, reviews: list[Document]) -> None:
    predictor = Predictor(exported, threads=1)
    texts = [d.text for d in reviews] + ["", "great " * 300]  # more than a batch
    rows = predictor.probabilities(iter(texts))
    assert rows.dtype == np.float32 and rows.shape == (len(texts), 2)
    alone = np.concatenate([predictor.probabilities([t]) for t in texts])
    assert np.allclose(rows, alone, atol=1e-6) and np.ptp(rows, axis=0).max() > 1e-3
    found = predictor.predict(texts)
    assert found[3] == predictor.predict(iter(texts))[3]
    assert isinstance(predictor.predict("a film"), Prediction)
    assert [p.label for p in found] == [predictor.labels[k] for k in rows.argmax(axis=1)]
    assert found[0].probabilities == dict(zip(predictor.labels, rows[0].tolist(), strict=True))
    assert found[0].probability == max(found[0].probabilities.values())


def test_nothing_gives_nothing(exported: Path) -> None:
    assert Predictor(exported).probabilities([]).shape == (0, 2)
    assert Predictor(exported).predict([]) == []


def test_neither_pytorch_nor_spacy_is_needed(exported: Path) -> None:
    code = f"""
import sys
class Missing:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("torch", "spacy", "polars", "sklearn", "onnx", "safetensors"):
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
from ulmfit.deploy.onnx import Predictor
print(Predictor({str(exported)!r}).predict("the film was great").label)
from ulmfit.cli import main
main(["predict", {str(exported)!r}, "--text", "the film was great", "--threads", "1"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, shown = done.stdout.splitlines()
    assert shown.split()[0] == label


def test_what_is_no_export_is_said(exported: Path, tmp_path: Path) -> None:
    assert is_exported(exported) and is_exported(str(exported))
    assert not is_exported(tmp_path) and not is_exported(tmp_path / "nosuch")
    with pytest.raises(ValueError, match=r"nosuch holds no exported classifier.*ulmfit export"):
        Predictor(tmp_path / "nosuch")
    with pytest.raises(ValueError, match=r"^--threads must be at least 1, not 0$"):
        Predictor(exported, threads=0)
    (exported / "forward" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"model\.onnx is missing or damaged"):
        Predictor(exported)
    (exported / "forward" / "model.onnx").unlink()
    with pytest.raises(ValueError, match=r"model\.onnx is missing or damaged"):
        Predictor(exported)
    save_json(exported / "config.json", load_json(exported / "config.json") | {"format": 9})
    with pytest.raises(ValueError, match="format 9, but this version reads 1"):
        Predictor(exported)


def test_a_missing_package_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        Predictor(exported)
