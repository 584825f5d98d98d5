"""Whether a GPU computes what the CPU does: fastai's goldens, the loss in half precision, a training stopped and resumed.

    python -m benchmarks.gpu_exact                                 # everything; meant to take two minutes on an H200
    python -m benchmarks.gpu_exact curves --corpus carry/wikipedia --commit abc1234
    python -m benchmarks.gpu_exact --size tiny                     # the checks themselves, on a CPU, in seconds

Needs PyTorch, NumPy, safetensors and tests/. Appends a line per row to benchmarks/results/gpu_exact.jsonl (not for tiny).
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks import record
from benchmarks.gpu_goldens import difference, goldens, verdict
from benchmarks.gpu_stages import SIZES, Size, lm_stage, ours, zipfian
from benchmarks.gpu_step import attempt
from benchmarks.gpu_time import Line, Row, shown
from ulmfit.config import FinetuneConfig, OutOfTime, RuntimeConfig
from ulmfit.files.checkpoint import read_tensors
from ulmfit.files.volumes import joined
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.text.batches import LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.training.phases import Phase
from ulmfit.training.resume import ResumePoint
from ulmfit.training.stage import Stage
from ulmfit.training.watch import Smooth

APART = 0.003  # largest relative difference from fp32's smoothed loss
FALLEN = 0.9  # largest ratio of fp32's last smoothed loss to its first
FOLLOWERS = 4  # words that may follow each word
HALF = 10  # steps before the stop, and after it


@dataclass(frozen=True)
class Trial:
    """What is trained, how long, and on what: a saved corpus, or random words with few possible successors."""

    size: Size
    lr: float
    steps: int
    judged: int  # how many of the last steps are compared
    device: str
    corpus: Path | None = None


BASE = replace(SIZES["base"], vocab=30_000, streams=64, bptt=72, steps=1)
TINY = replace(SIZES["tiny"], streams=16, steps=1)
TRIALS = {
    "base": Trial(BASE, lr=FinetuneConfig.lr, steps=500, judged=400, device="cuda"),
    "tiny": Trial(TINY, lr=0.05, steps=150, judged=120, device="cpu"),
}


@cache
def corpus_of(trial: Trial) -> Corpus:
    """The saved corpus, or its volumes joined; else words drawn by Zipf's law, each followed by one of `FOLLOWERS` words."""
    if folder := trial.corpus:
        return Corpus.load(joined(folder, folder.with_name(f"{folder.name}-joined")))
    vocab, streams, rng = trial.size.vocab, trial.size.streams, np.random.default_rng(0)
    followers, ids = zipfian(vocab, vocab, FOLLOWERS), [zipfian(vocab, streams)]
    for drawn in rng.integers(FOLLOWERS, size=(trial.size.bptt * trial.steps, streams)):
        ids.append(followers[ids[-1], drawn])
    stream = np.stack(ids, 1).ravel().astype(np.uint16)
    return Corpus(stream, np.array([0, len(stream)]), None, (), "")


def stage_of(trial: Trial, runtime: Runtime) -> Stage:
    """Fine-tuning with its default settings, but one learning rate for all layers, from random weights."""
    corpus, size = corpus_of(trial), trial.size
    vocab = len(corpus.tokenizer) if corpus.tokenizer else size.vocab
    stage = lm_stage(replace(size, vocab=vocab), runtime)
    batches = LMBatches(corpus, size.streams, size.bptt, shuffle=False)
    return replace(stage, batches=batches, phases=[Phase(1.0, (trial.lr,) * stage.groups)])


def curves(trial: Trial) -> Iterator[Row]:
    """The same training in each precision."""
    smoothed: dict[str, list[float]] = {}
    for precision in ("fp32", "fp16", "bf16"):
        yield f"loss in {precision}", partial(curve, trial, precision, smoothed)


def curve(trial: Trial, precision: str, smoothed: dict[str, list[float]]) -> list[Line]:
    """Trains in one precision, adds the smoothed losses to `smoothed`, and compares them with fp32's, which must have fallen."""
    runtime = Runtime.choose(RuntimeConfig(device=trial.device, precision=precision))
    smooth, found = Smooth(), []
    for loss in ours(stage_of(trial, runtime), runtime, trial.steps):
        smooth.add(loss)
        found.append(smooth.value)
    smoothed[precision] = found
    if precision == "fp32":
        agrees, said = found[-1] <= FALLEN * found[0], f"{found[0]:.3f} → {found[-1]:.3f}"
        tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        said += f", bound {FALLEN:.0%}; TF32 as by default: products {tf32[0]}, cuDNN {tf32[1]}"
    else:
        both = [*zip(found, smoothed["fp32"], strict=True)][-trial.judged :]
        worst = max(abs(a - b) / b for a, b in both)
        agrees, said = worst <= APART, f"{worst:.3%} from fp32's, bound {APART:.1%}"
        said += "".join(f"; {k} {v:g}" for k, v in runtime.scaling().items() if k == "scale")
    if runtime.precision != precision:
        said += f"; computed in {runtime.precision}: {runtime.reasons['precision']}"
    details = {"precision": runtime.precision, "smoothed": found[:: max(1, trial.steps // 50)]}
    return [verdict(f"loss in {precision}", agrees, said) | details]


def resumed(trial: Trial) -> list[Line]:
    """Compares the final states of three equal trainings: two without a stop, to see what differs even so, and one with a stop."""
    with TemporaryDirectory() as folder:
        one, again, halves = (end_of(trial, Path(folder) / name, name == "c") for name in "abc")
    return [same("twice in one go", again, one), same("stopped and gone on with", halves, one)]


def end_of(trial: Trial, file: Path, stops: bool) -> dict[str, Any]:
    """The last resume point of a training in fp16: weights, optimizer, state, random numbers, scaling, losses. After a stop the
    process is seeded differently, which must have no effect."""
    for part in range(1 + stops):
        seed_everything(part)
        runtime = Runtime.choose(RuntimeConfig(device=trial.device, precision="fp16"))
        stage = stage_of(trial, runtime)
        phase = replace(stage.phases[0], epochs=2 * HALF / stage.batches.steps_per_epoch)
        over = [False] * (HALF - 1) + [True] if part < stops else repeat(False)
        with patch.object(runtime, "out_of_time", side_effect=over), suppress(OutOfTime):
            replace(stage, phases=[phase]).train(runtime, resume=ResumePoint(file, "gpu_exact"))
    tensors, about = read_tensors(file)
    return tensors | about | {"precision": runtime.precision}


def same(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> Line:
    """A line on whether both are equal to the bit, or what differs and how far."""
    apart = dict[str, float]()
    for what in sorted(found.keys() | wanted.keys()):
        a, b = found.get(what), wanted.get(what)
        tensors = isinstance(a, Tensor) and isinstance(b, Tensor)
        if not (torch.equal(a, b) if tensors else a == b):
            apart[what] = difference(a, b) if tensors else math.inf
    said = f"all of {len(wanted)} tensors and records to the bit"
    if apart:
        worst = max(apart, key=lambda what: apart[what])
        said = f"{len(apart)} of {len(wanted)}, {worst} by {apart[worst]:.1e}; {', '.join(apart)}"
    line = verdict(name, not apart, f"{said:.300}")
    return line | {"precision": wanted["precision"], "differs": [*apart]}


CHECKS: dict[str, Callable[[Trial], Iterable[Row]]] = {
    "goldens": lambda trial: goldens(trial.device),
    "curves": curves,
    "resume": lambda trial: [("stopped and gone on with", partial(resumed, trial))],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("check", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--size", choices=TRIALS, default="base")
    parser.add_argument(
        "--corpus", type=Path, help="corpus, or its volumes; left out: random words"
    )
    parser.add_argument("--commit", help="commit that is checked, if there is no git")
    args = parser.parse_args()
    if unknown := set(args.check) - set(CHECKS):
        parser.error(f"no check {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    trial = replace(TRIALS[args.size], corpus=args.corpus)
    about: Line = {"size": args.size, "torch": torch.__version__, "cuda": torch.version.cuda}
    if trial.device == "cuda":
        if not torch.cuda.is_available():
            parser.error("base is made for a CUDA GPU, and there is none; give --size tiny")
        about |= {"gpu": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    about |= {"commit": args.commit} if args.commit else {}
    began, failed = time.monotonic(), []
    for check in args.check or CHECKS:
        for name, measure in CHECKS[check](trial):
            for line in attempt(name, measure):
                line = {"group": check} | line
                print(shown(line), flush=True)
                if args.size == "base":
                    record.append("gpu_exact", about | line)
                if not line.get("agrees"):
                    failed.append(f"{check}: {line['name']}")
    print(f"{time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
