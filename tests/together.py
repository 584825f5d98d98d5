"""Trainings small enough to be repeated by several processes: `scenarios` runs them all, alone or as one of them."""

import json
import os
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from tiny import TINY, TINY_FIT

from ulmfit import stages, world
from ulmfit.config import (
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    NO_DROPOUT,
    ClassifierConfig,
    Dropout,
    OutOfTime,
    RuntimeConfig,
    TokenizerConfig,
)
from ulmfit.language_model import LanguageModel
from ulmfit.nn.features import FrozenFeatures
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import classifier_loss, lm_loss, weighted_cross_entropy
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.prepare_lm import finetune_stage
from ulmfit.pseudo_labels import pseudo_labelled
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime, rng_state
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.log import Log
from ulmfit.training.loop import Optim, fit
from ulmfit.training.phases import Phase
from ulmfit.training.resume import ResumePoint

SIZE = 3  # processes: of five streams, or a last batch of two documents, they get different numbers
STEPS = 50
WORDS = [
    "good",
    "bad",
    "film",
    "plot",
    "cast",
    "music",
    "ending",
    "is",
    "was",
    "so",
    "very",
    "not",
    "and",
    "but",
    "of",
]


def texts(n: int = 58) -> list[Document]:
    """Of 2 to 80 words: some processes read more chunks than others."""
    draw = np.random.default_rng(0)
    return [
        Document(" ".join(draw.choice(WORDS, int(draw.integers(2, 81)))), WORDS[i % 2])
        for i in range(n)
    ]


class Curve(Log):
    """The loss of every step."""

    def __init__(self) -> None:
        super().__init__("curve")
        self.losses: list[float] = []

    def step(self, update: int, *, loss: float, **values: Any) -> None:
        self.losses.append(float(loss))


class Training(ABC):
    """One of the two trainings: `run` gives its loss curve and its weights."""

    shares: Sequence[tuple[float, tuple[float, ...]]]  # of the steps, and rates by layer group
    texts = 58  # of which the last batch of eight has two

    def __init__(
        self, runtime: Runtime, dropout: Dropout | None, steps: int = STEPS, **loss: Any
    ) -> None:
        """Without `dropout` there is none in the head either."""
        torch.manual_seed(1)
        documents = texts(self.texts)
        tokenizer = Tokenizer.build((d.text for d in documents), TokenizerConfig(min_freq=1))
        self.runtime, self.tokenizer = runtime, tokenizer
        self.corpus = Corpus.build(
            documents, tokenizer, label_names=("bad", "good"), description=""
        )
        self.net, self.batches, self.loss_fn = self.parts(dropout or NO_DROPOUT, loss)
        if dropout is None and isinstance(self.net, ClassifierNet):
            self.net.head.dropouts = [0.0, 0.0]
        epochs = steps / self.batches.steps_per_epoch
        self.phases = [Phase(share * epochs, lrs) for share, lrs in self.shares]

    @abstractmethod
    def parts(self, dropout: Dropout, loss: dict[str, Any]) -> Any:
        """(net, batches, loss function)"""

    def run(self, resume: ResumePoint | None = None) -> dict[str, Any]:
        log = Curve()
        torch.manual_seed(2)  # what a stage has drawn before its first step
        fit(
            self.net,
            self.loss_fn,
            self.batches,
            self.phases,
            optim=Optim(weight_decay=0.1, max_grad_norm=0.25),
            runtime=self.runtime,
            log=log,
            resume=resume,
            description="",
        )
        return {"losses": log.losses, "weights": self.weights()}

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: t.clone() for name, t in self.net.state_dict().items()}


class LM(Training):
    shares = ((0.2, (0.0, 0.0, 2e-2)), (0.8, (1e-3, 2e-3, 4e-3)))

    def parts(self, dropout: Dropout, loss: dict[str, Any]) -> Any:
        if loss.pop("sampled", False):
            counts = self.corpus.counts(len(self.tokenizer))
            loss["sampler"] = NegativeSampler(counts, 40, world=self.runtime.world)
        batches = LMBatches(self.corpus, 5, 10, shuffle=True)
        net = LMNet(len(self.tokenizer), TINY, dropout)
        return net, batches, partial(lm_loss, **loss, world=self.runtime.world)


class Classify(Training):
    shares = (
        (0.2, (0.0, 0.0, 0.0, 5e-2)),
        (0.4, (0.0, 0.0, 1e-2, 2e-2)),
        (0.4, (1e-3, 2e-3, 4e-3, 8e-3)),
    )
    batch_size = 8

    def parts(self, dropout: Dropout, loss: dict[str, Any]) -> Any:
        batches = DocumentBatches(self.corpus, self.batch_size, shuffle=True)
        if loss.pop("cached", False):
            reading = DocumentBatches(self.corpus, self.batch_size, shuffle=False)
            every = partial(reading.epoch, 0)
            loss["frozen"] = FrozenFeatures(every, len(self.corpus), self.runtime.world)
        weights = torch.tensor([0.5, 1.5])
        loss["criterion"] = partial(weighted_cross_entropy, weights=weights, smoothing=0.1)
        net = ClassifierNet(len(self.tokenizer), TINY, dropout, 2, bptt=10, max_len=40)
        with torch.no_grad():  # features that differ between texts, as those of a trained encoder
            for parameter in net.encoder.parameters():
                parameter.mul_(3)
        return net, batches, partial(classifier_loss, **loss, world=self.runtime.world)


class ClassifyCalmly(Classify):
    """BatchNorm of eight texts, and of two, multiplies a rounding error a thousandfold within 50 such steps, in one process
    too: in fp32 only a training that does not can be compared."""

    shares = (
        (0.2, (0.0, 0.0, 0.0, 1e-2)),
        (0.4, (0.0, 0.0, 5e-3, 1e-2)),
        (0.4, (5e-4, 1e-3, 2e-3, 4e-3)),
    )
    texts, batch_size = 62, 16


@contextmanager
def float64() -> Iterator[None]:
    """Nothing is computed in fp32, not even what always is: then a difference is no rounding error."""
    torch.set_default_dtype(torch.float64)
    try:
        with patch.object(torch.Tensor, "float", torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def resumed(training: Callable[[], Training], path: Path) -> dict[str, Any]:
    """Saved at every step, stopped at every sixth, and gone on with, to the end."""
    for _ in count():
        one = training()
        point = ResumePoint(path, "me")
        point.due = lambda: True  # pyright: ignore
        steps = count(1)

        def soon(steps: Any = steps) -> bool:
            return next(steps) % 6 == 0

        try:
            with patch.object(
                Runtime, "out_of_time", lambda self, soon=soon: self.world.any(soon())
            ):
                return one.run(point)
        except OutOfTime:
            pass
    raise AssertionError


def scenarios(runtime: Runtime, folder: Path) -> dict[str, dict[str, Any]]:
    """Everything the laws are about, by name: loss curves, weights, metrics."""
    found: dict[str, dict[str, Any]] = {}
    for name, steps, training in (
        ("lm", STEPS, partial(LM, runtime, None, ar=2.0, tar=1.0)),
        ("lm, sampled", 15, partial(LM, runtime, None, sampled=True)),
        ("classifier", STEPS, partial(ClassifyCalmly, runtime, None)),
        ("classifier, float64", STEPS, partial(Classify, runtime, None)),
        ("classifier, cached, float64", 15, partial(Classify, runtime, None, cached=True)),
        ("lm, dropout", 15, partial(LM, runtime, LM_DROPOUT, sampled=True)),
        ("classifier, dropout", 15, partial(Classify, runtime, CLASSIFIER_DROPOUT)),
    ):
        with float64() if name.endswith("float64") else nullcontext():
            found[name] = training(steps=steps).run()
        found[name]["random"] = rng_state(runtime.device)["cpu"]
        if name.endswith("dropout"):
            found[f"{name}, resumed"] = resumed(partial(training, steps=steps), folder / name)
    found["metrics"] = metrics(runtime)
    return found | {"fit": whole_fit(runtime, folder)}


def metrics(runtime: Runtime) -> dict[str, Any]:
    """What is said of held-out texts after an epoch, by untrained models."""
    torch.manual_seed(3)
    tokenizer = Tokenizer.build((d.text for d in texts()), TokenizerConfig(min_freq=1))
    lm = LanguageModel.create(tokenizer, TINY)
    labelled, config = texts(40), ClassifierConfig(batch_size=16, bptt=10)
    classifier = classifier_stage(lm, labelled, texts(150), config, runtime)[0]
    told = replace(TINY_FIT.lm, valid_fraction=0.5)
    language = finetune_stage(lm, texts(), told, TokenizerConfig(min_freq=1), runtime)[0]
    assert classifier.evaluate and language.evaluate
    few = replace(config, pseudo_labels=100)
    right = [str(d.label) for d in pseudo_labelled(lm, labelled, texts(150), few, runtime)]
    guessed = {f"guess {i}": right[i] == "good" for i in range(60)}
    return {"classifier": classifier.evaluate() | guessed, "lm": language.evaluate()}


def whole_fit(runtime: Runtime, folder: Path) -> dict[str, Any]:
    """The stages themselves, into a run directory; best epoch kept."""
    torch.manual_seed(4)
    tokenizer = Tokenizer.build((d.text for d in texts()), TokenizerConfig(min_freq=1))
    LanguageModel.create(tokenizer, TINY).save(folder / "pretrained/forward/language_model")
    said: list[str] = []
    lm = replace(TINY_FIT.lm, skipgram_epochs=1, dropout_scale=0.0)
    config = replace(TINY_FIT, pretrained=str(folder / "pretrained"), lm=lm)
    config = replace(config, classifier=replace(config.classifier, keep="best"))
    held, labelled = texts(240)[:200], texts(240)[200:]
    told = {"valid": held, "config": config, "out": folder / "run", "say": said.append}
    classifier = stages.fit(labelled, runtime=RuntimeConfig(device="cpu", precision="fp32"), **told)
    return {"said": len(said), "weights": dict(classifier.net.state_dict())}  # pyright: ignore


def refused(runtime: Runtime, folder: Path) -> dict[str, Any]:
    """What the last process says when it was started with other settings."""
    last = runtime.world.rank == runtime.world.size - 1 and not runtime.world.first
    try:
        with Run.open(folder / "other", {"lr": 1 + last}, world=runtime.world):
            return {"said": ""}
    except ValueError as error:
        return {"said": str(error)}


class Sent:
    """Bytes of each sum that is asked for."""

    def __init__(self) -> None:
        self.messages, self._real = list[int](), dist.all_reduce
        self._patch = patch.object(dist, "all_reduce", self._counted)

    def __enter__(self) -> list[int]:
        self._patch.start()
        return self.messages

    def _counted(self, tensor: torch.Tensor, *args: Any) -> Any:
        self.messages.append(tensor.nbytes)
        return self._real(tensor, *args)

    def __exit__(self, *error: object) -> None:
        self._patch.stop()


def traffic(runtime: Runtime) -> dict[str, Any]:
    """Messages of one step each, by phase, and of an embedding with one touched row per process."""
    found: dict[str, Any] = {}
    for number, (_, lrs) in enumerate(LM.shares):
        one = LM(runtime, None)
        one.phases = [Phase(1 / one.batches.steps_per_epoch, lrs)]
        with Sent() as messages:
            one.run()
        found[str(number)] = messages
        groups = zip(one.net.layer_groups().values(), lrs, strict=True)
        found[f"{number} trained"] = sum(p.numel() for g, lr in groups if lr > 0 for p in g)
    rank, size = runtime.world.rank, runtime.world.size
    embedding = torch.nn.Parameter(torch.zeros(10, 3))
    embedding.grad = torch.zeros(10, 3)
    embedding.grad[2 * rank] = rank + 1.0
    embedding.grad[9] = 1.0
    with patch.object(world, "MANY_ROWS", 10), Sent() as messages:
        runtime.world.sum_gradients([embedding])
    return found | {"rows": messages, "sums": embedding.grad.sum(1).tolist(), "size": size}


def collectives(runtime: Runtime) -> dict[str, Any]:
    """Rows shared out and put together again; what the first has."""
    here = runtime.world
    rows = torch.arange(14).view(7, 2)
    mine = rows[here.rank :: here.size]
    first = torch.full((2,), float(here.rank))
    here.from_first([first])
    return {
        "whole": here.whole(mine),
        "whole, columns": here.whole(mine.T.contiguous(), 1),
        "first": first,
        "any": [here.any(here.rank == here.size - 1), here.any(False)],
        "total": here.total(here.rank + 1),
    }


def flat(found: dict[str, Any], prefix: str = "") -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Nested results as tensors and as JSON, each by its path."""
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, Any] = {}
    for name, value in found.items():
        path = f"{prefix}/{name}" if prefix else name
        if isinstance(value, dict):
            below, said = flat(value, path)
            tensors, plain = tensors | below, plain | said
        elif isinstance(value, torch.Tensor):
            tensors[path] = value.contiguous()
        else:
            plain[path] = value
    return tensors, plain


Results = tuple[dict[str, torch.Tensor], dict[str, Any]]


def run_together(command: list[str]) -> list[str]:
    """`SIZE` processes as torchrun would start them; what each printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(SIZE):
        env = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(SIZE),
            "LOCAL_WORLD_SIZE": str(SIZE),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(world.__file__).parents[1]}",
        }
        said = subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT))
    try:
        return [process.communicate(timeout=900)[0].decode() for process in started]
    finally:
        for process in started:  # that has not ended: what one waits for may never come
            process.kill()
            process.communicate()


def results(folder: Path) -> list[Results]:
    """What each process found, by rank."""
    told = run_together([sys.executable, "-W", "error", __file__, str(folder)])
    assert all((folder / f"{rank}.json").exists() for rank in range(SIZE)), "\n".join(told)
    return [
        (
            load_file(folder / f"{rank}.safetensors"),
            json.loads((folder / f"{rank}.json").read_text()),
        )
        for rank in range(SIZE)
    ]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    runtime = Runtime.start(RuntimeConfig(device="cpu", precision="fp32"))
    here = runtime.world
    found = scenarios(runtime, folder)
    found |= {"traffic": traffic(runtime), "collectives": collectives(runtime)}
    found["refused"] = refused(runtime, folder)
    if here.rank == here.size - 1:
        found["lost"] = {"said": "gone"}
    else:
        try:
            here.total(1)  # which the last does not join
        except OSError as error:
            found["lost"] = {"said": str(error)}
    tensors, plain = flat(found)
    save_file(tensors, folder / f"{here.rank}.safetensors")
    (folder / f"{here.rank}.json").write_text(json.dumps(plain))
    os._exit(0)  # without a farewell, as when it is killed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
