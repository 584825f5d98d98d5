"""The tasks of the speed benchmark in this library: each function prepares one and returns a function that does a window of it.

A window reports its seconds, how much work it did, and `values` that prove the work: losses of the steps, or probabilities.
With `proof`, dropout is off and the documents are ones that both libraries must read alike.
"""

import shutil
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.inputs import LABELS, Inputs
from benchmarks.worker import Window, serve, timed
from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import (
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    ModelConfig,
    RuntimeConfig,
    SamplingConfig,
)
from ulmfit.deploy.export import export
from ulmfit.deploy.exported import ExportedClassifier
from ulmfit.language_model import LanguageModel
from ulmfit.nn.features import FrozenFeatures
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import classifier_loss, lm_loss
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.log import Log
from ulmfit.training.loop import Optim, fit
from ulmfit.training.phases import Phase

LR, DECAY = 1e-2, 0.01  # peak learning rate and weight decay, as in fastai_worker.py
LM_DROP, CLASSIFIER_DROP = 0.3, 0.5  # factors on all dropout, fastai's `drop_mult`
NEGATIVES = 4096


class Losses(Log):
    """A log that keeps the loss of every step."""

    def __init__(self) -> None:
        super().__init__("benchmark")
        self.values: list[float] = []

    def step(self, update: int, **values: Any) -> None:
        self.values.append(float(values["loss"]))


def start(size: str, threads: int, precision: str = "fp32") -> tuple[Inputs, Runtime]:
    config = RuntimeConfig(device="cpu", threads=threads, precision=precision)  # pyright: ignore[reportArgumentType]
    return Inputs.open(size), Runtime.start(config)


def lm_step(
    size: str,
    threads: int,
    proof: bool,
    frozen: bool = False,
    sampled: bool = False,
    precision: str = "fp32",
) -> Window:
    """Training of the language model with optimizer, AR and TAR."""
    inputs, runtime = start(size, threads, precision)
    stream, net = inputs.stream, language_model(inputs).net
    net.encoder.dropout = LM_DROPOUT.scaled(0.0 if proof else LM_DROP)
    corpus = Corpus(stream, np.array([0, len(stream)]), None, (), "")
    batches = LMBatches(corpus, inputs.size.batch, inputs.size.bptt, shuffle=False)
    sampler = None
    if sampled:
        sampler = NegativeSampler(torch.from_numpy(corpus.counts(inputs.size.vocab)), NEGATIVES)
    return training(
        net, partial(lm_loss, sampler=sampler), batches, frozen, stream.size - 1, runtime
    )


def classifier_step(
    size: str, threads: int, proof: bool, frozen: bool = False, cached: bool = False
) -> Window:
    """Training of the classifier: of the head alone (`frozen`), or of everything. `cached`: documents are read in the first window
    only."""
    inputs, runtime = start(size, threads)
    net = classifier(inputs).net
    net.encoder.dropout = CLASSIFIER_DROPOUT.scaled(0.0 if proof else CLASSIFIER_DROP)
    ps = [0.0, 0.0] if proof else [CLASSIFIER_DROPOUT.output * CLASSIFIER_DROP, 0.1]
    net.head.dropouts = ps
    documents = inputs.texts["same" if proof else "train"]
    offsets = np.cumsum([0, *map(len, documents)])
    labels = np.arange(len(documents)) % 2
    corpus = Corpus(np.concatenate(documents), offsets, labels, LABELS, "")
    batches = DocumentBatches(corpus, inputs.size.batch, shuffle=False)
    features = FrozenFeatures(partial(batches.epoch, 0), len(documents)) if cached else None
    loss_fn = partial(classifier_loss, frozen=features)
    return training(net, loss_fn, batches, frozen, corpus.n_tokens, runtime)


def training(
    net: Any, loss_fn: Any, batches: Any, frozen: bool, tokens: int, runtime: Runtime
) -> Window:
    """A window is one phase over the batches; its time includes building the optimizer."""
    groups = len(net.layer_groups())
    lrs = (*[0.0 if frozen else LR] * (groups - 1), LR)

    def window() -> dict[str, Any]:
        log = Losses()
        how = {"optim": Optim(DECAY), "runtime": runtime, "log": log}
        phases = [Phase(1.0, lrs)]
        seconds, _ = timed(lambda: fit(net, loss_fn, batches, phases, description="", **how))
        return {"seconds": seconds, "work": tokens, "unit": "tokens", "values": log.values}

    return window


def one_document(size: str, threads: int, proof: bool, tokens: int, exported: str = "") -> Window:
    """Short texts, predicted one at a time."""
    inputs, runtime = start(size, threads)
    model, texts = predictor(inputs, exported), inputs.texts["single"][str(tokens)]
    calls = [texts[i % len(texts)] for i in range(inputs.size.calls)]

    def window() -> dict[str, Any]:
        seconds, found = timed(lambda: [model.predict(text, runtime) for text in calls])
        values = [p.probabilities[LABELS[1]] for p in found]
        return {"seconds": seconds, "work": len(calls), "unit": "documents", "values": values}

    return window


def documents(size: str, threads: int, proof: bool, exported: str = "") -> Window:
    """Texts of different lengths, predicted together."""
    inputs, runtime = start(size, threads)
    model = predictor(inputs, exported)
    texts = inputs.texts["single"]["230"] if proof else inputs.texts["batch"]

    def window() -> dict[str, Any]:
        seconds, rows = timed(lambda: model.probabilities(texts, runtime))
        values = rows[:, 1].tolist()
        return {"seconds": seconds, "work": len(texts), "unit": "documents", "values": values}

    return window


def generate(size: str, threads: int, proof: bool) -> Window:
    """Generation of words after a prompt."""
    inputs, runtime = start(size, threads)
    model, prompt = language_model(inputs), inputs.texts["single"]["20"][0]
    sampling = SamplingConfig(tokens=inputs.size.words, temperature=1.0)

    def window() -> dict[str, Any]:
        seconds, _ = timed(lambda: model.generate(prompt, sampling, runtime))
        return {"seconds": seconds, "work": sampling.tokens, "unit": "words", "values": []}

    def next_word() -> dict[str, Any]:
        with torch.inference_mode():
            out = model.net(torch.tensor(model.tokenizer.encode(prompt).tolist())[None])
            rows = model.net.logits(out.raw[0, -1]).softmax(0)
        return {"seconds": 0.0, "work": 1, "unit": "words", "values": rows[:100].tolist()}

    return next_word if proof else window


def saved(
    size: str, threads: int, proof: bool, storage: str = "fp32", exported: str = ""
) -> Window:
    """Saving a classifier to disk; `exported` also writes its export, for `processes.py`."""
    inputs, _ = start(size, threads)
    model, folder = classifier(inputs), inputs.folder / "ours"

    if exported:
        predictor(inputs, exported)

    def window() -> dict[str, Any]:
        seconds, _ = timed(lambda: model.save(folder, storage=storage))  # pyright: ignore
        size = sum(file.stat().st_size for file in folder.iterdir())
        return {"seconds": seconds, "work": 1, "unit": "files", "bytes": size, "values": []}

    return window


def language_model(inputs: Inputs) -> LanguageModel:
    tokenizer = Tokenizer.load(inputs.folder / "tokenizer.json")
    model = LanguageModel.create(tokenizer, config_of(inputs))
    fill(model.net, inputs)
    return model


def predictor(inputs: Inputs, exported: str) -> Classifier:
    """The classifier, or its export in "fp32" or "int8"."""
    model = classifier(inputs)
    if not exported:
        return model
    folder, texts = inputs.folder / f"exported-{exported}", inputs.texts["single"]["20"]
    shutil.rmtree(folder, ignore_errors=True)
    export(model, folder, texts, low_precision=exported == "int8")
    return ExportedClassifier(folder)


def classifier(inputs: Inputs) -> TextClassifier:
    tokenizer, config = Tokenizer.load(inputs.folder / "tokenizer.json"), config_of(inputs)
    net = ClassifierNet(len(tokenizer), config, CLASSIFIER_DROPOUT, len(LABELS))
    fill(net, inputs)
    return TextClassifier(net.eval(), tokenizer, config, LABELS)


def config_of(inputs: Inputs) -> ModelConfig:
    return ModelConfig(inputs.size.embedding, inputs.size.hidden, inputs.size.layers)


def fill(net: LMNet | ClassifierNet, inputs: Inputs) -> None:
    names = net.state_dict()
    net.load_state_dict({name: torch.from_numpy(inputs.weights[name]) for name in names})


TASKS = {
    "lm_step": lm_step,
    "classifier_step": classifier_step,
    "one_document": one_document,
    "documents": documents,
    "generate": generate,
    "saved": saved,
}

if __name__ == "__main__":
    serve(TASKS)
