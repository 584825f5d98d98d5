"""Kills real trainings at random moments, repeats their command until it ends, and compares the run directory with that of an
uninterrupted run: weights, optimizers, metrics.jsonl, report; all bytes except measured times must be equal.

    python -m benchmarks.soak_resume --kills 120      # every command, both directions; `make soak`
    python -m benchmarks.soak_resume --kills 12 --cases fit

Half of the kills come from outside, at a random time; half from inside, at a random call that changes the run directory,
some with half a file written. `--fresh`: the share of processes started anew, each with another hash seed; the others are
forked, which is faster. `--record` appends a line to benchmarks/results/soak.jsonl.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks import record
from benchmarks.killed import RUN, TINY, Job, work
from ulmfit.config import TokenizerConfig
from ulmfit.identity import WALL_CLOCK
from ulmfit.language_model import LanguageModel
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.resume import SAVE_EVERY_S

KILLS_A_RUN = (3, 9)  # fewest and most, before the run may end
LONGEST = 3600.0  # seconds a process may take
CPU = "--device cpu --threads 1"
CLASSIFIER = "--batch-size 16 --bptt 10 --min-steps 4 --epochs 1 1 1 2"
CASES = {
    "fit": f"fit ../in/train.csv --unlabelled ../in/more.csv --test ../in/test.csv --out {RUN} --pretrained ../in/lm"
    f" --directions both --lm.epochs 2 --lm.batch-size 8 --lm.bptt 10 --lm.skipgram-epochs 1 --lm.min-steps 4"
    f" --classifier.batch-size 16 --classifier.bptt 10 --classifier.min-steps 4 {CPU}",
    "pretrain-lm": f"pretrain-lm ../in/more.csv --out {RUN} --epochs 2 --batch-size 4 --bptt 10 --negatives 8"
    f" --valid-fraction 0.2 --tokenizer.min-freq 2 {CPU}",
    "pretrain-lm backward": "",
    "finetune-lm": f"finetune-lm ../in/more.csv --out {RUN} --pretrained ../in/lm --epochs 2 --batch-size 8 --bptt 10"
    f" --min-steps 4 --valid-fraction 0.2 {CPU}",
    "finetune-lm backward": "",
    "train-classifier": f"train-classifier ../in/train.csv --test ../in/test.csv --lm ../in/lm --out {RUN}"
    f" --directions both {CLASSIFIER} {CPU}",
}
CLOCK = re.compile(r"(<(\w+)[^>]*\bclock\b[^>]*>).*?</\2>", re.DOTALL)  # in report.html


def command(case: str) -> list[str]:
    verb, _, direction = case.partition(" ")
    return CASES[verb].split() + (["--direction", direction] if direction else [])


def write_inputs(folder: Path) -> None:
    """Reviews in which one word decides the label, and language models of random weights for them, in both directions."""
    draw = random.Random(0)
    words = {"good": ["great", "lovely", "superb"], "bad": ["awful", "boring", "dreadful"]}

    def text(i: int, label: str) -> str:
        return f"Review {i}: {draw.choice(words[label])}, " + " ".join(
            draw.choices(["i", "say", "it", "again", "and", "so"], k=6 + i % 9)
        )

    texts = []
    for name, first, last in (("train", 0, 60), ("test", 60, 80), ("more", 80, 130)):
        rows = [
            (text(i, label), label)
            for i in range(first, last)
            for label in [("good", "bad")[i % 2]]
        ]
        texts += [t for t, _ in rows]
        lines = ["text,label", *(f'"{t}",{label}' for t, label in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    tokenizer = Tokenizer.build(texts, TokenizerConfig(min_freq=2))
    torch.manual_seed(0)
    for direction in ("forward", "backward"):
        lm = LanguageModel.create(tokenizer, replace(TINY, direction=direction))
        lm.save(folder / "lm" / direction / "language_model")


def run(job: Job, folder: Path, fresh: bool, after: float = LONGEST) -> int:
    """The exit status of a process in `folder`; negative: killed, by itself or because it took longer than `after` seconds."""
    folder.mkdir(exist_ok=True)
    if fresh:
        argv = [sys.executable, "-m", "benchmarks.killed", json.dumps(job._asdict())]
        here = {"PYTHONPATH": str(record.ROOT), "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(argv, cwd=folder, env=os.environ | here)
        try:
            return process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
    if not (child := os.fork()):
        status = 1
        try:
            os.chdir(folder)
            work(job)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
            print(end.code, file=sys.stderr)
        finally:
            os._exit(status)
    return _wait(child, time.monotonic() + after)


def _wait(child: int, until: float) -> int:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished(folder: Path) -> bool:
    try:
        return json.loads((folder / RUN / "config.json").read_text())["finished"]
    except FileNotFoundError:
        return False


def without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: without_times(v) for k, v in content.items() if k not in WALL_CLOCK}
    return [without_times(v) for v in content] if isinstance(content, list) else content


def comparable(path: Path) -> Any:
    """The content of a file that must be equal: all but measured times."""
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".html":
        return CLOCK.sub(r"\1", path.read_text())
    if path.suffix == ".md":  # a model card
        return [line for line in path.read_text().splitlines() if not line.startswith("- begun:")]
    return path.read_bytes()


def differences(one: Path, other: Path) -> Iterator[str]:
    """The files that are in one folder only, or differ."""
    names = {p.relative_to(f) for f in (one, other) for p in f.rglob("*") if p.is_file()}
    for name in sorted(names - {Path("said"), Path("events")}):
        if not ((one / name).exists() and (other / name).exists()):
            yield f"{name} is in one only"
        elif comparable(one / name) != comparable(other / name):
            yield f"{name} differs"


class Campaign:
    """Runs of one case that are killed and repeated, and compared with an uninterrupted one."""

    def __init__(self, case: str, folder: Path, draw: random.Random, fresh: float) -> None:
        self.case, self.folder, self._draw, self._fresh = case, folder, draw, fresh
        self.tried: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._command = command(case)
        self.check(
            run(Job(self._command, SAVE_EVERY_S), folder / "whole", fresh=fresh > 0), "whole"
        )
        often = Job(self._command, 0.0, count_to="events")
        began = time.monotonic()
        self.check(run(often, folder / "often", fresh=False), "often")
        self._seconds = time.monotonic() - began
        self._events = int((folder / "often" / "events").read_text())
        self.compare("often")

    def check(self, status: int, name: str) -> None:
        if status:
            said = (self.folder / name / "said").read_text()[-2000:]
            raise SystemExit(f"{self.case}: the {name} run ended with {status}:\n{said}")

    def compare(self, name: str) -> None:
        self.tried["runs compared"] += 1
        self.wrong += [
            f"{self.case}: {d}" for d in differences(self.folder / "whole", self.folder / name)
        ]

    def one_run(self) -> None:
        """Kill a run several times, then let it end, and compare it."""
        folder = self.folder / "killed"
        for _ in range(self._draw.randint(*KILLS_A_RUN)):
            if self._kill_once(folder):
                break
        for _ in range(3):  # a finished run may still lack its report
            status = run(Job(self._command, SAVE_EVERY_S), folder, fresh=False)
            if status <= 0 or finished(folder):
                break
        if not finished(folder):
            self.check(status or 1, "killed")
        self.compare("killed")
        shutil.rmtree(folder)

    def _kill_once(self, folder: Path) -> bool:
        """Start the run and kill it; whether it ended before."""
        fresh, inside = self._draw.random() < self._fresh, self._draw.random() < 0.5
        every = self._draw.choice((0.0, 0.0, 0.05, SAVE_EVERY_S))
        part = self._draw.random() ** 2  # early moments are likelier: a resumed run is shorter
        at = 1 + int(part * self._events) if inside else 0
        after = LONGEST if inside else part * self._seconds + 3.0 * fresh
        status = run(Job(self._command, every, at), folder, fresh, after)
        if status < 0:
            self.tried["killed at a call" if inside else "killed at a time"] += 1
            self.tried["of these, in a process started anew"] += fresh
        return status >= 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--fresh", type=float, default=0.1, help="share of processes started anew")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    draw, tried, wrong = random.Random(args.seed), Counter[str](), list[str]()
    with TemporaryDirectory() as work_in:
        for case in args.cases:
            folder = Path(work_in) / case.replace(" ", "-")
            (folder / "in").mkdir(parents=True)
            write_inputs(folder / "in")
            campaign = Campaign(case, folder, draw, args.fresh)
            quota = args.kills / len(args.cases)
            while campaign.tried["killed at a call"] + campaign.tried["killed at a time"] < quota:
                campaign.one_run()
            print(f"{case}: {dict(campaign.tried)}, {len(campaign.wrong)} differences", flush=True)
            tried, wrong = tried + campaign.tried, wrong + campaign.wrong
    print(*wrong, sep="\n")
    if args.record:
        record.append("soak", {"what": "resume", **vars(args), **tried, "differences": wrong})
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
