"""`Predictor`: an exported classifier on onnxruntime, NumPy and `ulmfit.text`. PyTorch and spaCy are not imported."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import PAD_ID
from ulmfit.files.json_file import read_object
from ulmfit.prediction import Prediction
from ulmfit.text.tokenizer import Ids, Tokenizer
from ulmfit.training.calibration import Calibration, tempered

KIND, FORMAT = "onnx", 1  # in config.json
BATCH_SIZE = 64  # texts read together


class Predictor:
    """A classifier that `ulmfit.export` wrote. `threads` None: onnxruntime's choice.

    ValueError: the directory holds no export, or a damaged one, or `threads` is below 1. ImportError: onnxruntime is missing.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"--threads must be at least 1, not {threads}")
        path = Path(path)
        saved = _config(path)
        self.labels: tuple[str, ...] = tuple(saved["labels"])
        self.calibration = Calibration(**saved.get("calibration", {}))
        self._members = [_Member(path / d, d == "backward", threads) for d in saved["directions"]]

    def probabilities(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """(D, C), rows in the order of `texts`, columns in the order of `labels`; the mean over directions."""
        texts = list(texts)
        rows = np.mean([m.probabilities(texts, len(self.labels)) for m in self._members], axis=0)
        return tempered(rows, self.calibration.temperature)

    def predict(self, texts: str | Iterable[str]) -> Any:
        """One `Prediction` for a string, a list of them (in input order) for an iterable of strings."""
        if isinstance(texts, str):
            return self.predict([texts])[0]
        predictions = []
        for row in self.probabilities(texts):
            label, probability = self.labels[row.argmax()], float(row.max())
            by_label = dict(zip(self.labels, row.tolist(), strict=True))
            sure = self.calibration.sure(label, probability)
            predictions.append(Prediction(label, probability, by_label, sure))
        return predictions


class _Member:
    """Tokenizer and net of one direction."""

    def __init__(self, path: Path, backward: bool, threads: int | None) -> None:
        self.tokenizer, self.step = Tokenizer.load(path / "tokenizer.json"), -1 if backward else 1
        self.session = _session(path / "model.onnx", threads)

    def probabilities(self, texts: list[str], n_labels: int) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), n_labels), np.float32)
        documents = [ids[:: self.step] for ids in self.tokenizer.encode_all(texts)]
        order = sorted(range(len(texts)), key=lambda i: -len(documents[i]))  # least padding
        for start in range(0, len(order), BATCH_SIZE):
            index = order[start : start + BATCH_SIZE]
            rows[index] = self.session.run(None, _padded([documents[i] for i in index]))[0]
        return rows


def _padded(documents: list[Ids]) -> dict[str, NDArray[np.int64]]:
    """The graph's inputs; the longest document must come first."""
    tokens = np.full((len(documents), len(documents[0])), PAD_ID, np.int64)
    for row, ids in zip(tokens, documents, strict=True):
        row[: len(ids)] = ids
    return {"tokens": tokens, "lengths": np.array([len(ids) for ids in documents])}


def is_exported(path: str | Path) -> bool:
    """Whether a directory holds an exported classifier, of any format version."""
    try:
        return read_object(Path(path) / "config.json").get("kind") == KIND
    except (OSError, ValueError):
        return False


def _config(path: Path) -> dict[str, Any]:
    if not is_exported(path):
        raise ValueError(
            f"{path} holds no exported classifier; write one with `ulmfit export MODEL --onnx --out DIR`"
        )
    saved = read_object(path / "config.json")
    if saved.get("format") != FORMAT or not {"labels", "directions"} <= saved.keys():
        raise ValueError(
            f"{path / 'config.json'} has format {saved.get('format')}, but this version reads {FORMAT}:"
            " export the classifier again"
        )
    return saved


def _session(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "an exported classifier needs onnxruntime: pip install onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no narrower common base
        raise ValueError(
            f"{path} is missing or damaged ({str(error).splitlines()[0]}); export the classifier again"
        ) from None
