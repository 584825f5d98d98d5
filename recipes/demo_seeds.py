"""The demo with three seeds, with and without the shipped language model, everything else equal.

    python recipes/demo_seeds.py --out runs/demo_seeds

Appends one JSON line a run to benchmarks/results/demo_seeds.jsonl, and writes the means that `ulmfit demo` shows as
recorded. About ten minutes a run on two cores; finished runs are not repeated.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch

from ulmfit.baseline import baseline_accuracy
from ulmfit.config import RuntimeConfig
from ulmfit.demo import CONFIG, RECORDED, Reviews, load_reviews
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.runtime import Runtime
from ulmfit.stages import fit

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "demo_seeds.jsonl"
STARTS = {"ULMFiT, shipped language model": "wikipedia-small", "ULMFiT, no pretraining": "none"}


def run(reviews: Reviews, pretrained: str, seed: int, threads: int | None, out: Path) -> float:
    """Accuracy on the held-out reviews."""
    fit(
        reviews.labelled,
        unlabelled=reviews.unlabelled,
        valid=[],
        test=reviews.held_out,
        config=replace(CONFIG, pretrained=pretrained),
        runtime=RuntimeConfig(seed=seed, threads=threads),
        out=out,
        say=lambda line: print(line, flush=True),
    )
    return load_json(out / "config.json")["results"]["test"]["accuracy"]


def finished(out: Path) -> bool:
    """Whether that run is there already, and so is its line."""
    record = out / "config.json"
    return record.exists() and load_json(record)["finished"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo_seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", default=list(STARTS.values()))
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    reviews = load_reviews()
    for pretrained in args.starts:
        for seed in args.seeds:
            out = args.out / f"{pretrained}-{seed}"
            if finished(out):
                continue
            began = time.monotonic()
            accuracy = run(reviews, pretrained, seed, args.threads, out)
            line = {"pretrained": pretrained, "seed": seed, "accuracy": accuracy}
            line |= {
                "seconds": round(time.monotonic() - began),
                "torch": torch.__version__,
                "machine": Runtime.choose(RuntimeConfig(seed=seed), training=True).describe(),
            }
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    report(baseline_accuracy(reviews.labelled, reviews.held_out))


def report(baseline: float) -> None:
    """Print mean and spread of what is recorded; the latest line of a seed counts."""
    latest = {
        (r["pretrained"], r["seed"]): r["accuracy"]
        for r in map(json.loads, RESULTS.read_text().splitlines())
    }
    recorded = {}
    for name, pretrained in STARTS.items():
        figures = [accuracy for (start, _), accuracy in latest.items() if start == pretrained]
        if len(figures) >= 3:
            recorded[name] = mean(figures)
            print(f"{name:32} {mean(figures):.1%} ± {stdev(figures):.1%}, {len(figures)} seeds")
    print(f"{'TF-IDF + logistic regression':32} {baseline:.1%}")
    save_json(RECORDED, recorded)


if __name__ == "__main__":
    main()
