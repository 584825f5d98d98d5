"""`TextClassifier` (one direction) and `Ensemble` (both): load, predict, evaluate."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulmfit.checkpoint import (
    CheckpointError,
    Storage,
    load_into,
    load_json,
    save_json,
    save_tensors,
)
from ulmfit.config import CLASSIFIER_DROPOUT, NO_DROPOUT, ClassifierConfig, ModelConfig
from ulmfit.language_model import FORMAT, LanguageModel, model_config
from ulmfit.nn.heads import ClassifierNet
from ulmfit.progress import bar
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document, class_name
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import Calibration, tempered
from ulmfit.training.metrics import classification_metrics

KIND = "classifier"
UNSURE = "unsure"  # what is said of a text instead of a label
BATCH_SIZE = 64  # documents read together in prediction
WINDOW = (
    8192  # documents held in memory and sorted by length together, so that a million texts can pass
)


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one text."""

    label: str
    probability: float  # of `label`
    probabilities: dict[str, float]  # of every label
    sure: bool = True  # False: below the threshold of `label`, where the classifier has thresholds

    @property
    def verdict(self) -> str:
        """The label, or "unsure"."""
        return self.label if self.sure else UNSURE


class Classifier(ABC):
    """The verbs of a trained classifier; `TextClassifier` and `Ensemble` differ in `probabilities`."""

    labels: tuple[str, ...]
    calibration: Calibration = Calibration()

    @abstractmethod
    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        """(D, C) float32, rows in the order of `texts`, columns in the order of `labels`."""

    def predict(
        self, texts: str | Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> Any:
        """One `Prediction` for a string, a list of them (in input order) for an iterable of strings."""
        if isinstance(texts, str):
            return self.predict([texts], runtime)[0]
        rows = self.probabilities(texts, runtime, progress=progress)
        found = []
        for row, k in zip(rows, rows.argmax(axis=1), strict=True):
            label, probability = self.labels[k], float(row[k])
            of_all = dict(zip(self.labels, row.tolist(), strict=True))
            sure = self.calibration.sure(label, probability)
            found.append(Prediction(label, probability, of_all, sure))
        return found

    def evaluate(
        self, documents: Sequence[Document], runtime: Runtime | None = None, *, progress: str = ""
    ) -> dict[str, float]:
        """`accuracy`, `macro_f1` and `documents` on labelled documents; a label never seen in training is an error."""
        truth, rows = self.score(documents, runtime, progress=progress)
        return self.scores(truth, rows)

    def score(
        self, documents: Sequence[Document], runtime: Runtime | None = None, *, progress: str = ""
    ) -> tuple[list[int], np.ndarray]:
        """(D,) positions of the true labels and (D, C) probabilities of labelled documents."""
        truth = self.truth(documents)  # before the work
        return truth, self.probabilities([d.text for d in documents], runtime, progress=progress)

    def truth(self, documents: Sequence[Document]) -> list[int]:
        """The columns of the documents' labels; one that is missing or was never seen in training is an error."""
        names = ["None" if d.label is None else class_name(d.label) for d in documents]
        unknown = sorted(set(names) - set(self.labels))
        if unknown:
            raise ValueError(
                f"labels {unknown} are unknown to this classifier; it knows {list(self.labels)}"
            )
        return [self.labels.index(name) for name in names]

    def scores(self, truth: Sequence[int], probabilities: np.ndarray) -> dict[str, float]:
        """What `evaluate` gives, of `probabilities` that are there already."""
        metrics = classification_metrics(truth, probabilities.argmax(axis=1).tolist())
        return metrics | {"documents": len(truth)}


class TextClassifier(Classifier):
    """A classifier of one direction: net + tokenizer + config + labels."""

    def __init__(
        self, net: ClassifierNet, tokenizer: Tokenizer, config: ModelConfig, labels: Sequence[str]
    ) -> None:
        self.net, self.tokenizer, self.config, self.labels = net, tokenizer, config, tuple(labels)

    @classmethod
    def create(
        cls, lm: LanguageModel, labels: Sequence[str], config: ClassifierConfig
    ) -> "TextClassifier":
        """The language model's encoder (copied), its tokenizer, and a new head."""
        net = ClassifierNet(
            len(lm.tokenizer),
            lm.config,
            CLASSIFIER_DROPOUT.scaled(config.dropout_scale),
            len(labels),
            bptt=config.bptt,
            max_len=config.max_len,
            head_sizes=config.head_sizes,
        )
        net.encoder.load_state_dict(lm.net.encoder.state_dict())
        return cls(net.eval(), lm.tokenizer, lm.config, labels)

    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        runtime = runtime or Runtime.choose()
        total = len(texts) if isinstance(texts, Sequence) else None
        rest, blocks = iter(texts), []
        with bar(progress, total=total, unit="texts") as advance:
            while window := list(islice(rest, WINDOW)):
                corpus = Corpus.build((Document(t) for t in window), self.tokenizer, description="")
                blocks.append(self.probabilities_of(corpus, runtime, advance if progress else None))
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def probabilities_of(self, corpus: Corpus, runtime: Runtime, advance: Any = None) -> np.ndarray:
        """(D, C) of an encoded corpus, rows in corpus order."""
        # Outside of inference mode: parameters that are moved inside it can't be trained any more.
        self.net.eval().to(runtime.device)
        with torch.inference_mode():
            return self._probabilities_of(corpus, runtime, advance)

    def _probabilities_of(self, corpus: Corpus, runtime: Runtime, advance: Any) -> np.ndarray:
        rows = np.zeros((len(corpus), len(self.labels)), np.float32)
        backward = self.config.direction == "backward"
        for batch in DocumentBatches(corpus, BATCH_SIZE, shuffle=False, backward=backward).epoch(0):
            with runtime.autocast():
                logits = self.net(
                    batch.tokens.to(runtime.device), batch.lengths.to(runtime.device)
                ).logits
            logits = logits.float() / self.calibration.temperature
            rows[batch.index.numpy()] = logits.softmax(dim=1).cpu().numpy()
            if advance:
                advance(len(batch.index), "")
        return rows

    def save(
        self, path: Path, *, storage: Storage = "fp32", card: dict[str, Any] | None = None
    ) -> None:
        """A directory: config.json, tokenizer.json, model.safetensors."""
        path.mkdir(parents=True, exist_ok=True)
        save_tensors(path / "model.safetensors", self.net.state_dict(), storage=storage)
        self.tokenizer.save(path / "tokenizer.json")
        reading = {
            "bptt": self.net.bptt,
            "max_len": self.net.max_len,
            "head_sizes": list(self.net.head_sizes),
        }
        content = {
            "kind": KIND,
            "format": FORMAT,
            "model": asdict(self.config),
            "labels": list(self.labels),
            "calibration": self.calibration.to_json(),
        }
        save_json(path / "config.json", content | {"reading": reading, "card": card or {}})

    @classmethod
    def load(cls, path: str | Path) -> "TextClassifier":
        """The inverse of `save`. Raises `CheckpointError` naming what is missing, damaged or does not fit."""
        path = Path(path)
        saved = load_json(path / "config.json")
        config = model_config(saved, KIND, path)
        tokenizer = Tokenizer.load(path / "tokenizer.json")
        try:
            labels, reading = saved["labels"], saved["reading"]
            reading |= {"head_sizes": tuple(reading["head_sizes"])}  # JSON has lists only
            net = ClassifierNet(len(tokenizer), config, NO_DROPOUT, len(labels), **reading)
            calibration = Calibration(**saved.get("calibration", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path / 'config.json'} does not describe a classifier ({error})"
            ) from None
        load_into(net, path / "model.safetensors")
        classifier = cls(net.eval(), tokenizer, config, labels)
        classifier.calibration = calibration
        return classifier


class Ensemble(Classifier):
    """Forward and backward classifiers; probabilities are averaged (paper §3.3)."""

    def __init__(self, members: Sequence[TextClassifier]) -> None:
        if len({m.labels for m in members}) != 1:
            raise ValueError(
                f"the members know different labels: {[m.labels for m in members]}; train them on the same file"
            )
        self.members, self.labels = tuple(members), members[0].labels

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
