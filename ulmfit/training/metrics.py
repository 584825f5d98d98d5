"""What a classifier is judged by; every figure names the set it was measured on where it is printed."""

from collections.abc import Sequence

import numpy as np


def classification_metrics(truth: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """`accuracy`, and `macro_f1` (scikit-learn's) where scikit-learn is installed."""
    metrics = {"accuracy": float(np.mean(np.asarray(truth) == np.asarray(predicted)))}
    try:
        from sklearn.metrics import f1_score
    except ImportError:
        return metrics
    macro_f1 = f1_score(truth, predicted, average="macro", zero_division=0.0)  # pyright: ignore
    return metrics | {"macro_f1": float(macro_f1)}


def log_loss(truth: Sequence[int], probabilities: np.ndarray) -> float:
    """Mean cross-entropy in nats of (D, C) float32 probabilities; one that has become 0 counts as the smallest above."""
    of_truth = probabilities[np.arange(len(truth)), np.asarray(truth)]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())
