"""Accuracy of this library and of others, on the same labels and the same texts held out.

    python -m benchmarks.accuracy --data-dir FOLDER                    # all peers on all sets
    python -m benchmarks.accuracy imdb --data-dir FOLDER --peers tfidf "ulmfit, 5 minutes"
    python -m benchmarks.accuracy tiny                                 # the harness itself

Sets: imdb (1,000 labels and all unlabelled reviews), trec-6 and sst-2 out of a folder with train, test and perhaps
unsup files, as `ulmfit fit` reads them: FOLDER/imdb/train.parquet and so on. Every peer runs in its own environment
(`make peers`); what it was given, measured and answered becomes a line of benchmarks/results/accuracy.jsonl.
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


def read(name: str, folder: Path | None, labels: int, seed: int) -> Data:
    """A set by name; `labels` documents of its training part, drawn with `seed`, the rest without labels."""
    if name == "tiny":
        return tiny()
    if folder is None:
        raise ValueError(f"--data-dir must name the folder that holds {name}/train.* and test.*")
    parts = {part: list((folder / name).glob(f"{part}.*")) for part in ("train", "test", "unsup")}
    if not parts["train"] or not parts["test"]:
        raise ValueError(f"{folder / name} must hold a file train.* and a file test.*")
    train = list(read_documents(parts["train"][0]))
    random.Random(seed).shuffle(train)
    more = [d.text for d in train[labels:]] if labels else []
    more += [d.text for path in parts["unsup"] for d in read_documents(path, labelled=False)]
    return Data(train[: labels or None], more, list(read_documents(parts["test"][0])))


def tiny() -> Data:
    """Sixty sentences that a child could tell apart."""
    draw = random.Random(0)
    words = {"good": ["great", "lovely", "superb"], "bad": ["awful", "boring", "dreadful"]}
    made = [
        Document(f"The {draw.choice(['film', 'plot', 'cast'])} was {draw.choice(words[label])}.", label)
        for label in ("good", "bad") * 30
    ]  # fmt: skip
    return Data(made[:40], [d.text for d in made], made[40:])


LABELS = {"imdb": 1_000, "trec-6": 0, "sst-2": 0, "tiny": 0}  # 0: all


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", choices=[*LABELS, []], help="sets")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--peers", nargs="*", help="names as in the table; all where left out")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    for name in told.data or [n for n in LABELS if n != "tiny"]:
        found = peers(told.threads, name == "tiny")
        if unknown := set(told.peers or ()) - set(found):
            parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(found)}")
        for seed in told.seeds:
            data = read(name, told.data_dir, LABELS[name], seed)
            for peer in told.peers or found:
                result = run(found[peer], data, seed)
                settings = {"data": name, "peer": peer, "seed": seed, "labels": len(data.train)}
                if name != "tiny":
                    record.append("accuracy", settings | found[peer].settings | result)
                shown = result.get("accuracy", result.get("left_out"))
                print(f"{name:8} {peer:34} seed {seed}: {shown}", flush=True)


if __name__ == "__main__":
    main()
