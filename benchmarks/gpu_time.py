"""Times windows of work on a GPU in three ways: by the wall clock, between CUDA events, and by PyTorch's profiler. On a CPU by
the wall clock alone."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ulmfit.runtime import Runtime

Line = dict[str, Any]  # a line of the results
Work = Callable[[int], object]  # does that many steps
Row = tuple[str, Callable[[], list[Line]]]  # (name, function that measures it)

ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of events in a profiler's trace
PROFILED = 2  # steps under the profiler
LONGEST = 8  # kernels reported
HEAD = (
    f"{'group':11}{'what':36}{'precision':>9}{'ms':>9}{'events':>9}{'busy':>9}{'idle':>6}{'GB':>7}"
)


def in_turn(
    contestants: Mapping[str, Work],
    runtime: Runtime,
    *,
    windows: int,
    steps: int,
    work: int = 0,
    unit: str = "",
) -> list[Line]:
    """A line for each contestant: `windows` of `steps` steps with `work` units each, taken in turn, after one for warm-up."""
    found: dict[str, list[Line]] = {name: [] for name in contestants}
    for number in range(1 + windows):
        for name, contestant in contestants.items():
            timed = window(partial(contestant, steps), runtime)
            found[name] += [timed] if number else []
    lines = []
    for name, contestant in contestants.items():
        line = {"name": name, "precision": runtime.precision, "steps": steps}
        line |= {"work": work, "unit": unit} if work else {}
        for key in ("wall_ms", "event_ms"):
            line |= {key: [one[key] / steps for one in found[name] if key in one]}
        line["peak_bytes"] = max(one["peak_bytes"] for one in found[name])
        lines.append(line | busy(contestant, runtime))
    return lines


def window(work: Callable[[], object], runtime: Runtime) -> Line:
    """Milliseconds, and peak memory in bytes: of tensors on the GPU, or of the process on a CPU."""
    if runtime.device.type != "cuda":
        began = time.perf_counter()
        work()
        wall = 1000 * (time.perf_counter() - began)
        return {"wall_ms": wall, "peak_bytes": runtime.peak_memory()}
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    began = time.perf_counter()
    first.record()
    work()
    last.record()
    torch.cuda.synchronize()
    wall = 1000 * (time.perf_counter() - began)
    peak = runtime.peak_memory()
    return {"wall_ms": wall, "event_ms": first.elapsed_time(last), "peak_bytes": peak}


def busy(work: Work, runtime: Runtime) -> Line:
    """Milliseconds per step in which the GPU computes or copies, and its longest kernels; empty on a CPU."""
    if runtime.device.type != "cuda":
        return {}
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work(PROFILED)
        torch.cuda.synchronize()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    return summed([event for event in events if event.get("cat") in ON_GPU])


def summed(events: list[Line]) -> Line:
    """Sums up a trace's events (in microseconds): the time per step in which at least one was running, and the longest kernels."""
    if not events:
        return {}
    total, until, kernels = 0.0, 0.0, Counter[str]()
    for event in sorted(events, key=lambda event: event["ts"]):
        end = event["ts"] + event["dur"]
        total += max(0.0, end - max(until, event["ts"]))
        until = max(until, end)
        kernels[event["name"][:80]] += event["dur"] / 1000 / PROFILED
    longest = {name: round(ms, 3) for name, ms in kernels.most_common(LONGEST)}
    return {
        "busy_ms": total / 1000 / PROFILED,
        "launches": len(events) / PROFILED,
        "kernels": longest,
    }


def repeated(forward: Callable[[], Tensor], leaves: Iterable[Tensor]) -> Work:
    """Forward and backward, with the gradients of the leaves cleared each time."""
    leaves, gradient = list(leaves), torch.randn_like(forward())

    def work(steps: int) -> None:
        for _ in range(steps):
            forward().backward(gradient)
            for leaf in leaves:
                leaf.grad = None

    return work


def shown(line: Line) -> str:
    """A result line as text: medians, the share of a step in which the GPU is idle, the rate, and remarks."""
    text = f"{line['group']:11}{line['name']:36}{line.get('precision', ''):>9}"
    if "wall_ms" in line:
        ms, busy_ms = median(line["wall_ms"]), line.get("busy_ms")
        events = f"{median(line['event_ms']):.3f}" if line["event_ms"] else "–"
        text += f"{ms:9.3f}{events:>9}"
        text += f"{busy_ms:9.3f}{1 - busy_ms / ms:6.0%}" if busy_ms else f"{'–':>9}{'–':>6}"
        text += f"{line['peak_bytes'] / 1e9:7.2f}"
        if "work" in line:
            text += f"  {1000 * line['work'] / ms:,.0f} {line['unit']}/s"
    return f"{text}  {line['said']}" if "said" in line else text
