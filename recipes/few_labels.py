"""Accuracy with 20, 100 and 300 labels on IMDB and TREC-6, three draws each, beside TF-IDF on the same labels.

    python recipes/few_labels.py --imdb-lm runs/demo --trec DIR --out runs/few_labels

`--imdb-lm` is a finished demo run: its language model has read the demo's unlabelled reviews and none of the held-out
ones. DIR holds TREC-6's train and test tables (columns text, label). Appends to benchmarks/results/few_labels.jsonl.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from ulmfit.baseline import baseline_accuracy
from ulmfit.config import SMALL_CLASSIFIER, SMALL_FINETUNE, FitConfig, RuntimeConfig
from ulmfit.demo import load_reviews
from ulmfit.language_model import LanguageModel
from ulmfit.pretrained import find
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import finetune_lm, train_classifier
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import without

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "few_labels.jsonl"
SIZES, DRAWS, TEST = (
    (20, 100, 300),
    3,
    1_000,
)  # labels; draws of them; at most so many test documents


def draw(pool: Sequence[Document], size: int, seed: int) -> list[Document]:
    """`size` documents, labels in the pool's proportions, at least two of each."""
    by_label = defaultdict(list)
    for document in pool:
        by_label[document.label].append(document)
    rng, chosen = random.Random(seed), []
    for label in sorted(by_label, key=str):
        documents = by_label[label]
        chosen += rng.sample(documents, max(2, round(size * len(documents) / len(pool))))
    return chosen


def measure(
    name: str,
    lm: LanguageModel,
    pool: Sequence[Document],
    unlabelled: Sequence[Document],
    test: Sequence[Document],
    out: Path,
    threads: int | None,
) -> None:
    """Train and score every size and draw; print and record."""
    test = random.Random(0).sample(list(test), min(TEST, len(test)))
    for size in SIZES:
        pairs = []
        for seed in range(DRAWS):
            documents = draw(pool, size, seed)
            runtime = Runtime.start(RuntimeConfig(seed=seed, threads=threads))
            run = Run.open(out / f"{name}-{size}-{seed}", {}, "", overwrite=True)
            told = {"config": SMALL_CLASSIFIER, "runtime": runtime, "run": run}
            classifier = train_classifier(lm, documents, unlabelled=unlabelled, **told)
            pairs.append(
                (classifier.evaluate(test, runtime)["accuracy"], baseline_accuracy(documents, test))
            )
            line = {
                "set": name,
                "pseudo_labels": SMALL_CLASSIFIER.pseudo_labels,
                "labels": len(documents),
                "seed": seed,
                "ulmfit": pairs[-1][0],
                "tfidf": pairs[-1][1],
            }
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(json.dumps(line | {"test_documents": len(test)}) + "\n")
        ours, theirs = (mean(column) for column in zip(*pairs, strict=True))
        print(
            f"{name}, {size} labels: ULMFiT {ours:.1%}, TF-IDF {theirs:.1%} (mean of {DRAWS} draws)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--imdb-lm", type=Path)
    parser.add_argument("--trec", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/few_labels"))
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    if args.trec:
        train, test = (
            list(read_documents(next(args.trec.glob(f"{part}.*")))) for part in ("train", "test")
        )
        train = without(train, test)  # a few questions stand in both
        run = Run.open(args.out / "trec-lm", {}, "", overwrite=True, say=print)
        runtime = Runtime.start(RuntimeConfig(threads=args.threads))
        start = LanguageModel.load(find(FitConfig.pretrained, "forward"))
        lm = finetune_lm(start, train, config=SMALL_FINETUNE, runtime=runtime, run=run)
        measure("trec-6", lm, train, train, test, args.out, args.threads)
    if args.imdb_lm:
        reviews = load_reviews()
        lm = LanguageModel.load(args.imdb_lm / "forward" / "language_model")
        measure(
            "imdb",
            lm,
            reviews.labelled,
            reviews.unlabelled,
            reviews.held_out,
            args.out,
            args.threads,
        )


if __name__ == "__main__":
    main()
