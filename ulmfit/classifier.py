"""`TextClassifier`: load, predict, evaluate. Both directions together are an `ensemble.Ensemble`."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulmfit.card import write_card
from ulmfit.classifier_stream import ClassifierStream
from ulmfit.config import CLASSIFIER_DROPOUT, NO_DROPOUT, ClassifierConfig, ModelConfig
from ulmfit.files.checkpoint import (
    CheckpointError,
    Storage,
    load_json,
    load_net,
    save_json,
    save_tensors,
)
from ulmfit.language_model import (
    FORMAT,
    MOST_LAYERS,
    MOST_UNITS,
    LanguageModel,
    model_config,
)
from ulmfit.nn.features import pooled_features
from ulmfit.nn.heads import ClassifierNet
from ulmfit.outputs import Outputs, SingleLabel, outputs_of
from ulmfit.progress import bar
from ulmfit.runtime import Runtime
from ulmfit.shapes import Float
from ulmfit.text.batches import DocumentBatches
from ulmfit.text.corpus import Corpus, Texts
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import Calibration

KIND = "classifier"
BATCH_SIZE = 64  # documents read together in prediction
UPDATE_BN = 2_000  # most texts that `update_bn` averages over
WINDOW = 8192  # documents encoded and sorted by length at a time: bounds memory for a million texts


class Classifier(ABC):
    """The verbs of a trained classifier; `TextClassifier` and `Ensemble` differ in `probabilities`."""

    outputs: Outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty for a regressor."""
        return self.outputs.labels

    @property
    def calibration(self) -> Calibration:
        """Temperature and thresholds."""
        return self.outputs.calibration

    @calibration.setter
    def calibration(self, calibration: Calibration) -> None:
        self.outputs = self.outputs.calibrated(calibration)

    @abstractmethod
    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        """(D, C) float32, rows in the order of `texts`, columns in the order of `labels`; a regressor: (D, 1) the numbers."""

    def stream(self, runtime: Runtime | None = None) -> ClassifierStream:
        """A reader for one text that arrives in pieces. ValueError: this classifier, or its tokenizer's language, can't read so."""
        raise ValueError(
            "an export reads whole texts; for a text that comes in pieces load the classifier it was made from"
        )

    def predict(
        self, texts: str | Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> Any:
        """One prediction for a string, a list of them (in input order) for an iterable of strings: each a `Prediction`,
        `MultiLabelPrediction` or `NumberPrediction`, by kind of label."""
        if isinstance(texts, str):
            return self.predict([texts], runtime)[0]
        return self.outputs.predictions(self.probabilities(texts, runtime, progress=progress))

    def evaluate(
        self, documents: Texts, runtime: Runtime | None = None, *, progress: str = ""
    ) -> dict[str, float]:
        """`documents`, and the metrics of the kind of label: `accuracy` and `macro_f1`; `micro_f1`, `macro_f1` and
        `average_precision`; or `mae`, `rmse` and `r2`. ValueError: no documents, or a label that is missing, was never seen in
        training, or is of another kind."""
        if not len(documents):
            raise ValueError("there are no documents to evaluate on; give at least one")
        truth, rows = self.score(documents, runtime, progress=progress)
        return self.outputs.metrics(truth, rows) | {"documents": len(documents)}

    def score(
        self, documents: Texts, runtime: Runtime | None = None, *, progress: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """The true labels (as `Outputs.truth`) and `probabilities` of labelled documents."""
        if isinstance(documents, Corpus):
            raise ValueError("encoded texts are for the trained classifier of one direction only")
        truth = self.outputs.truth(documents)  # before the work
        return truth, self.probabilities([d.text for d in documents], runtime, progress=progress)


class TextClassifier(Classifier):
    """A classifier of one direction: net + tokenizer + config + outputs (labels, calibration)."""

    def __init__(
        self,
        net: ClassifierNet,
        tokenizer: Tokenizer,
        config: ModelConfig,
        labels: Sequence[str] | Outputs,
    ) -> None:
        """`labels`: names of the classes where a text has one; for other kinds of label, their `Outputs`."""
        self.net, self.tokenizer, self.config = net, tokenizer, config
        self.outputs = labels if isinstance(labels, Outputs) else SingleLabel(tuple(labels))

    @classmethod
    def create(
        cls, lm: LanguageModel, labels: Sequence[str] | Outputs, config: ClassifierConfig
    ) -> "TextClassifier":
        """A classifier of the language model's encoder (copied), its tokenizer, and a new head."""
        net = ClassifierNet(
            len(lm.tokenizer),
            lm.config,
            CLASSIFIER_DROPOUT.scaled(config.dropout_scale),
            labels.size if isinstance(labels, Outputs) else len(labels),
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
        return np.concatenate(blocks) if blocks else np.zeros((0, self.outputs.size), np.float32)

    def probabilities_of(self, corpus: Corpus, runtime: Runtime, advance: Any = None) -> np.ndarray:
        """`probabilities` of an encoded corpus."""
        # Outside of inference mode: parameters that are moved inside it can't be trained afterwards.
        runtime.ready(self.net)
        with torch.inference_mode():
            return self._probabilities_of(corpus, runtime, advance)

    def _probabilities_of(self, corpus: Corpus, runtime: Runtime, advance: Any) -> np.ndarray:
        rows = np.zeros((len(corpus), self.outputs.size), np.float32)
        backward = self.config.direction == "backward"
        batches = DocumentBatches(corpus, BATCH_SIZE, shuffle=False, backward=backward).epoch(0)
        world = runtime.world
        for batch in islice(batches, world.rank, None, world.size):
            with runtime.autocast():
                logits = self.net(batch.tokens.to(runtime.device), batch.lengths).logits
            rows[batch.index.numpy()] = self.outputs.activate(logits.float()).cpu().numpy()
            if advance:
                advance(len(batch.index) * world.size, "")
        return rows if world.size == 1 else world.total(torch.from_numpy(rows)).numpy()

    def score(
        self, documents: Texts, runtime: Runtime | None = None, *, progress: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """As for any classifier; also of a labelled corpus that was encoded with this tokenizer."""
        if not isinstance(documents, Corpus):
            return super().score(documents, runtime, progress=progress)
        self.check_words(documents)
        truth = self.outputs.truth(documents.without_texts())
        with bar(progress, total=len(documents), unit="texts") as advance:
            rows = self.probabilities_of(documents, runtime or Runtime.choose(), advance)
        return truth, rows

    def check_words(self, corpus: Corpus) -> None:
        """ValueError if the corpus was encoded with another tokenizer."""
        if corpus.tokenizer != self.tokenizer:
            raise ValueError(
                "the corpus was not encoded with the vocabulary of the classifier or its language model; encode its texts"
                " with the tokenizer.json of that model"
            )

    def update_bn(self, documents: Texts, runtime: Runtime) -> None:
        """Set BatchNorm's averages to those of these texts, or of `UPDATE_BN` drawn from them, read without dropout (PreciseBN,
        Wu & Johnson 2021). ValueError: fewer than two texts."""
        n = len(documents)
        if n < 2:
            raise ValueError(f"BatchNorm's averages need two texts or more, not {n}")
        rows = random.Random(0).sample(range(n), min(n, UPDATE_BN))
        if isinstance(documents, Corpus):
            drawn: Sequence[str] | Corpus = documents.subset(rows)
        else:
            drawn = [documents[i].text for i in rows]
        self.net.head.update_bn(self.features(drawn, runtime))

    @torch.no_grad()
    def features(
        self, texts: Sequence[str] | Corpus, runtime: Runtime, *, progress: str = ""
    ) -> Float[torch.Tensor, "D P"]:
        """The pooled features that the head reads, a row per text, in order; the processes share the reading."""
        if isinstance(texts, Corpus):
            corpus = texts
        else:
            corpus = Corpus.build(map(Document, texts), self.tokenizer, description="")
        backward = self.config.direction == "backward"
        batches = DocumentBatches(corpus, BATCH_SIZE, shuffle=False, backward=backward).epoch(0)
        runtime.ready(self.net)
        with runtime.autocast():
            return pooled_features(self.net, batches, len(corpus), progress, runtime.world)

    def stream(self, runtime: Runtime | None = None) -> ClassifierStream:
        if self.config.direction == "backward":
            raise ValueError(
                "a backward classifier begins at the end of a text, which a stream reaches last; use a forward one"
            )
        return ClassifierStream(self.net, self.tokenizer, self.outputs, runtime or Runtime.choose())

    def save(
        self, path: str | Path, *, storage: Storage = "fp32", card: dict[str, Any] | None = None
    ) -> None:
        """Writes a directory: config.json (with `card`), tokenizer.json, model.safetensors, and the model card README.md."""
        path = Path(path)
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
            **self.outputs.saved(),
        }
        save_json(path / "config.json", content | {"reading": reading, "card": card or {}})
        write_card(path)

    @classmethod
    def load(cls, path: str | Path) -> "TextClassifier":
        """The inverse of `save`. Raises `CheckpointError` naming what is missing, damaged or does not fit."""
        path = Path(path)
        saved = load_json(path / "config.json")
        config = model_config(saved, KIND, path)
        tokenizer = Tokenizer.load(path / "tokenizer.json")
        try:
            outputs, reading = outputs_of(saved), _reading(saved["reading"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path / 'config.json'} does not describe a classifier ({error})"
            ) from None
        build = partial(ClassifierNet, len(tokenizer), config, NO_DROPOUT, outputs.size, **reading)
        net = load_net(path / "model.safetensors", build)
        return cls(net.eval(), tokenizer, config, outputs)


def _reading(saved: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a `ClassifierNet` from its record. KeyError, TypeError, ValueError: the record is damaged."""
    numbers = {"bptt": saved["bptt"], "max_len": saved["max_len"]}
    sizes = tuple(saved["head_sizes"])  # JSON has lists only
    for number in (*numbers.values(), *sizes):
        if type(number) is not int or not 1 <= number <= MOST_UNITS:
            raise ValueError(
                f"reading: {number!r:.40} is not a whole number from 1 to {MOST_UNITS:,}"
            )
    if saved["max_len"] < saved["bptt"]:
        raise ValueError("reading: max_len is less than bptt")
    if saved.keys() - {*numbers, "head_sizes"} or len(sizes) > MOST_LAYERS:
        raise ValueError(f"reading: {sorted(saved)}, {len(sizes):,} layers in the head")
    return numbers | {"head_sizes": sizes}
