"""Accuracy of this library and of others, on the same labels and the same texts held out.

    python -m benchmarks.accuracy --data imdb train.parquet test.parquet unsup.parquet --labels 1000
    python -m benchmarks.accuracy --data trec-6 train.csv test.csv --peers "ulmfit, 5 minutes" --seeds 0 1 2
    python -m benchmarks.accuracy              # a toy set, to test the harness with

Every peer runs in its own environment (`make peers`). What it was told, how long it took and how often it was right
becomes a line of benchmarks/results/accuracy.jsonl; of the toy set nothing.
"""

import argparse
import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import record
from benchmarks.inputs import ROOT, small_for_fastai
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents

TOKENS_A_MINUTE = (
    110_000  # our language model's; fastai is given as many tokens to read, however long it takes
)


@dataclass(frozen=True)
class Data:
    """Labelled texts to learn from, unlabelled ones, and labelled ones to be scored on."""

    train: list[Document]
    unlabelled: list[str]
    test: list[Document]


@dataclass(frozen=True)
class Peer:
    """Where a peer lives and what it is told."""

    environment: str  # below .peers; "" is ours
    module: str  # of benchmarks.peers
    settings: dict[str, Any]

    @property
    def python(self) -> Path:
        folder = ROOT / ".peers" / self.environment
        return folder / "bin" / "python" if self.environment else Path(sys.executable)

    def left_out(self) -> str:
        """Why it can't run: `make peers` was not called, or the last line of what pip said; "" if it can."""
        ready = ROOT / ".peers" / self.environment / "ready"
        if not self.environment:
            return ""
        if not ready.exists():
            return "not built, see `make peers`"
        if ready.stat().st_size:
            return ""
        said = (ROOT / ".peers" / f"{self.environment}.log").read_text().strip().splitlines()
        return said[-1][:200] if said else "pip gave no reason"


def peers(threads: int, tiny: bool) -> dict[str, Peer]:
    """All of them; in a tiny run they learn next to nothing."""
    budgets = {f"ulmfit, {m:g} minutes": {"minutes": m} for m in ((0.01,) if tiny else (5, 10))}
    tokens = 1_000 if tiny else 5 * TOKENS_A_MINUTE
    handed = {"tokens": tokens, "threads": threads} | small_for_fastai()
    steps = {"steps": 2} if tiny else {}
    common = {"threads": threads}
    return {
        **{name: Peer("", "ours", told | common) for name, told in budgets.items()},
        "fastai, the same model and tokens": Peer("fastai", "fastai_ulmfit", handed),
        "TF-IDF + logistic regression": Peer("tfidf", "tfidf", {}),
        "MiniLM + logistic regression": Peer("minilm", "minilm", common),
        "SetFit on MiniLM": Peer("setfit", "setfit", common | steps),
    }


def run(peer: Peer, data: Data, seed: int) -> dict[str, Any]:
    """Accuracy, seconds, peak memory and versions of one peer, or why there are none."""
    if reason := peer.left_out():
        return {"left_out": reason}
    told = {
        "settings": peer.settings | {"seed": seed},
        "texts": [d.text for d in data.train],
        "labels": [str(d.label) for d in data.train],
        "unlabelled": data.unlabelled,
        "test": [d.text for d in data.test],
    }
    with TemporaryDirectory() as folder:
        task, answer = Path(folder) / "task.json", Path(folder) / "answer.json"
        task.write_text(json.dumps(told), encoding="utf-8")
        command = [str(peer.python), "-W", "ignore", "-m", "benchmarks.peers.run", peer.module]
        done = subprocess.run([*command, str(task), str(answer)], cwd=ROOT, check=False)
        if done.returncode:
            return {"left_out": f"ended with {done.returncode}; its traceback was printed"}
        found = json.loads(answer.read_text(encoding="utf-8"))
    pairs = zip(found.pop("predictions"), data.test, strict=True)
    right = sum(label == str(document.label) for label, document in pairs)
    seconds = found["fit_seconds"] + found["predict_seconds"]
    return {"accuracy": right / len(data.test), "seconds": seconds, **found}


def read(train: str, test: str, more: list[str], labels: int, tests: int, seed: int) -> Data:
    """Files as `ulmfit fit` reads them. `labels` documents, drawn with `seed`, keep theirs (0: all), the others are
    unlabelled; at most `tests` are scored, always the same."""
    labelled, held = list(read_documents(train)), list(read_documents(test))
    random.Random(seed).shuffle(labelled)
    random.Random(0).shuffle(held)
    unlabelled = [d.text for d in labelled[labels:]] if labels else []
    unlabelled += [d.text for path in more for d in read_documents(path, labelled=False)]
    return Data(labelled[: labels or None], unlabelled, held[:tests])


def tiny() -> Data:
    """Sixty sentences that a child could tell apart."""
    draw = random.Random(0)
    words = {"good": ["great", "lovely", "superb"], "bad": ["awful", "boring", "dreadful"]}
    made = [
        Document(f"The {draw.choice(['film', 'plot', 'cast'])} was {draw.choice(words[label])}.", label)
        for label in ("good", "bad") * 30
    ]  # fmt: skip
    return Data(made[:40], [d.text for d in made], made[40:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files_help = "a name, a file to learn from, one to be scored on, perhaps others without labels"
    parser.add_argument("--data", nargs="+", metavar=("NAME", "FILE"), help=files_help)
    parser.add_argument("--labels", type=int, default=0, help="so many keep theirs; 0: all")
    parser.add_argument("--tests", type=int, default=5_000, help="at most so many are scored")
    parser.add_argument("--peers", nargs="*", help="names as in the table; all where left out")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    if told.data and len(told.data) < 3:
        parser.error("--data wants a name, a file to learn from and one to be scored on")
    found = peers(told.threads, not told.data)
    if unknown := set(told.peers or ()) - set(found):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    name, *files = told.data or ["toy"]
    for seed in told.seeds:
        data = tiny()
        if files:
            data = read(files[0], files[1], files[2:], told.labels, told.tests, seed)
        sizes = {
            "labels": len(data.train),
            "unlabelled": len(data.unlabelled),
            "tests": len(data.test),
        }
        for peer in told.peers or found:
            result = run(found[peer], data, seed)
            settings = {"data": name, "peer": peer, **found[peer].settings, "seed": seed, **sizes}
            if files:
                record.append("accuracy", settings | result)
            shown = result.get("accuracy", result.get("left_out"))
            print(f"{name:8} {peer:34} seed {seed}: {shown}", flush=True)


if __name__ == "__main__":
    main()
