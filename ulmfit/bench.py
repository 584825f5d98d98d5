"""How fast this library is on this machine: the shipped model tokenizes, learns and predicts for a few seconds each.

The texts are words of the model's vocabulary, drawn by Zipf's law from a seed, so nothing has to be downloaded; they mean
nothing, which neither speed nor memory minds.
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
DOCUMENTS = 64  # learnt from, or predicted together
LM_STEPS = 4  # of the language model's training in one window
LEAST = 3  # windows of each measurement; the first, which warms up, is not counted


@dataclass(frozen=True)
class Figure:
    """One measurement: the windows' rates, or times."""

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
    """Every measurement in turn, each of at least `seconds`. Wall-clock times: another program's work counts too."""
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
    """Text → ids; each window reads texts that were not there before."""
    seeds = count(2)

    def window() -> Callable[[], int]:
        texts = zipfian(tokenizer, DOCUMENTS, LONG, seed=next(seeds))
        return lambda: sum(map(len, tokenizer.encode_all(texts)))

    return rate("tokenizing", "tokens/s", window, seconds)


def lm_training(lm: LanguageModel, texts: list[str], runtime: Runtime) -> Callable[[], int]:
    """Some steps of fine-tuning as `fit` does them, on a copy; gives back the tokens read."""
    config, own = FitConfig.lm, lm.with_vocab(lm.tokenizer)
    needed = config.batch_size * config.bptt * LM_STEPS
    documents = [Document(text) for text in texts * (1 + needed // (len(texts) * LONG // 2))]
    corpus = Corpus.build(documents, own.tokenizer, max_tokens=needed, description="")
    batches = lm_batches(own, corpus, config.batch_size, config, runtime)
    phases = [Phase(1.0, (config.lr,) * len(own.net.layer_groups()))]
    stage = lm_stage("", own, corpus, (), batches, phases, config, runtime)
    return training(stage, batches.tokens_per_epoch, runtime)


def classifier_training(lm: LanguageModel, texts: list[str], runtime: Runtime) -> Callable[[], int]:
    """One pass over the texts with all layers trained; gives back their number."""
    documents = [Document(text, LABELS[i % 2]) for i, text in enumerate(texts)]
    config = replace(FitConfig.classifier, head_only_below=0)
    stage, _ = classifier_stage(lm, documents, (), config, runtime)
    stage.phases = [Phase(1.0, stage.phases[-1].lrs)]
    return training(stage, len(documents), runtime)


def training(stage: Stage, work: int, runtime: Runtime) -> Callable[[], int]:
    stage.name = ""  # no bar

    def window() -> int:
        stage.train(runtime)
        return work

    return window


def start_up(classifier: TextClassifier, text: str) -> Figure:
    """Seconds of a new process until it has predicted one text, from files that were read before."""
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
    """Work per second of each window, until `seconds` are over. A window that gives back a function is only prepared
    by it; the function is what is timed."""
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
    """Texts of about so many tokens: words of the vocabulary, the r-th with a probability as 1 / (r + 10)."""
    words = len(tokenizer) - len(SPECIAL_TOKENS)
    weights = 1 / (np.arange(words) + 10)
    rng = np.random.default_rng(seed)
    rows = rng.choice(words, (texts, tokens), p=weights / weights.sum()) + len(SPECIAL_TOKENS)
    return [tokenizer.decode(row.tolist()) for row in rows]
