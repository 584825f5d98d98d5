"""What `--classifier.class-weight balanced` gains if one class is rare, beside TF-IDF on the same labels.

    python -m benchmarks.imbalance reviews.csv --rare neg --out runs/imbalance

The table has the columns text and label, and two classes. A third of its texts is held out, and thinned to one of the rare class for
ten of the other; one language model is fine-tuned on the rest, without labels. From the rest each draw takes 40 and 400 texts, trains
on them with and without class weights, and scores the held-out texts. Appends to benchmarks/results/imbalance.jsonl.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import record
from ulmfit.baseline import train_baseline
from ulmfit.config import FitConfig, RuntimeConfig
from ulmfit.prepare_lm import start_lm
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import finetune_lm, train_classifier
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import distinct

RARE, TIMES = 40, 10  # labels of the rare class; the other class has this many times as many
Labels = Sequence[str]


def draw(pool: Sequence[Document], rare: str, most: int, seed: int) -> list[Document]:
    """Up to `most` texts of the rare class, and `TIMES` as many of the other."""
    shuffled = random.Random(seed).sample(list(pool), len(pool))
    of_rare = [d for d in shuffled if d.label == rare]
    of_other = [d for d in shuffled if d.label != rare]
    n = min(most, len(of_rare), len(of_other) // TIMES)
    return of_rare[:n] + of_other[: n * TIMES]


def figures(predicted: Labels, truth: Labels, rare: str) -> dict[str, float]:
    """Accuracy, macro-F1, and precision and recall of the rare class."""
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    options: dict[str, Any] = {"labels": [rare], "average": "macro", "zero_division": 0.0}
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "precision": float(precision_score(truth, predicted, **options)),
        "recall": float(recall_score(truth, predicted, **options)),
    }


def measure(
    documents: Sequence[Document],
    rare: str,
    config: FitConfig,
    out: Path,
    threads: int | None,
    draws: int,
) -> None:
    """Train one language model, then for each draw a classifier with and without class weights; print and record."""
    documents = random.Random(0).sample(list(documents), len(documents))
    held_out, pool = documents[: len(documents) // 3], documents[len(documents) // 3 :]
    test = draw(held_out, rare, len(held_out), 0)
    texts, truth = [d.text for d in test], [str(d.label) for d in test]
    runtime = Runtime.start(RuntimeConfig(threads=threads))
    start = start_lm(config.pretrained, "forward", pool, config.tokenizer, runtime.seed, print)
    with Run.open(out / "lm", overwrite=True, say=print) as run:
        lm = finetune_lm(start, pool, config=config.lm, runtime=runtime, run=run)
    for seed in range(draws):
        train = draw(pool, rare, RARE, seed)
        predicted: dict[str, Labels] = {"tfidf": train_baseline(train).predict(texts).tolist()}
        for name in ("plain", "balanced"):
            weight = "balanced" if name == "balanced" else None
            training = replace(config.classifier, class_weight=weight)
            runtime = Runtime.start(RuntimeConfig(threads=threads, seed=seed))
            with Run.open(out / f"{name}-{seed}", overwrite=True) as run:
                model = train_classifier(lm, train, config=training, runtime=runtime, run=run)
            predicted[name] = [prediction.label for prediction in model.predict(texts, runtime)]
        line = {"labels": len(train), "test": len(test), "seed": seed, "rare": rare}
        line |= {name: figures(labels, truth, rare) for name, labels in predicted.items()}
        record.append("imbalance", line)
        print(json.dumps(line), flush=True)


def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("data", type=Path, help="table of two classes")
    parser.add_argument("--rare", required=True, help="the label that is made rare")
    parser.add_argument("--out", type=Path, default=Path("runs/imbalance"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--lm-tokens", type=int, default=FitConfig.lm.max_tokens)
    args = parser.parse_args()
    config = replace(FitConfig(), lm=replace(FitConfig.lm, max_tokens=args.lm_tokens))
    documents = distinct(read_documents(args.data, label_kind="single"))
    measure(documents, args.rare, config, args.out, args.threads, args.draws)


if __name__ == "__main__":
    main()
