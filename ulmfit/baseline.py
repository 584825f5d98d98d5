"""The baseline: TF-IDF + a linear model on the same labels (needs scikit-learn)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ulmfit.config import ClassifierConfig, LabelKind
from ulmfit.outputs import outputs_for
from ulmfit.text.document import Document

FEATURES = 300_000  # most words and word pairs
C = 10.0  # inverse regularisation strength of logistic regression
ALPHA = 1.0  # regularisation strength of ridge regression


def train_baseline(documents: Sequence[Document]) -> Any:
    """A fitted scikit-learn pipeline: word 1–2-grams with sublinear term frequency, then logistic regression (one per label
    where a text can have several), or ridge regression for numbers."""
    outputs = outputs_for(documents, ClassifierConfig())
    truth = outputs.truth(documents)
    if outputs.kind == "single":
        truth = np.array(outputs.labels)[truth]
    return word_model(outputs.kind).fit([d.text for d in documents], truth)


def word_model(kind: LabelKind = "single") -> Any:
    """The pipeline of `train_baseline`, not fitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=FEATURES)
    return make_pipeline(words, _linear(kind))


def baseline_metrics(train: Sequence[Document], test: Sequence[Document]) -> dict[str, float]:
    """The metrics on `test` of a baseline trained on `train`, by kind of label as `Outputs.metrics`."""
    outputs = outputs_for(train, ClassifierConfig())
    rows = baseline_rows(train_baseline(train), [d.text for d in test])
    return outputs.metrics(outputs.truth(test), rows)


def baseline_rows(pipeline: Any, texts: Sequence[str]) -> np.ndarray:
    """(D, C) a baseline's probabilities of the texts, or (D, 1) its numbers, as `Classifier.probabilities`."""
    if hasattr(pipeline, "predict_proba"):
        return pipeline.predict_proba(texts)
    return pipeline.predict(texts)[:, None]


def baseline_accuracy(train: Sequence[Document], test: Sequence[Document]) -> float:
    """Accuracy on `test` of a baseline trained on `train`, for texts of one class each."""
    pipeline = train_baseline(train)
    return float(pipeline.score([d.text for d in test], [str(d.label) for d in test]))


def _linear(kind: LabelKind) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if kind == "number":
        return Ridge(ALPHA)
    each = LogisticRegression(C=C, max_iter=1000)
    return OneVsRestClassifier(each) if kind == "multi" else each
