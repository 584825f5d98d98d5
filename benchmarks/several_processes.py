"""One process compared with two that train together: the same global batch, one thread each, windows of work in turn.

python -m benchmarks.several_processes [--windows N] [--steps N] [--tiny]. "apart": two processes with half the batch each that do not
communicate, which shows what the machine itself loses when both cores are busy.
"""

import argparse
import os
import socket
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.worker import Window, Worker, serve, timed

TASKS = ("lm", "lm-sampled", "classifier")
FILE = "several_processes"


@dataclass(frozen=True)
class Group:
    """Workers that do their windows at the same time."""

    workers: list[Worker]
    share: int  # each takes 1/share of the batch, if they do not communicate; else 1

    def ask(self, **question: Any) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(self.workers)) as pool:
            return list(pool.map(lambda worker: worker.ask(**question), self.workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=15)
    parser.add_argument("--steps", type=int, default=2)  # of a window
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    groups = {"one": started(1), "two": started(2), "apart": apart(2)}
    for task in TASKS:
        for group in groups.values():
            group.ask(prepare=task, steps=args.steps, share=group.share, tiny=args.tiny)
            group.ask(window=True)  # warms up
        answers = {name: list[Any]() for name in groups}
        for _ in range(args.windows):
            for name, group in groups.items():
                answers[name].append(group.ask(window=True))
        report(task, answers, args.steps)
        if not args.tiny:
            record.append(FILE, {"task": task, "steps": args.steps, "answers": answers})
    for group in groups.values():
        for worker in group.workers:
            worker.close()


def report(task: str, answers: dict[str, list[Any]], steps: int) -> None:
    """Prints medians over windows; a window of several processes ends with the last of them."""
    times = {
        name: statistics.median(max(a["seconds"] for a in window) for window in windows) / steps
        for name, windows in answers.items()
    }
    sent = answers["two"][0][0]["sent"] / steps
    print(
        f"{task}: {times['one']:.3f} s a step in one process, {times['two']:.3f} in two, {times['apart']:.3f} apart; "
        f"efficiency {times['one'] / times['two'] / 2:.0%} (apart {times['one'] / times['apart'] / 2:.0%}), "
        f"{sent / 1e6:.1f} MB of gradients a step"
    )


def started(size: int) -> Group:
    """Processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    common |= {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    return Group([worker(common | rank) for rank in ranks], 1)


def apart(size: int) -> Group:
    return Group([worker({"OMP_NUM_THREADS": "1"}) for _ in range(size)], size)


def worker(env: dict[str, str]) -> Worker:
    return Worker(Path(sys.executable), "benchmarks.several_processes", env | {"WORKER": "1"})


# ---- the processes that work ----


def prepared(task: str, steps: int, share: int, tiny: bool) -> Window:
    """A training of the shipped model's size on random ids; a window is `steps` of its steps."""
    import numpy as np
    import torch

    from ulmfit.config import CLASSIFIER_DROPOUT, LM_DROPOUT, SMALL, ModelConfig, RuntimeConfig
    from ulmfit.nn.heads import ClassifierNet, LMNet
    from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
    from ulmfit.nn.losses import classifier_loss, lm_loss
    from ulmfit.runtime import Runtime
    from ulmfit.text.batches import DocumentBatches, LMBatches
    from ulmfit.text.corpus import Corpus
    from ulmfit.training.log import Log
    from ulmfit.training.loop import Optim, fit
    from ulmfit.training.phases import Phase

    runtime = Runtime.start(RuntimeConfig(device="cpu", threads=1))
    model, words = (ModelConfig(8, 12, 2), 300) if tiny else (SMALL, 30_000)
    documents, batch = (40, 8) if tiny else (640, 64)
    draw = np.random.default_rng(0)
    lengths = draw.integers(5, 30, documents) if tiny else draw.integers(50, 450, documents)
    # Word frequencies by Zipf's law: they decide how many rows of the embedding a batch touches.
    ids = (draw.zipf(1.1, lengths.sum()) % (words - 9) + 9).astype(np.uint16)
    offsets, labels = np.concatenate([[0], lengths.cumsum()]), draw.integers(0, 2, documents)
    corpus = Corpus(ids, offsets, labels, ("a", "b"), "made up")
    world = {"world": runtime.world}
    if task == "classifier":
        net: Any = ClassifierNet(words, model, CLASSIFIER_DROPOUT, 2)
        batches: Any = DocumentBatches(corpus, batch // share, shuffle=True)
        loss_fn: Any = partial(classifier_loss, **world)
    else:
        net = LMNet(words, model, LM_DROPOUT)
        batches = LMBatches(corpus, batch // share, 10 if tiny else 70, shuffle=True)
        sampler = NegativeSampler(corpus.counts(words), 16 if tiny else 4096, **world)
        loss_fn = partial(lm_loss, **world, sampler=sampler if task == "lm-sampled" else None)
    lrs = (1e-3,) * len(net.layer_groups())
    sent = counted()

    def window() -> dict[str, Any]:
        sent.clear()
        phase = Phase(steps / batches.steps_per_epoch, lrs)
        how = {
            "optim": Optim(0.01, 0.25),
            "runtime": runtime,
            "log": Log("bench"),
            "description": "",
        }
        seconds, _ = timed(lambda: fit(net, loss_fn, batches, [phase], **how))
        return {"seconds": seconds, "sent": sum(sent), "threads": torch.get_num_threads()}

    return window


def counted() -> list[int]:
    """A list that gets the bytes of every all-reduce from now on."""
    import torch.distributed as dist

    messages, real = list[int](), dist.all_reduce

    def all_reduce(tensor: Any, *more: Any) -> Any:
        messages.append(tensor.nbytes)
        return real(tensor, *more)

    dist.all_reduce = all_reduce
    return messages


if __name__ == "__main__":
    if os.environ.get("WORKER"):
        serve({task: partial(prepared, task) for task in TASKS})
    else:
        main()
