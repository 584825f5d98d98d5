"""What a classifier is judged by; every figure names the set it was measured on where it is printed."""

from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.5  # probability from which one of several labels is predicted


def classification_metrics(
    truth: Sequence[int] | np.ndarray, predicted: Sequence[int] | np.ndarray
) -> dict[str, float]:
    """`accuracy`, and `macro_f1` (scikit-learn's) where scikit-learn is installed."""
    metrics = {"accuracy": float(np.mean(np.asarray(truth) == np.asarray(predicted)))}
    try:
        from sklearn.metrics import f1_score
    except ImportError:
        return metrics
    macro_f1 = f1_score(truth, predicted, average="macro", zero_division=0.0)  # pyright: ignore
    return metrics | {"macro_f1": float(macro_f1)}


def log_loss(truth: Sequence[int] | np.ndarray, probabilities: np.ndarray) -> float:
    """Mean cross-entropy in nats of (D, C) float32 probabilities; 0 counts as the smallest normal float32."""
    of_truth = probabilities[np.arange(len(truth)), np.asarray(truth)]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def multi_label_metrics(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """`micro_f1` over all labels together, `macro_f1`, the mean of each label's (0 for one that neither occurs nor is
    predicted), and, where scikit-learn is installed, its `average_precision`, the mean over labels that occur.

    `truth`: (D, C) 0 and 1; a label of (D, C) `probabilities` is predicted from 0.5 on.
    """
    actual, predicted = truth > 0, probabilities >= THRESHOLD
    right, both = (actual & predicted).sum(axis=0), actual.sum(axis=0) + predicted.sum(axis=0)
    micro = 2 * right.sum() / max(1, both.sum())
    metrics = {"micro_f1": micro, "macro_f1": np.mean(2 * right / np.maximum(1, both))}
    try:
        from sklearn.metrics import average_precision_score
    except ImportError:
        return {name: float(value) for name, value in metrics.items()}
    occurs = actual.any(axis=0)
    if occurs.any():
        metrics["average_precision"] = average_precision_score(
            actual[:, occurs], probabilities[:, occurs]
        )
    return {name: float(value) for name, value in metrics.items()}


def binary_log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean binary cross-entropy in nats over (D, C) labels, 0 and 1; bounded as `log_loss`."""
    of_truth = np.where(truth > 0, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def number_metrics(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`mae`, `rmse` in the numbers' own unit; `r2`, the share of their variance that is explained, left out where they are
    all the same."""
    truth = truth.astype(np.float64)  # in fp32 even equal numbers may differ from their mean
    errors = predicted - truth
    metrics = {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
    }
    if (truth == truth[0]).all():
        return metrics
    spread = np.square(truth - truth.mean()).mean()
    return metrics | {"r2": float(1 - np.square(errors).mean() / spread)}
