"""Accuracy of this library and of others, on the same labels and the same held-out texts.

    python -m benchmarks.accuracy --data imdb train.parquet test.parquet unsup.parquet --labels 1000
    python -m benchmarks.accuracy --data trec-6 train.csv test.csv --peers "ulmfit, 5 minutes" --seeds 0 1 2
    python -m benchmarks.accuracy              # a toy set, to test the harness with

Every peer runs in its own environment (`make peers`). Its settings, times and accuracy are appended as a line to
benchmarks/results/accuracy.jsonl, except for the toy set.
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

# read by our language model; fastai gets as many tokens, however long it takes
TOKENS_A_MINUTE = 110_000


@dataclass(frozen=True)
class Data:
    """Labelled texts to train on, unlabelled ones, and labelled ones to score on."""

    train: list[Document]
    unlabelled: list[str]
    test: list[Document]


@dataclass(frozen=True)
class Peer:
    """Where a peer is installed, and its settings."""

    environment: str  # below .peers; "": our own
    module: str  # of benchmarks.peers
    settings: dict[str, Any]

    @property
    def python(self) -> Path:
        folder = ROOT / ".peers" / self.environment
        return folder / "bin" / "python" if self.environment else Path(sys.executable)

    def left_out(self) -> str:
        """Why it can't run: `make peers` was not called, or the last line of pip's output; "" if it can."""
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
    """All peers by name; in a tiny run they train next to nothing."""
    budgets = {f"ulmfit, {m:g} minutes": {"minutes": m} for m in ((0.01,) if tiny else (5, 10))}
    tokens = 1_000 if tiny else 5 * TOKENS_A_MINUTE
    handed = {"tokens": tokens, "threads": threads} | small_for_fastai()
    steps = {"steps": 2} if tiny else {}
    common = {"threads": threads}
    return {
        **{name: Peer("", "ours", settings | common) for name, settings in budgets.items()},
        "fastai, the same model and tokens": Peer("fastai", "fastai_ulmfit", handed),
        "TF-IDF + logistic regression": Peer("tfidf", "tfidf", {}),
        "MiniLM + logistic regression": Peer("minilm", "minilm", common),
        "SetFit on MiniLM": Peer("setfit", "setfit", common | steps),
    }


def run(peer: Peer, data: Data, seed: int) -> dict[str, Any]:
    """Accuracy, seconds, peak memory and versions of one peer, or why it was left out."""
    if reason := peer.left_out():
        return {"left_out": reason}
    content = {
        "settings": peer.settings | {"seed": seed},
        "texts": [d.text for d in data.train],
        "labels": [str(d.label) for d in data.train],
        "unlabelled": data.unlabelled,
        "test": [d.text for d in data.test],
    }
    with TemporaryDirectory() as folder:
        task, answer = Path(folder) / "task.json", Path(folder) / "answer.json"
        task.write_text(json.dumps(content), encoding="utf-8")
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
    """The data, read as by `ulmfit fit`. `labels` documents, drawn with `seed`, keep their labels (0: all do), the others count as
    unlabelled; at most `tests` documents are scored, always the same."""
    labelled, held = list(read_documents(train)), list(read_documents(test))
    random.Random(seed).shuffle(labelled)
    random.Random(0).shuffle(held)
    unlabelled = [d.text for d in labelled[labels:]] if labels else []
    unlabelled += [d.text for path in more for d in read_documents(path, labelled=False)]
    return Data(labelled[: labels or None], unlabelled, held[:tests])


def tiny() -> Data:
    """Sixty trivially separable sentences."""
    draw = random.Random(0)
    words = {"good": ["great", "lovely", "superb"], "bad": ["awful", "boring", "dreadful"]}
    documents = [
        Document(f"The {draw.choice(['film', 'plot', 'cast'])} was {draw.choice(words[label])}.", label)
        for label in ("good", "bad") * 30
    ]  # fmt: skip
    return Data(documents[:40], [d.text for d in documents], documents[40:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files_help = (
        "a name, a file to train on, one to score on, and perhaps files of unlabelled texts"
    )
    parser.add_argument("--data", nargs="+", metavar=("NAME", "FILE"), help=files_help)
    parser.add_argument("--labels", type=int, default=0, help="labels to train on; 0: all")
    parser.add_argument("--tests", type=int, default=5_000, help="most documents to score")
    parser.add_argument("--peers", nargs="*", help="names as in the table; left out: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.data and len(args.data) < 3:
        parser.error("--data wants a name, a file to learn from and one to be scored on")
    found = peers(args.threads, not args.data)
    if unknown := set(args.peers or ()) - set(found):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    name, *files = args.data or ["toy"]
    for seed in args.seeds:
        data = tiny()
        if files:
            data = read(files[0], files[1], files[2:], args.labels, args.tests, seed)
        sizes = {
            "labels": len(data.train),
            "unlabelled": len(data.unlabelled),
            "tests": len(data.test),
        }
        for peer in args.peers or found:
            result = run(found[peer], data, seed)
            settings = {"data": name, "peer": peer, **found[peer].settings, "seed": seed, **sizes}
            if files:
                record.append("accuracy", settings | result)
            shown = result.get("accuracy", result.get("left_out"))
            print(f"{name:8} {peer:34} seed {seed}: {shown}", flush=True)


if __name__ == "__main__":
    main()
