"""The estimators keep scikit-learn's contract, and are what `ulmfit.fit` makes."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit.config import RuntimeConfig
from ulmfit.estimator import ULMFiTClassifier, ULMFiTRegressor, texts_of
from ulmfit.text.document import Document

CPU = RuntimeConfig(device="cpu")
LEARNS = replace(
    TINY_FIT.classifier,
    batch_size=8,
    bptt=30,
    epochs=(1, 1, 1, 12),
    lr=0.2,
    lr_divisors=(1, 1, 1, 1),
    lr_decay=1.0,
    dropout_scale=0.0,
    ar=0.0,
    tar=0.0,
)
QUICK = replace(
    TINY_FIT,
    pretrained="none",
    finetune=False,
    classifier=replace(TINY_FIT.classifier, epochs=(1,), lr_divisors=(1.0,), min_steps=1),
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.pretrained.SMALL", TINY)


@pytest.fixture
def texts(reviews: list[Document]) -> list[str]:
    return [d.text for d in reviews]


@pytest.fixture
def y(reviews: list[Document]) -> np.ndarray:
    return np.array([str(d.label) for d in reviews])


@pytest.fixture
def learner(lm_directory: Path) -> ULMFiTClassifier:
    config = replace(QUICK, pretrained=str(lm_directory), classifier=LEARNS)
    return ULMFiTClassifier(config=config, runtime=CPU)


def test_it_learns_and_keeps_the_kind_of_its_classes(
    learner: ULMFiTClassifier, texts: list[str], y: np.ndarray
) -> None:
    numbered = np.where(y == "good", 10, 9)  # as strings "10" comes before "9"
    assert learner.fit(texts[:48], numbered[:48]) is learner
    assert learner.classes_.tolist() == [9, 10] and learner.classifier_.labels == ("10", "9")
    rows = learner.predict_proba(texts[48:])
    assert rows.shape == (12, 2) and np.allclose(rows.sum(1), 1, atol=1e-6)
    predicted = learner.predict(texts[48:])
    assert predicted.tolist() == [9 + k for k in rows.argmax(1)]
    assert learner.score(texts, numbered) > 0.8
    again = pickle.loads(pickle.dumps(learner))
    assert np.array_equal(again.predict_proba(texts[48:]), rows)
    with pytest.raises(NotFittedError):
        clone(learner).predict(texts)


def test_it_is_fit_without_validation(
    learner: ULMFiTClassifier, texts: list[str], y: np.ndarray, tmp_path: Path
) -> None:
    learner.set_params(out=tmp_path / "kept", config__finetune=True).fit(texts, y, ["A film."])
    documents = [Document(text, str(label)) for text, label in zip(texts, y, strict=True)]
    plain = ulmfit.fit(
        documents,
        unlabelled=[Document("A film.")],
        valid=[],
        config=learner.config,
        runtime=CPU,
        out=tmp_path / "by-hand",
    )
    wanted = plain.probabilities(texts)
    assert np.array_equal(learner.predict_proba(texts), wanted)
    assert np.array_equal(ulmfit.load(tmp_path / "kept").probabilities(texts), wanted)  # type: ignore[union-attr]


def test_a_matrix_is_several_labels(
    learner: ULMFiTClassifier, texts: list[str], y: np.ndarray
) -> None:
    wanted = np.stack([y == "good", ["film" in text for text in texts]], axis=1).astype(int)
    learner.fit(texts, wanted)
    predicted = learner.predict(texts)
    assert predicted.shape == wanted.shape and (predicted == wanted).mean() > 0.8
    assert learner.predict_proba(texts).shape == (60, 2) and learner.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"no text has the labels \[2\]"):
        learner.fit(texts, np.pad(wanted, ((0, 0), (0, 1))))


def test_numbers(lm_directory: Path, texts: list[str], y: np.ndarray) -> None:
    config = replace(QUICK, pretrained=str(lm_directory), classifier=LEARNS)
    regressor = ULMFiTRegressor(config=config, runtime=CPU)
    numbers = np.where(y == "good", 7, 2)
    assert regressor.fit(texts, numbers).score(texts, numbers) > 0.5
    assert regressor.predict(texts).min() >= 2 and regressor.predict(texts).max() <= 7


def test_pipelines_folds_and_grids(
    learner: ULMFiTClassifier, texts: list[str], y: np.ndarray
) -> None:
    quick = learner.set_params(config__classifier=QUICK.classifier)
    pipeline = make_pipeline(FunctionTransformer(), quick)
    assert cross_val_score(pipeline, texts, y, cv=2).shape == (2,)
    grid = GridSearchCV(quick, {"config__classifier__lr": [0.01, 0.2], "runtime__seed": [3]}, cv=2)
    grid.fit(texts, y, unlabelled=["A film."])
    assert grid.best_estimator_.config.classifier.lr in (0.01, 0.2)
    assert grid.best_estimator_.runtime.seed == 3 and quick.runtime.seed == 0


def test_parameters() -> None:
    estimator = ULMFiTClassifier()
    assert set(estimator.get_params(deep=False)) == {"config", "runtime", "out"}
    assert estimator.get_params()["config__classifier__lr"] == estimator.config.classifier.lr
    estimator.set_params(config__classifier__lr=0.3, config=QUICK, runtime__seed=5)
    assert estimator.config.classifier == replace(QUICK.classifier, lr=0.3)
    assert estimator.runtime.seed == 5 and clone(estimator).config == estimator.config
    with pytest.raises(ValueError, match="no parameter 'config__lr'"):
        estimator.set_params(config__lr=1)
    tags = get_tags(estimator).input_tags
    assert tags.string and not tags.two_d_array


@pytest.mark.parametrize("column", [list, np.array, pl.Series, "pandas", tuple])
def test_columns_of_any_make(column: Any, texts: list[str]) -> None:
    if column == "pandas":
        column = pytest.importorskip("pandas").Series
    found = texts_of(column(texts))
    assert found == texts and {type(text) for text in found} == {str}


@pytest.mark.parametrize(
    ("X", "complaint"),
    [
        ("one text", "list or column of texts, not one string"),
        (np.array([["a"], ["b"]]), "not an array of 2 dimensions"),
        (pl.DataFrame({"text": ["a"]}), r"name one of \['text'\]|2 dimensions"),
        (["a", None], "text 2 is None, not a string"),
        ([1.5], r"text 1 is 1\.5, not a string"),
    ],
)
def test_what_is_no_column_of_texts(X: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        texts_of(X)


def test_what_cannot_be_learnt(texts: list[str]) -> None:
    estimator = ULMFiTClassifier(config=QUICK, runtime=CPU)
    for y, complaint in (
        (None, "requires y"),
        (["a"] * 60, "at least two labels"),
        (["a", "b"], "60 texts and y 2 labels"),
        (np.linspace(0, 1, 60), "Unknown label type: continuous"),
    ):
        with pytest.raises(ValueError, match=complaint):
            estimator.fit(texts, y)
    with pytest.raises(ValueError, match="say where with out="):
        estimator.set_params(runtime__max_minutes=1).fit(texts, ["a", "b"] * 30)


# ---- scikit-learn's own checks ----


class OfNumbers:
    """Lets checks that know only matrices in: a row of numbers is written as a text of words."""

    def _train(self, X: Any, labels: Any, unlabelled: Any) -> Any:
        return super()._train(self.written(X, reset=True), labels, unlabelled)  # type: ignore[misc]

    def _rows(self, X: Any) -> Any:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "classifier_")
        return super()._rows(self.written(X, reset=False))  # type: ignore[misc]

    def written(self, X: Any, reset: bool) -> list[str]:
        from sklearn.utils.validation import validate_data

        matrix = validate_data(self, X, reset=reset)
        return [" ".join(f"f{k}{'np'[int(v >= 0)]}{abs(v):.0f}" for k, v in enumerate(row)) for row in matrix]  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        return tags


class ClassifierOfNumbers(OfNumbers, ULMFiTClassifier):
    pass


class RegressorOfNumbers(OfNumbers, ULMFiTRegressor):
    pass


TYPES = (
    "signatures are checked while tests run, so that a setting of the wrong type is refused at once"
)
LEARNING = "asks for a good fit of numbers, which are words here, after an epoch of a tiny net"
EXPECTED = {
    "check_do_not_raise_errors_in_init_or_set_params": TYPES,
    "check_parameters_default_constructible": "the settings are frozen dataclasses, not plain values",
    "check_classifiers_train": LEARNING,
    "check_regressors_train": LEARNING,
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED


@pytest.mark.slow
@parametrize_with_checks(
    [ClassifierOfNumbers(config=QUICK, runtime=CPU), RegressorOfNumbers(config=QUICK, runtime=CPU)],
    expected_failed_checks=expected_failures,
)
def test_the_checks_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
