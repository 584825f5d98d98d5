"""A forward and a backward classifier as one."""

from collections.abc import Iterable, Sequence

import numpy as np

from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.classifier_stream import ClassifierStream
from ulmfit.runtime import Runtime
from ulmfit.training.calibration import Calibration, tempered


class Ensemble(Classifier):
    """A forward and a backward classifier whose probabilities, or numbers, are averaged (paper §3.3)."""

    def __init__(self, members: Sequence[TextClassifier]) -> None:
        if len({m.outputs for m in members}) != 1:
            raise ValueError(
                f"the members have different labels: {[m.outputs for m in members]}; train them on the same file"
            )
        self.members = tuple(members)
        self.outputs = members[0].outputs.calibrated(Calibration())

    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        texts = list(texts)
        parts = [
            m.probabilities(
                texts, runtime, progress=progress and f"{progress}, {m.config.direction}"
            )
            for m in self.members
        ]
        return tempered(np.mean(parts, axis=0), self.calibration.temperature)

    def stream(self, runtime: Runtime | None = None) -> ClassifierStream:
        raise ValueError(
            "one of these classifiers begins at the end of a text, which a stream reaches last; load the forward one"
            " alone (RUN/forward/classifier)"
        )


def members_of(classifier: Classifier, doing: str) -> tuple[TextClassifier, ...]:
    """The trained classifiers, one per direction, for `doing` something that needs their nets. ValueError: a classifier of
    several labels or numbers, or an export, which has no PyTorch net."""
    if classifier.outputs.kind != "single":
        raise ValueError(
            f"{doing} is for classifiers of one class per text; this one predicts {classifier.outputs}"
        )
    if isinstance(classifier, Ensemble):
        return classifier.members
    if not isinstance(classifier, TextClassifier):
        raise ValueError(
            f"{doing} needs the trained classifier, and this is an export already: name the run it was made from"
        )
    return (classifier,)
