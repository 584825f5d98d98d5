"""TF-IDF + a linear model on the same labels: the honest yardstick (needs scikit-learn)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ulmfit.config import ClassifierConfig, LabelKind
from ulmfit.outputs import outputs_for
from ulmfit.text.document import Document

FEATURES = 300_000  # at most so many words and word pairs
C = 10.0  # inverse regularisation strength
ALPHA = 1.0  # regularisation strength where numbers are predicted


def train_baseline(documents: Sequence[Document]) -> Any:
    """A scikit-learn pipeline: word 1–2-grams, sublinear term frequency, then logistic regression; where texts have several
    labels, one for each; of numbers ridge regression."""
    outputs = outputs_for(documents, ClassifierConfig())
    truth = outputs.truth(documents)
    if outputs.kind == "single":
        truth = np.array(outputs.labels)[truth]
    return word_model(outputs.kind).fit([d.text for d in documents], truth)


def word_model(kind: LabelKind = "single") -> Any:
    """The pipeline, not trained yet."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=FEATURES)
    return make_pipeline(words, _linear(kind))


def baseline_metrics(train: Sequence[Document], test: Sequence[Document]) -> dict[str, float]:
    """What a baseline trained on `train` scores on `test`: the metrics of its kind of label."""
    outputs = outputs_for(train, ClassifierConfig())
    rows = baseline_rows(train_baseline(train), [d.text for d in test])
    return outputs.metrics(outputs.truth(test), rows)


def baseline_rows(pipeline: Any, texts: Sequence[str]) -> np.ndarray:
    """(D, C) what a baseline says of texts, as a classifier's `probabilities`."""
    if hasattr(pipeline, "predict_proba"):
        return pipeline.predict_proba(texts)
    return pipeline.predict(texts)[:, None]


def baseline_accuracy(train: Sequence[Document], test: Sequence[Document]) -> float:
    """Share of `test` that a baseline trained on `train` gets right; each text has one class."""
    pipeline = train_baseline(train)
    return float(pipeline.score([d.text for d in test], [str(d.label) for d in test]))


def _linear(kind: LabelKind) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if kind == "number":
        return Ridge(ALPHA)
    each = LogisticRegression(C=C, max_iter=1000)
    return OneVsRestClassifier(each) if kind == "multi" else each
