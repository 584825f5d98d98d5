"""An exported classifier has the verbs of every classifier."""

from pathlib import Path

import numpy as np
import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.confidence import calibrate
from ulmfit.config import ClassifierConfig
from ulmfit.deploy import exported as module
from ulmfit.deploy.export import export
from ulmfit.deploy.exported import ExportedClassifier
from ulmfit.insight.explain import explain
from ulmfit.insight.next_labels import next_labels
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_it_says_what_the_classifier_says(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())
    export(classifier, tmp_path / "e")
    exported = ExportedClassifier(tmp_path / "e")
    monkeypatch.setattr(module, "WINDOW", 7)  # several windows, the last one not full
    assert exported.labels == classifier.labels
    texts = [d.text for d in reviews]
    wanted = classifier.probabilities(texts, runtime)
    assert np.allclose(exported.probabilities(iter(texts), runtime), wanted, atol=1e-5)
    assert exported.evaluate(reviews) == pytest.approx(classifier.evaluate(reviews, runtime))
    assert exported.predict(texts[0]).label == classifier.predict(texts[0], runtime).label
    assert exported.probabilities([]).shape == (0, 2)


def test_what_looks_inside_says_that_it_needs_the_trained_classifier(
    lm: LanguageModel, reviews: list[Document], tmp_path: Path
) -> None:
    export(TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()), tmp_path / "e")
    exported = ExportedClassifier(tmp_path / "e")
    for verb in (
        lambda: explain(exported, "A fine film."),
        lambda: next_labels(exported, ["A fine film."], 1),
        lambda: calibrate(exported, reviews),
        lambda: export(exported, tmp_path / "again"),
    ):
        with pytest.raises(ValueError, match="export already: name the run it was made from"):
            verb()
    assert not (tmp_path / "again").exists()
