"""`ExportedClassifier`: an exported classifier with the methods of any `Classifier`, for instance to score files."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ulmfit.classifier import WINDOW, Classifier
from ulmfit.deploy.onnx import Predictor
from ulmfit.outputs import SingleLabel
from ulmfit.progress import bar
from ulmfit.runtime import Runtime


class ExportedClassifier(Classifier):
    """A `Predictor` with the methods of a `Classifier`. It computes on the CPU whatever the `Runtime` says, in as many threads
    as PyTorch had when it was loaded."""

    def __init__(self, path: str | Path) -> None:
        self._predictor = Predictor(path, threads=torch.get_num_threads())
        self.outputs = SingleLabel(self._predictor.labels, self._predictor.calibration)

    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        total = len(texts) if isinstance(texts, Sequence) else None
        rest, blocks = iter(texts), [np.zeros((0, len(self.labels)), np.float32)]
        with bar(progress, total=total, unit="texts") as advance:
            while window := list(islice(rest, WINDOW)):
                blocks.append(self._predictor.probabilities(window))
                advance(len(window), "")
        return np.concatenate(blocks)
