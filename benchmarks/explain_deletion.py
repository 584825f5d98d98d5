"""Does deleting the words that an explanation names move the prediction more than deleting random ones?

    python benchmarks/explain_deletion.py runs/demo imdb/test.parquet
    python benchmarks/explain_deletion.py runs/demo imdb/test.parquet --pilot --reviews 100

From each review the words that speak most for the predicted label are deleted (one word, a tenth of them, a fifth), and the text
is tokenized and predicted anew. The comparison: as many random words, three times. `--pilot` compares more methods than the
library has, on other reviews than the main run. Appends a line per review to benchmarks/results/explain_deletion.jsonl, and prints
the table of all such lines.
"""

import argparse
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.classifier import TextClassifier
from ulmfit.config import PAD_ID, UNKNOWN_ID, RuntimeConfig
from ulmfit.insight import explain
from ulmfit.runtime import Runtime
from ulmfit.saved import load_classifier
from ulmfit.text.alignment import Alignment, align
from ulmfit.text.corpus import Corpus
from ulmfit.text.readers import read_documents

RESULTS = Path(__file__).parent / "results" / "explain_deletion.jsonl"
SHARES = {"one word": 0.0, "a tenth": 0.1, "a fifth": 0.2}
RANDOM_DRAWS = 3
PILOT = 1_000  # index in the shuffled reviews: the main run uses those before it, the pilot those from there on

Weigh = Callable[[TextClassifier, Alignment, int, Runtime], NDArray[np.float64]]


def by_xxunk(
    classifier: TextClassifier, where: Alignment, label: int, runtime: Runtime
) -> NDArray[np.float64]:
    """Occlusion that replaces each token of a word by xxunk instead of leaving it out."""
    ids, owners = where.ids, np.array(where.owners)
    owners[0] = -1
    of_words = np.unique(owners[1:])
    texts = [ids, *(np.where(owners == word, UNKNOWN_ID, ids) for word in of_words)]
    offsets = np.arange(len(texts) + 1) * len(ids)
    corpus = Corpus(
        np.concatenate(texts).astype(ids.dtype), offsets, None, (), "", classifier.tokenizer
    )
    whole, *changed = explain.log_odds(classifier.probabilities_of(corpus, runtime), label)
    lost = np.zeros(len(ids))
    for word, left in zip(of_words, changed, strict=True):
        lost[owners == word] = (whole - left) / (owners == word).sum()
    return lost


def along(start: str, steps: int, whole: bool = True) -> Weigh:
    """Integrated gradients from the embedding of "xxunk", from "zero", or from the "mean" embedding; with one step, taken at the text
    itself, from "zero": gradient × input. `whole` False: gradients stop at the borders of chunks, as in training."""

    def weigh(
        classifier: TextClassifier, where: Alignment, label: int, runtime: Runtime
    ) -> NDArray[np.float64]:
        table = classifier.net.encoder.embedding.weight.detach()
        of = {"xxunk": table[UNKNOWN_ID], "zero": table[0] * 0, "mean": table[PAD_ID + 1 :].mean(0)}
        ids = torch.from_numpy(where.ids.astype(np.int64))
        net, bptt = classifier.net.eval(), classifier.net.bptt
        net.bptt = len(ids) if whole and len(ids) <= net.max_len else bptt
        change, total = table[ids] - of[start], torch.zeros(len(ids))
        for step in range(steps):
            at = 1.0 if steps == 1 else (step + 0.5) / steps
            rows = (of[start] + at * change).requires_grad_()
            (slope,) = torch.autograd.grad(explain._score(net, rows, label, 1.0), rows)
            total += (slope * change).sum(1) / steps
        net.bptt = bptt
        return total.double().numpy()

    return weigh


METHODS: dict[str, Weigh] = {
    "occlusion": explain.occlusion,
    "integrated from xxunk, 8": along("xxunk", 8),
}
TRIED: dict[str, Weigh] = METHODS | {
    "occlusion, xxunk": by_xxunk,
    "integrated from the mean, 8": along("mean", 8),
    "gradient × (input − xxunk)": along("xxunk", 1),
    "gradient × input": along("zero", 1),
    "integrated from zero, 8": along("zero", 8),
    "integrated from xxunk, 8, truncated": along("xxunk", 8, whole=False),
}


def measure(
    classifier: TextClassifier, text: str, methods: dict[str, Weigh], seed: int, runtime: Runtime
) -> dict:
    """The probability of the predicted label, and its probability after each deletion."""
    prediction = classifier.predict(text, runtime)
    number = classifier.labels.index(prediction.label)
    where = align(text, classifier.tokenizer)
    n, rng = len(where.words), random.Random(seed)
    orders: dict[str, Sequence[Sequence[int]]] = {}
    for name, weigh in methods.items():
        weights = np.bincount(
            where.owners[1:], weigh(classifier, where, number, runtime)[1:], minlength=n
        )
        orders[name] = [np.argsort(-weights, kind="stable").tolist()]
    orders["random"] = [rng.sample(range(n), n) for _ in range(RANDOM_DRAWS)]
    cut = [
        (name, share, without(text, where, order[: max(1, round(part * n))]))
        for name, draws in orders.items()
        for share, part in SHARES.items()
        for order in draws
    ]
    left = classifier.probabilities([t for *_, t in cut], runtime)[:, number].tolist()
    kept: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (name, share, _), probability in zip(cut, left, strict=True):
        kept[name][share].append(round(probability, 4))
    probability = round(prediction.probability, 4)
    return {"words": n, "label": prediction.label, "probability": probability, "left": kept}


def without(text: str, where: Alignment, words: Sequence[int]) -> str:
    """The text without some of its words."""
    for start, end in sorted((where.words[w] for w in words), reverse=True):
        text = text[:start] + text[end:]
    return text


def report(lines: list[dict]) -> None:
    """Prints the mean fall of the probability in points, how often it is larger than for random words, and how often the label
    changes."""
    if not lines:
        return
    print(f"{len(lines)} reviews, {mean(x['words'] for x in lines):.0f} words on average")
    for share in SHARES:
        print(f"\n{share}: points lost ± standard error, more than random, label changed")
        fall = {
            name: [100 * (x["probability"] - mean(x["left"][name][share])) for x in lines]
            for name in lines[0]["left"]
            if all(name in x["left"] for x in lines)
        }
        for name, points in fall.items():
            over = [a - b for a, b in zip(points, fall["random"], strict=True)]
            changed = mean(mean(p < 0.5 for p in x["left"][name][share]) for x in lines)
            error = stdev(over) / math.sqrt(len(over)) if name != "random" else 0.0
            print(
                f"  {name:36} {mean(points):6.1f}  {mean(over):+6.1f} ± {error:.1f}"
                f"  {mean(o > 0 for o in over):6.1%}  {changed:6.1%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("table", type=Path)
    parser.add_argument("--reviews", type=int, default=500)
    parser.add_argument("--most-words", type=int, default=80, help="longer reviews are left out")
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    runtime = Runtime.start(RuntimeConfig(device="cpu", threads=args.threads))
    classifier = load_classifier(args.model)
    assert isinstance(classifier, TextClassifier)
    texts = sorted({d.text for d in read_documents(args.table, labelled=False)})
    texts = [text for text in texts if len(text.split()) <= args.most_words]
    random.Random(0).shuffle(texts)
    first = PILOT if args.pilot else 0
    kind = {"model": args.model, "pilot": args.pilot, "most_words": args.most_words}
    there = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    lines = [x for x in map(json.loads, there) if {k: x[k] for k in kind} == kind]
    done = {x["review"] for x in lines}
    for number in range(first, first + args.reviews):
        if number in done:
            continue
        methods = TRIED if args.pilot else METHODS
        line = kind | {"review": number}
        line |= measure(classifier, texts[number], methods, number, runtime)
        lines.append(line)
        with open(RESULTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    report(lines)


if __name__ == "__main__":
    main()
