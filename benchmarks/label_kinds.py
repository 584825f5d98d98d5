"""Several labels per text, and numbers, beside TF-IDF on the same labels, on data sets derived from ones with one class per text.

    python -m benchmarks.label_kinds --topics TRAIN TEST --grades TRAIN TEST --reviews TRAIN TEST --out runs/label_kinds

The files are tables with the columns text and label. `--topics` (made for AG News) → several labels: one to three texts of
different classes joined, labelled with their classes. `--grades` (SST-5) → numbers: the class, a whole number.
`--reviews` (IMDB, classes 0 and 1) → numbers: the beginnings of three reviews joined, labelled with how many of them are
positive. No text is used twice. Appends to benchmarks/results/label_kinds.jsonl.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import record
from ulmfit.baseline import baseline_metrics
from ulmfit.config import FitConfig, RuntimeConfig
from ulmfit.prepare_lm import start_lm
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import finetune_lm, train_classifier
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import distinct, without

PASTED, WORDS = 3, 25  # reviews joined, and first words of each
SETTINGS: dict[str, dict[str, Any]] = {"plain": {}, "balanced": {"class_weight": "balanced"}}


def topics(pool: Sequence[Document], size: int, seed: int) -> list[Document]:
    """One to three texts of different classes joined, labelled with all of their classes."""
    draw, rest = random.Random(seed), list(pool)
    draw.shuffle(rest)
    joined = list[Document]()
    while rest and len(joined) < size:
        parts = [rest.pop() for _ in range(min(draw.randint(1, 3), len(rest)))]
        by_class = {str(d.label): d.text for d in parts}  # only one text of each class is kept
        joined.append(Document(" ".join(by_class.values()), tuple(sorted(by_class))))
    return joined


def grades(pool: Sequence[Document], size: int, seed: int) -> list[Document]:
    """The classes as numbers."""
    chosen = random.Random(seed).sample(list(pool), min(size, len(pool)))
    return [Document(d.text, float(str(d.label))) for d in chosen]


def shares(pool: Sequence[Document], size: int, seed: int) -> list[Document]:
    """The beginnings of several reviews joined, labelled with how many are of class 1."""
    rest = random.Random(seed).sample(list(pool), min(PASTED * size, len(pool)))
    groups = [rest[i : i + PASTED] for i in range(0, len(rest) - PASTED + 1, PASTED)]
    return [
        Document(
            "\n".join(" ".join(d.text.split()[:WORDS]) for d in group),
            float(sum(str(d.label) == "1" for d in group)),
        )
        for group in groups
    ]


SETS: dict[str, Callable[[Sequence[Document], int, int], list[Document]]] = {
    "topics": topics,
    "grades": grades,
    "reviews": shares,
}


def measure(
    name: str,
    train: Sequence[Document],
    test: Sequence[Document],
    config: FitConfig,
    out: Path,
    threads: int | None,
    seeds: int,
) -> None:
    """Train one language model, then classifiers; print and record each beside the baseline."""
    runtime = Runtime.start(RuntimeConfig(threads=threads))
    start = start_lm(config.pretrained, "forward", train, config.tokenizer, runtime.seed, print)
    with Run.open(out / f"{name}-lm", overwrite=True, say=print) as run:
        lm = finetune_lm(start, distinct(train), config=config.lm, runtime=runtime, run=run)
    baseline = baseline_metrics(train, test)
    several = isinstance(train[0].label, tuple)
    for setting, seed in product(SETTINGS if several else ["plain"], range(seeds)):
        training = replace(config.classifier, **SETTINGS[setting])
        runtime = Runtime.start(RuntimeConfig(threads=threads, seed=seed))
        with Run.open(out / f"{name}-{setting}-{seed}", overwrite=True, say=print) as run:
            model = train_classifier(lm, train, config=training, runtime=runtime, run=run)
        line = {"set": name, "labels": len(train), "setting": setting, "seed": seed}
        line |= {"ulmfit": model.evaluate(test, runtime), "tfidf": baseline}
        record.append("label_kinds", line)
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--out", type=Path, default=Path("runs/label_kinds"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--labels", type=int, default=1_000, help="documents to train on")
    parser.add_argument("--test", type=int, default=500, help="documents to score")
    parser.add_argument("--seeds", type=int, default=2, help="classifiers of each setting")
    parser.add_argument("--lm-tokens", type=int, default=100_000, help="read in fine-tuning")
    args = parser.parse_args()
    config = replace(FitConfig(), lm=replace(FitConfig.lm, max_tokens=args.lm_tokens))
    for name, derive in SETS.items():
        if files := getattr(args, name):
            train, test = (distinct(read_documents(file)) for file in files)
            train = without(train, test)
            sets = derive(train, args.labels, 0), derive(test, args.test, 1)
            measure(name, *sets, config, args.out, args.threads, args.seeds)


if __name__ == "__main__":
    main()
