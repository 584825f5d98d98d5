"""Accuracy with few labels and much unlabelled text, on IMDB and TREC-6, three draws each, beside TF-IDF on the same labels.

    python -m benchmarks.few_labels --imdb LM [LM] --data-dir DIR --sizes 100 250 500 1000
    python -m benchmarks.few_labels --trec DIR --sizes 20 100 300

LM is a language model fine-tuned on IMDB's train and unlabelled reviews (by `recipes/imdb.py`); with two, one per direction, the
classifiers are averaged. The first DIR holds IMDB, the second TREC-6's train and test tables (columns text, label); its language
model is fine-tuned here, on the training questions. Appends to benchmarks/results/few_labels.jsonl. A training takes half a minute
(TREC-6) to eight minutes on one thread.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks import record
from ulmfit import datasets
from ulmfit.baseline import baseline_accuracy
from ulmfit.classifier import TextClassifier
from ulmfit.config import SMALL_CLASSIFIER, SMALL_FINETUNE, FitConfig, RuntimeConfig
from ulmfit.language_model import LanguageModel
from ulmfit.pretrained import find
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import finetune_lm, train_classifier
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import distinct, without

TEST = 5_000  # most test documents


def draw(pool: Sequence[Document], size: int, seed: int) -> list[Document]:
    """About `size` documents, labels in the pool's proportions, at least two of each."""
    by_label = defaultdict(list)
    for document in pool:
        by_label[document.label].append(document)
    rng, chosen = random.Random(seed), []
    for label in sorted(by_label, key=str):
        documents = by_label[label]
        chosen += rng.sample(documents, max(2, round(size * len(documents) / len(pool))))
    return chosen


def accuracies(members: Sequence[TextClassifier], test: Sequence[Document]) -> dict[str, float]:
    """The accuracy of each direction, and of the mean of their probabilities ("ulmfit")."""
    outputs, texts = members[0].outputs, [d.text for d in test]
    rows = {m.config.direction: m.probabilities(texts) for m in members}
    rows["ulmfit"] = np.mean(list(rows.values()), axis=0)
    truth = outputs.truth(test)
    return {name: outputs.metrics(truth, of)["accuracy"] for name, of in rows.items()}


def measure(
    name: str,
    lms: Sequence[LanguageModel],
    pool: Sequence[Document],
    unlabelled: Sequence[Document],
    test: Sequence[Document],
    args: argparse.Namespace,
) -> None:
    """Train and score every size and draw; print and record."""
    test = random.Random(0).sample(list(test), min(TEST, len(test)))
    config = SMALL_CLASSIFIER
    for size in args.sizes:
        pairs = []
        for seed in args.draws:
            documents = draw(pool, size, seed)
            runtime = Runtime.start(RuntimeConfig(seed=seed, threads=args.threads))
            run = Run.open(args.out / f"{name}-{size}-{seed}", {}, "", overwrite=True, say=print)
            how = {"config": config, "runtime": runtime, "run": run}
            members = [train_classifier(lm, documents, unlabelled=unlabelled, **how) for lm in lms]
            line = {"set": name, "labels": len(documents), "seed": seed}
            line |= {"pseudo_labels": config.pseudo_labels, "epochs": config.epochs}
            line |= accuracies(members, test)
            line |= {"tfidf": baseline_accuracy(documents, test), "test_documents": len(test)}
            pairs.append((line["ulmfit"], line["tfidf"]))
            record.append("few_labels", line)
        ulmfit, tfidf = (mean(column) for column in zip(*pairs, strict=True))
        means = f"ULMFiT {ulmfit:.1%}, TF-IDF {tfidf:.1%} (mean of {len(pairs)} draws)"
        print(f"{name}, {size} labels: {means}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--imdb", type=Path, nargs="+", metavar="LM", default=())
    parser.add_argument("--data-dir", type=Path, help="IMDB on disk")
    parser.add_argument("--trec", type=Path, metavar="DIR")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/few_labels"))
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    if args.trec:
        train, test = (
            list(read_documents(next(args.trec.glob(f"{part}.*")))) for part in ("train", "test")
        )
        train = without(train, test)  # a few questions are in both
        run = Run.open(args.out / "trec-lm", {}, "", overwrite=True, say=print)
        runtime = Runtime.start(RuntimeConfig(threads=args.threads))
        start = LanguageModel.load(find(FitConfig.pretrained, "forward"))
        lm = finetune_lm(start, train, config=SMALL_FINETUNE, runtime=runtime, run=run)
        measure("trec-6", [lm], train, train, test, args)
    if args.imdb:
        train, test, others = (
            datasets.load("imdb", part, data_dir=args.data_dir, say=print)
            for part in ("train", "test", "unlabelled")
        )
        lms, train = [LanguageModel.load(lm) for lm in args.imdb], distinct(train)
        texts = distinct([*train, *others])
        measure("imdb", lms, train, texts, without(test, train), args)


if __name__ == "__main__":
    main()
