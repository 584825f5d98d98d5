"""`ULMFiTClassifier` and `ULMFiTRegressor`: the method as scikit-learn estimators; text in, labels out."""

from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from ulmfit.classifier import Classifier
from ulmfit.config import FitConfig, RuntimeConfig
from ulmfit.runtime import Runtime
from ulmfit.stages import fit
from ulmfit.text.document import Document, Label


class _ULMFiT(BaseEstimator):
    """What both estimators share: parameters, texts, training."""

    def __init__(
        self,
        *,
        config: FitConfig = FitConfig(),
        runtime: RuntimeConfig = RuntimeConfig(),
        out: str | Path | None = None,
    ) -> None:
        """`config`: all settings; each is also a parameter of its own, such as `config__classifier__lr`. `runtime`: machine and
        seed. `out`: run directory to keep; None: a temporary one, deleted after `fit`."""
        self.config = config
        self.runtime = runtime
        self.out = out

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; `deep`: also every field of `config` and `runtime`."""
        params = super().get_params(deep=False)
        return params | (dict(_inner(params)) if deep else {})

    def set_params(self, **params: Any) -> "_ULMFiT":
        """Change parameters; fields of `config` and `runtime` by their full names. ValueError: no such parameter."""
        known = self.get_params()
        for name, value in sorted(params.items()):  # the whole before its parts
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; get_params() lists them"
                )
            first, *rest = name.split("__")
            setattr(self, first, _changed(getattr(self, first), rest, value) if rest else value)
        return self

    def _train(self, X: Any, labels: Sequence[Label], unlabelled: Any) -> None:
        texts = texts_of(X)
        if len(texts) < 2:
            raise ValueError(f"n_samples = {len(texts)}: there is nothing to learn from one sample")
        if len(texts) != len(labels):
            raise ValueError(
                f"X has {len(texts)} texts and y {len(labels)} labels; give one label per text"
            )
        if self.out is None and self.runtime.max_minutes is not None:
            raise ValueError("max_minutes saves unfinished training: say where with out=")
        documents = [Document(text, label) for text, label in zip(texts, labels, strict=True)]
        # Nothing is held out, as scikit-learn's users expect, unless the best epoch is to be chosen.
        valid = None if self.config.classifier.keep == "best" else ()
        with TemporaryDirectory(prefix="ulmfit-") as temporary:
            self.classifier_: Classifier = fit(
                documents,
                unlabelled=[Document(text) for text in texts_of(unlabelled)],
                valid=valid,
                config=self.config,
                runtime=self.runtime,
                out=Path(temporary) / "run" if self.out is None else self.out,
            )

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "classifier_")
        return self.classifier_.probabilities(texts_of(X), Runtime.choose(self.runtime))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


class ULMFiTClassifier(ClassifierMixin, _ULMFiT):
    """One class per text or, if `y` is a matrix of 0 and 1, any number of labels."""

    def fit(self, X: Any, y: Any, unlabelled: Iterable[str] = ()) -> "ULMFiTClassifier":
        """X: texts (list, array, column); y: classes (D,), or 0 and 1 (D, C); `unlabelled`: more texts for the language
        model. Sets `classifier_`, as `ulmfit.load` gives it, and `classes_`, in the order of `predict_proba`'s columns.
        """
        y = _checked(y, None)
        check_classification_targets(y)
        self._several = type_of_target(y) == "multilabel-indicator"
        if self._several:
            self.classes_ = np.arange(y.shape[1])
            names = [str(k) for k in self.classes_]
            if never := np.flatnonzero(~y.any(axis=0)).tolist():
                raise ValueError(f"no text has the labels {never}: leave their columns out of y")
            labels: list[Label] = [tuple(names[k] for k in np.flatnonzero(row)) for row in y]
        else:
            self.classes_, places = np.unique(column_or_1d(y, warn=True), return_inverse=True)
            names = [str(c) for c in self.classes_]
            labels = [names[k] for k in places]
        self._train(X, labels, unlabelled)
        self._columns = [self.classifier_.labels.index(name) for name in names]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(D, C) float32 in the order of `classes_`; rows sum to 1 unless a text can have several labels."""
        return self._rows(X)[:, self._columns]

    def predict(self, X: Any) -> np.ndarray:
        """Classes (D,), or 0 and 1 (D, C)."""
        rows = self.predict_proba(X)
        return (rows >= 0.5).astype(int) if self._several else self.classes_[rows.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class ULMFiTRegressor(RegressorMixin, _ULMFiT):
    """A number per text, between the bounds of `config.classifier.y_range` or of the numbers seen."""

    def fit(self, X: Any, y: Any, unlabelled: Iterable[str] = ()) -> "ULMFiTRegressor":
        """X: texts (list, array, column); y: numbers (D,); `unlabelled`: more texts for the language model."""
        numbers = column_or_1d(_checked(y, np.float64), warn=True)
        self._train(X, numbers.tolist(), unlabelled)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (D,)."""
        return self._rows(X)[:, 0]


def _checked(y: Any, dtype: Any) -> np.ndarray:
    """`y` as an array. ValueError: it is None, or not finite."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    return check_array(y, ensure_2d=False, dtype=dtype, input_name="y")


def texts_of(X: Any) -> list[str]:
    """The texts of a list, an array, or a pandas or polars column. ValueError: one string, a table, or items that are no strings."""
    if isinstance(X, str) or getattr(X, "ndim", 1) != 1:
        what = "one string" if isinstance(X, str) else f"an array of {X.ndim} dimensions"
        raise ValueError(f"expected a list or column of texts, not {what}; name the text's column")
    if hasattr(X, "columns"):  # a polars DataFrame has no ndim
        raise ValueError(f"expected a column of texts, not a table; name one of {list(X.columns)}")
    texts = list(X)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise ValueError(f"text {number} is {text!r}, not a string; replace or remove it")
    return [str(text) for text in texts]  # np.str_ → str


def _inner(params: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Every field of the dataclasses in `params`, at any depth, by its full name."""
    for name, value in params.items():
        if prefix:
            yield prefix + name, value
        if is_dataclass(value):
            yield from _inner(vars(value), f"{prefix}{name}__")


def _changed(config: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of a dataclass in which the field at `path`, at any depth, has the new value."""
    first, *rest = path
    return replace(
        config, **{first: _changed(getattr(config, first), rest, value) if rest else value}
    )
