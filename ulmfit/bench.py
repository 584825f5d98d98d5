"""How fast this library is on this machine: the shipped model tokenizes, trains and predicts for a few seconds each.

The texts are words of the model's vocabulary, drawn by Zipf's law with a fixed seed, so nothing has to be downloaded. They
make no sense, which matters for neither speed nor memory.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ulmfit import pretrained
from ulmfit.classifier import TextClassifier
from ulmfit.config import FitConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.prepare_lm import lm_batches, lm_stage
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.rules import SPECIAL_TOKENS
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.phases import Phase
from ulmfit.training.stage import Stage

LABELS = ("negative", "positive")
LONG, SHORT = 230, 20  # tokens: a film review, a sentence
DOCUMENTS = 64  # trained on, or predicted together
LM_STEPS = 4  # training steps of the language model in one window
LEAST = 3  # windows counted per measurement, at least; one more before them warms up


@dataclass(frozen=True)
class Figure:
    """One measurement: the rate, or time, of each window."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def row(self) -> dict[str, Any]:
        """For JSON: median, lowest and highest."""
        low, high = min(self.values), max(self.values)
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "low": low,
            "high": high,
        }


def figures(runtime: Runtime, seconds: float) -> Iterator[Figure]:
    """Every measurement in turn, each over at least `seconds`. Wall-clock times: other programs on the machine slow them."""
    lm = pretrained.load(FitConfig.pretrained, "forward")
    assert lm is not None
    classifier = TextClassifier.create(lm, LABELS, FitConfig.classifier)
    texts = zipfian(lm.tokenizer, DOCUMENTS, LONG, seed=0)
    yield tokenizing(lm.tokenizer, seconds)
    yield rate(
        "language model, training step", "tokens/s", lm_training(lm, texts, runtime), seconds
    )
    stage = classifier_training(lm, texts, runtime)
    yield rate("classifier, training step", "documents/s", stage, seconds)
    sentence = zipfian(lm.tokenizer, 1, SHORT, seed=1)[0]

    def one() -> int:
        classifier.predict(sentence, runtime)
        return 1

    def together() -> int:
        return len(classifier.probabilities(texts, runtime))

    one_by_one = rate("", "", one, seconds)
    times = tuple(1000 / per_second for per_second in one_by_one.values)
    yield Figure(f"prediction of one text of {SHORT} tokens", "ms", times)
    name = f"prediction of {DOCUMENTS} texts of {LONG} tokens"
    yield rate(name, "documents/s", together, seconds)
    yield start_up(classifier, sentence)


def tokenizing(tokenizer: Tokenizer, seconds: float) -> Figure:
    """Text → ids; each window reads new texts."""
    seeds = count(2)

    def window() -> Callable[[], int]:
        texts = zipfian(tokenizer, DOCUMENTS, LONG, seed=next(seeds))
        return lambda: sum(map(len, tokenizer.encode_all(texts)))

    return rate("tokenizing", "tokens/s", window, seconds)


def lm_training(lm: LanguageModel, texts: list[str], runtime: Runtime) -> Callable[[], int]:
    """A window of fine-tuning steps as in `fit`, on a copy of the model; it returns the tokens read."""
    config, own = FitConfig.lm, lm.with_vocab(lm.tokenizer)
    needed = config.batch_size * config.bptt * LM_STEPS
    documents = [Document(text) for text in texts * (1 + needed // (len(texts) * LONG // 2))]
    corpus = Corpus.build(documents, own.tokenizer, max_tokens=needed, description="")
    batches = lm_batches(own, corpus, config.batch_size, config, runtime)
    phases = [Phase(1.0, (config.lr,) * len(own.net.layer_groups()))]
    stage = lm_stage("", own, corpus, (), batches, phases, config, runtime)
    return training(stage, batches.tokens_per_epoch, runtime)


def classifier_training(lm: LanguageModel, texts: list[str], runtime: Runtime) -> Callable[[], int]:
    """A window of one pass over the texts that trains all layers; it returns the number of texts."""
    documents = [Document(text, LABELS[i % 2]) for i, text in enumerate(texts)]
    config = replace(FitConfig.classifier, head_only_below=0)
    stage, _ = classifier_stage(lm, documents, (), config, runtime)
    stage.phases = [Phase(1.0, stage.phases[-1].lrs)]
    return training(stage, len(documents), runtime)


def training(stage: Stage, work: int, runtime: Runtime) -> Callable[[], int]:
    """A window that trains the stage once and returns `work`."""
    stage.name = ""  # no progress bar

    def window() -> int:
        stage.train(runtime)
        return work

    return window


def start_up(classifier: TextClassifier, text: str) -> Figure:
    """Seconds from the start of a process to its first prediction, with the files in the page cache."""
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "classifier"
        classifier.save(saved)
        command = [sys.executable, "-m", "ulmfit", "predict", str(saved), "--text", text]
        paths = os.pathsep.join(
            filter(None, [str(Path(__file__).parents[1]), os.getenv("PYTHONPATH")])
        )
        env = os.environ | {"PYTHONPATH": paths}
        times = []
        for _ in range(1 + LEAST):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=env)
            times.append(time.perf_counter() - began)
    return Figure("process start to its first prediction", "s", tuple(times[1:]))


def rate(
    name: str, unit: str, window: Callable[[], int | Callable[[], int]], seconds: float
) -> Figure:
    """Work per second of each window, for at least `seconds`. A window that returns a function has only prepared the work:
    the function is what is timed."""
    values: list[float] = []
    ends = time.perf_counter() + seconds
    while len(values) < 1 + LEAST or time.perf_counter() < ends:
        began = time.perf_counter()
        work = window()
        if callable(work):
            began = time.perf_counter()
            work = work()
        values.append(work / (time.perf_counter() - began))
    return Figure(name, unit, tuple(values[1:]))


def zipfian(tokenizer: Tokenizer, texts: int, tokens: int, *, seed: int) -> list[str]:
    """Texts of about `tokens` tokens: words of the vocabulary, the r-th with a probability proportional to 1 / (r + 10)."""
    words = len(tokenizer) - len(SPECIAL_TOKENS)
    weights = 1 / (np.arange(words) + 10)
    rng = np.random.default_rng(seed)
    rows = rng.choice(words, (texts, tokens), p=weights / weights.sum()) + len(SPECIAL_TOKENS)
    return [tokenizer.decode(row.tolist()) for row in rows]
