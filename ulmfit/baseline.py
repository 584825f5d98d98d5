"""TF-IDF + logistic regression on the same labels: the honest yardstick (needs scikit-learn)."""

from collections.abc import Sequence

from ulmfit.text.document import Document

FEATURES = 300_000  # at most so many words and word pairs
C = 10.0  # inverse regularisation strength


def train_baseline(documents: Sequence[Document]) -> object:
    """A scikit-learn pipeline: word 1–2-grams, sublinear term frequency, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=FEATURES),
        LogisticRegression(C=C, max_iter=1000),
    )
    return pipeline.fit([d.text for d in documents], [str(d.label) for d in documents])


def baseline_accuracy(train: Sequence[Document], test: Sequence[Document]) -> float:
    """Share of `test` that a baseline trained on `train` gets right."""
    pipeline = train_baseline(train)
    return float(pipeline.score([d.text for d in test], [str(d.label) for d in test]))  # type: ignore[attr-defined]
