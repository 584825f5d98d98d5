"""The speed of this library and of fastai on the same weights, ids, vocabulary and batches, in alternating windows of work.

    python -m benchmarks.speed                    # every task, an hour and a half on two idle cores
    python -m benchmarks.speed lm-step one-document-20 --windows 7
    python -m benchmarks.speed --size tiny        # the harness itself, in a minute or two

Each task has three processes: ours, fastai as it comes, and fastai with an allocator that keeps its memory. First all do the work
with dropout off, and their losses or probabilities must agree; then they do windows in turn, after one for warm-up. Appends a line
per task to benchmarks/results/speed.jsonl (not for tiny). Needs `make peers`, and about 20 GB for the three language models.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import processes, record
from benchmarks.inputs import ROOT, SIZES, make
from benchmarks.tasks import TASKS, Task
from benchmarks.worker import Worker

TOLERANCE = 1e-4  # relative, between the values of the two libraries
FASTAI = ROOT / ".peers" / "fastai" / "bin" / "python"
KEEP = "100000000000"  # bytes
TUNED = {  # by default glibc returns large blocks to the system at once, and new pages must be cleared each step
    "MALLOC_MMAP_THRESHOLD_": KEEP,
    "MALLOC_TRIM_THRESHOLD_": KEEP,
    "MALLOC_TOP_PAD_": "1000000000",
}
CONTESTANTS = {
    "ours": (Path(sys.executable), "benchmarks.our_worker", {}),
    "fastai": (FASTAI, "benchmarks.fastai_worker", {}),
    "fastai tuned": (FASTAI, "benchmarks.fastai_worker", TUNED),
}


def measure(task: Task, size: str, windows: int, threads: int) -> dict[str, Any]:
    """The check that all do the same work, warm-up, and the windows of all contestants in turn."""
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, how in CONTESTANTS.items():
            workers[name] = Worker(*how)
            stack.callback(workers[name].close)
        request = {"prepare": task.work, "size": size, "threads": threads, **task.settings}
        proof = {}
        for name, worker in workers.items():
            worker.ask(**request, proof=True)
            proof[name] = worker.ask(window=True)["values"]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for worker in workers.values():
            worker.ask(**request, proof=False)
            worker.ask(window=True)
        for _ in range(windows):
            for name, worker in workers.items():
                found[name].append(worker.ask(window=True))
        about = {name: worker.ask(about=True) for name, worker in workers.items()}
    worst = max(difference(proof[name], proof["ours"]) for name in workers)
    first = found["ours"][0]
    return {
        "work": first["work"],
        "unit": first["unit"],
        "seconds": {name: [w["seconds"] for w in done] for name, done in found.items()},
        "bytes": {name: done[0]["bytes"] for name, done in found.items() if "bytes" in done[0]},
        "peak_rss": {name: answer["peak_rss"] for name, answer in about.items()},
        "versions": {name: answer["versions"] for name, answer in about.items()},
        "last_values": {name: done[-1]["values"][:5] for name, done in found.items()},
        "proof": {name: values[:5] for name, values in proof.items()},
        "worst_difference": worst,
        "agrees": worst <= TOLERANCE if task.exact else None,
    }


def difference(found: list[float], expected: list[float]) -> float:
    """The largest relative difference; infinite if the numbers of values differ."""
    if len(found) != len(expected):
        return float("inf")
    return max((abs(a - b) / max(abs(b), 1e-9) for a, b in zip(found, expected)), default=0.0)  # noqa: B905


def summary(name: str, result: dict[str, Any]) -> str:
    """Medians and ratios as one line of text."""
    times = {who: median(seconds) for who, seconds in result["seconds"].items()}
    ratios = ", ".join(
        f"{seconds / times['ours']:.2f}× {who}" for who, seconds in times.items() if who != "ours"
    )
    agreed = {None: "not compared", True: "equal work", False: "NOT THE SAME WORK"}
    shown = f"{times['ours'] / result['work']:.3g} s per {result['unit']}"
    return f"{name:22} {shown:26} {ratios}  ({agreed[result['agrees']]})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = [name for name, task in TASKS.items() if not task.record]
    parser.add_argument("task", nargs="*", metavar="TASK", help=f"of {', '.join(own)}")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--windows", type=int, default=5, help="of each contestant")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if unknown := set(args.task) - set(own):
        parser.error(f"no task {', '.join(sorted(unknown))}; there are {', '.join(own)}")
    if not FASTAI.exists():
        parser.error(f"{FASTAI} is missing; `make peers` builds it")
    make(args.size)
    failed = []
    for name in args.task or own:
        task = TASKS[name]
        run = processes.measure if task.work == "processes" else measure
        result = run(task, args.size, args.windows, args.threads)
        if args.size == "base":
            settings = {"task": name, "size": args.size, "threads": args.threads}
            record.append("speed", settings | result)
        print(summary(name, result), flush=True)
        failed += [name] if result["agrees"] is False else []
    if failed:
        sys.exit(f"the two libraries did not do the same work: {', '.join(failed)}")


if __name__ == "__main__":
    main()
