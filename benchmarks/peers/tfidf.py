"""Logistic regression on words and word pairs weighted by TF-IDF: the baseline to beat."""

from typing import Any


class Peer:
    """Unlabelled texts are not used."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> "Peer":
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        linear = LogisticRegression(C=10.0, max_iter=1000, random_state=self.seed)
        self.model: Any = make_pipeline(vectors, linear).fit(texts, labels)
        return self

    def predict(self, texts: list[str]) -> list[str]:
        return self.model.predict(texts).tolist()
