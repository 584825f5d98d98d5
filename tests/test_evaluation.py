"""What a run keeps of its named sets."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ulmfit import evaluation
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.evaluation import score_sets
from ulmfit.files.checkpoint import load_json
from ulmfit.language_model import LanguageModel
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.splits import Parts

Score = Callable[[Parts], tuple[dict, dict, list[str]]]  # results, the run's record, what was said


@pytest.fixture
def parts(reviews: list[Document]) -> Parts:
    return Parts(reviews[:40], reviews[40:50], reviews[50:], [])


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    return TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())


@pytest.fixture
def score(classifier: TextClassifier, runtime: Runtime, tmp_path: Path) -> Score:
    def score(parts: Parts) -> tuple[dict, dict, list[str]]:
        said = list[str]()
        with Run.open(tmp_path / "run", say=said.append) as run:
            results = score_sets(classifier, parts, runtime, run)
        return results, load_json(tmp_path / "run" / "config.json"), said

    return score


def test_scores_are_those_of_evaluate_and_the_file_gives_them_again(
    score: Score, parts: Parts, classifier: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    results, record, said = score(parts)
    for name, documents in (("validation", parts.valid), ("test", parts.test)):
        assert results[name] == pytest.approx(classifier.evaluate(documents, runtime))
        text = (tmp_path / "run" / "predictions" / f"{name}.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["label"] for line in lines] == [d.label for d in documents]
        rows = np.array([line["probabilities"] for line in lines])
        expected = classifier.probabilities([d.text for d in documents], runtime)
        assert np.allclose(rows, expected, atol=1e-6)
        right = [line["baseline"] == line["label"] for line in lines]
        assert record["baseline"][name]["accuracy"] == np.mean(right) == 1.0  # one word decides
        assert f"{name} set: accuracy" in " ".join(said)
    assert record["labels"] == ["bad", "good"]


def test_sets_that_are_empty_are_left_out(score: Score, parts: Parts, tmp_path: Path) -> None:
    results, record, said = score(replace(parts, valid=[], test=[]))
    assert results == {} and record["baseline"] == {} and said == []
    assert not (tmp_path / "run" / "predictions").exists()


def test_a_yardstick_that_can_not_be_had_is_said(
    score: Score, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reason() -> str:
        results, record, said = score(parts)
        assert results["test"]["documents"] == 10 and record["baseline"] == {}
        return next(line for line in said if "left out" in line)

    with monkeypatch.context() as changed:
        changed.setattr(evaluation, "MOST", 39)
        assert "more than 39 labelled" in reason()
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "sklearn.pipeline", None)
        assert "needs scikit-learn" in reason()
    parts.train[:] = [Document("x y", d.label) for d in parts.train]
    assert "empty vocabulary" in reason()
