"""What a training step costs on a GPU, and where its time goes.

    python -m benchmarks.gpu_step                                 # everything; meant to take five minutes on an H200
    python -m benchmarks.gpu_step lm parts --minutes 2 --commit abc1234
    python -m benchmarks.gpu_step --size tiny                     # the harness itself, on a CPU, in seconds

Needs PyTorch, NumPy and safetensors only. Times are medians of windows, after one for warm-up; contestants take turns. "busy":
time in which the profiler saw the GPU compute or copy; for the rest of a step it is idle. Appends a line per row to
benchmarks/results/gpu_step.jsonl (not for tiny). LSTMs alone compute in the precision named; in a whole step under autocast,
cuDNN's LSTMs compute in fp16 even for bf16.
"""

import argparse
import copy
import gc
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.gpu_parts import parts
from benchmarks.gpu_stages import SIZES, Size, as_fastai, classifier_stage, lm_stage, ours
from benchmarks.gpu_time import HEAD, Line, Row, in_turn, shown
from ulmfit.config import NO_DROPOUT, RuntimeConfig
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.training.stage import Stage

TOLERANCE = 0.01  # relative, between the losses of the two ways of training


def lm(size: Size, runtimes: list[Runtime]) -> Iterator[Row]:
    """The language model's step, by our loop and in fastai's way."""
    for runtime in runtimes:
        yield f"step in {runtime.precision}", partial(lm_step, size, runtime)


def lm_step(size: Size, runtime: Runtime) -> list[Line]:
    """First a check that both do the same work, then windows of the two in turn."""
    stage = lm_stage(size, runtime)
    proof = compared(stage, runtime, size.steps)
    contestants = {
        "ours": partial(ours, stage, runtime),
        "as fastai": partial(as_fastai, stage, runtime),
    }
    mine, other = in_turn(contestants, runtime, **lm_windows(size))
    ratio = median(other["wall_ms"]) / median(mine["wall_ms"])
    return [proof, mine, other | {"ratio": ratio, "said": f"{ratio:.2f}× ours"}]


def compared(stage: Stage, runtime: Runtime, steps: int) -> Line:
    """Compares the losses of both from the same weights, without dropout; restores the weights."""
    encoder, start = stage.net.encoder, copy.deepcopy(stage.net.state_dict())
    dropout, encoder.dropout = encoder.dropout, NO_DROPOUT
    found = []
    for way in (ours, as_fastai):
        found.append(way(stage, runtime, steps))
        stage.net.load_state_dict(start)
    encoder.dropout = dropout
    apart = [abs(a - b) / b for a, b in zip(*found, strict=True)]
    agrees = all(difference <= TOLERANCE for difference in apart)  # False for NaN
    said = f"losses {'agree' if agrees else 'DISAGREE'}, {max(apart):.1e} apart at most"
    about = {"name": "equal work", "precision": runtime.precision, "agrees": agrees, "said": said}
    return about | {"losses": found[0], "losses_as_fastai": found[1]}


def lm_windows(size: Size) -> Line:
    """The arguments of `in_turn` for a language model's step."""
    work = size.streams * size.bptt
    return {"windows": size.windows, "steps": size.steps, "work": work, "unit": "tokens"}


def classifier(size: Size, runtimes: list[Runtime]) -> Iterator[Row]:
    """The classifier's step, all layers trained."""
    for runtime in runtimes:
        for length in size.lengths:
            name = f"{size.documents} × {length} tokens"
            yield name, partial(classifier_step, size, runtime, name, length)


def classifier_step(size: Size, runtime: Runtime, name: str, length: int) -> list[Line]:
    work = partial(ours, classifier_stage(size, runtime, length), runtime)
    how = {"windows": size.windows, "steps": size.repeats}
    return in_turn({name: work}, runtime, **how, work=size.documents, unit="documents")


def graph(size: Size, runtimes: list[Runtime]) -> Iterator[Row]:
    """Forward and backward of the language model, with kernels launched one by one and as a CUDA graph."""
    for runtime in runtimes:
        if runtime.precision != "fp32" or runtime.device.type != "cuda":
            yield f"step in {runtime.precision}", partial(captured, size, runtime)


def captured(size: Size, runtime: Runtime) -> list[Line]:
    """Without loss scaling and update. If the step can't be captured, the line says why."""
    if runtime.device.type != "cuda":
        return [{"name": "as a graph", "said": "skipped: CUDA graphs need a CUDA GPU"}]
    stage = lm_stage(size, runtime)
    net, batch = stage.net.train(), runtime.move(next(stage.batches.epoch(0)))
    with torch.no_grad(), runtime.autocast():
        state = stage.loss_fn(net, batch, None)[1]

    def step() -> Tensor:
        net.zero_grad()
        with runtime.autocast():
            loss, _ = stage.loss_fn(net, batch, state)
        loss.total.backward()
        return loss.main

    def launched(steps: int) -> None:
        for _ in range(steps):
            step()

    def replayed(steps: int) -> None:
        for _ in range(steps):
            whole.replay()

    lines = in_turn({"one by one": launched}, runtime, **lm_windows(size))
    lines[0]["said"] = f"loss {float(step()):.3f}"
    whole, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    try:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            launched(3)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(whole):
            loss = step()
        lines += in_turn({"as a graph": replayed}, runtime, **lm_windows(size))
        lines[1]["said"] = f"loss {float(loss):.3f}"
    except RuntimeError as error:
        lines.append({"name": "as a graph", "precision": runtime.precision, "said": reason(error)})
    return lines


# graph comes last: a failed capture may leave the GPU unusable.
GROUPS = {"lm": lm, "parts": parts, "classifier": classifier, "graph": graph}


def runtimes_of(device: str) -> list[Runtime]:
    """A runtime for each precision; on a CPU fp32 only."""
    precisions = ("fp16", "bf16", "fp32") if device == "cuda" else ("fp32",)
    return [Runtime.choose(RuntimeConfig(device=device, precision=name)) for name in precisions]


def attempt(name: str, measure: Callable[[], list[Line]]) -> list[Line]:
    """The lines of a row, measured with a fixed seed after freeing the memory of the row before; if it fails, a line says why."""
    try:
        gc.collect()
        torch.cuda.empty_cache()
        seed_everything(0)
        return measure()
    except Exception as error:  # of any kind: the next row may still work
        return [{"name": name, "failed": True, "said": f"failed: {reason(error)}"}]


def reason(error: BaseException) -> str:
    """The first line of the original error: a failed capture ends with another one."""
    while error.__context__:
        error = error.__context__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--minutes", type=float, default=5.0, help="no row is begun after these")
    parser.add_argument("--commit", help="commit that is measured, if there is no git")
    args = parser.parse_args()
    if unknown := set(args.group) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.size == "base" and device == "cpu":
        parser.error("base is made for a CUDA GPU, and there is none; give --size tiny")
    about: Line = {"size": args.size, "torch": torch.__version__, "cuda": torch.version.cuda}
    if device == "cuda":
        about |= {"gpu": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    if args.commit:
        about["commit"] = args.commit
    ends, failed, left = time.monotonic() + 60 * args.minutes, [], []
    print(HEAD, flush=True)
    for group in args.group or GROUPS:
        for name, measure in GROUPS[group](SIZES[args.size], runtimes_of(device)):
            if time.monotonic() >= ends:
                left.append(f"{group}: {name}")
                continue
            for line in attempt(name, measure):
                line = {"group": group} | line
                print(shown(line), flush=True)
                if args.size == "base":
                    record.append("gpu_step", about | line)
                if "failed" in line or line.get("agrees") is False:
                    failed.append(f"{group}: {name}")
    if left:
        print(f"{args.minutes:g} minutes are over; not measured: {'; '.join(left)}")
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
