"""Does it pay to choose what to label? 100 random labels + 100 chosen by `ulmfit next-labels`, compared with 200 random ones.

    python -m benchmarks.next_labels --lm runs/demo --imdb DIR --by linear
    python -m benchmarks.next_labels --lm runs/demo --imdb DIR --by trained --out runs/next_labels

`--lm` is a finished demo run: its language model has read texts of IMDB's training part only. DIR holds IMDB's train and test
tables (columns text, label). `linear`: logistic regression on the pooled features of the language model, with all strategies, in
seconds per draw; `trained`: the whole classifier, in minutes. Appends a JSON line for each classifier to
benchmarks/results/next_labels.jsonl; draws already recorded there are not repeated.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks import record
from ulmfit.classifier import TextClassifier
from ulmfit.config import SMALL_CLASSIFIER as TRAINING
from ulmfit.config import RuntimeConfig
from ulmfit.insight.next_labels import Array, margins, pick, read
from ulmfit.language_model import LanguageModel
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import train_classifier
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import distinct, without

POOL, TEST = 3_000, 2_000  # documents to choose from; held-out documents
FIRST, MORE = 100, 100  # random labels before the choice; labels chosen
INVERSE_REGULARISATION = 0.001  # of the logistic regression, on standardised features

Pick = Callable[[Array, Array, int, int], list[int]]  # features, probabilities, n, seed → rows


def by_chance(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(len(features)), n)


def product(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    """This library's choice: far from each other, among the least certain."""
    return [row for row, _ in pick(features, probabilities, n, seed)]


def least_certain(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    return np.argsort(margins(probabilities), kind="stable")[:n].tolist()


def most_certain(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    return np.argsort(-margins(probabilities), kind="stable")[:n].tolist()


def far_apart(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    """k-means++ on the features of all texts, whatever the classifier's certainty."""
    return plus_plus(standard(features), np.ones(len(features)), n, seed)


def weighted(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    """k-means++ on the features of all texts, with distances weighted by 1 − margin."""
    return plus_plus(standard(features), 1 - margins(probabilities), n, seed)


def badge(features: Array, probabilities: Array, n: int, seed: int) -> list[int]:
    """k-means++ on the gradients that the last layer would get from the predicted label (Ash et al. 2020)."""
    error = probabilities - np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    gradients = (error[:, :, None] * standard(features)[:, None]).reshape(len(features), -1)
    return plus_plus(gradients, np.ones(len(features)), n, seed)


STRATEGIES: dict[str, Pick] = {
    "random": by_chance,
    "next-labels": product,
    "least certain": least_certain,
    "badge": badge,
    "weighted k-means++": weighted,
    "k-means++": far_apart,
    "most certain": most_certain,
}


def plus_plus(points: Array, weights: Array, n: int, seed: int) -> list[int]:
    draw = np.random.default_rng(seed)
    rows, nearest = list[int](), np.ones(len(points))
    for _ in range(n):
        likely = nearest * weights
        likely[rows] = 0
        rows.append(int(draw.choice(len(points), p=likely / likely.sum())))
        distance = ((points - points[rows[-1]]) ** 2).sum(axis=1)
        nearest = distance if len(rows) == 1 else np.minimum(nearest, distance)
    return rows


def standard(features: Array) -> Array:
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)


def linear(
    lm: LanguageModel,
    pool: Sequence[Document],
    test: Sequence[Document],
    draws: Sequence[int],
    out: Path,
) -> Iterator[dict]:
    """A line for every draw and strategy. The features are cached in `out`, so each language model needs its own directory."""
    from sklearn.linear_model import LogisticRegression

    kept = out / "features.npy"
    if not kept.exists():
        reader = TextClassifier.create(
            lm, ["neg", "pos"], TRAINING
        )  # its untrained head is not used
        out.mkdir(parents=True, exist_ok=True)
        texts = [d.text for d in (*pool, *test)]
        np.save(kept, read(reader, texts, Runtime.choose(), "reading")[0])
    features, held = np.split(np.load(kept), [len(pool)])
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    features, held = (features - centre) / spread, (held - centre) / spread
    labels, truth = (np.array([str(d.label) for d in part]) for part in (pool, test))

    def trained(rows: Sequence[int]) -> LogisticRegression:
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=300)
        return model.fit(features[rows], labels[rows])

    for draw in draws:
        order = random.Random(draw).sample(range(len(pool)), len(pool))
        first, rest = order[:FIRST], np.array(order[FIRST:])
        model = trained(first)
        yield {"draw": draw, "labels": FIRST, "accuracy": model.score(held, truth)}
        probabilities = model.predict_proba(features[rest])
        for name, strategy in STRATEGIES.items():
            rows = rest[strategy(features[rest], probabilities, MORE, draw)].tolist()
            accuracy = trained([*first, *rows]).score(held, truth)
            line = {"draw": draw, "labels": FIRST + MORE, "strategy": name}
            yield line | {"accuracy": accuracy}


def trained(
    lm: LanguageModel,
    pool: Sequence[Document],
    test: Sequence[Document],
    draws: Sequence[int],
    out: Path,
    threads: int | None,
) -> Iterator[dict]:
    """As `linear`, with the whole classifier, for random choice and this library's."""
    for draw in draws:
        runtime = Runtime.start(RuntimeConfig(seed=draw, threads=threads))
        documents = random.Random(draw).sample(list(pool), len(pool))
        first, rest = documents[:FIRST], documents[FIRST:]
        with Run.open(out / f"first-{draw}", say=say) as run:
            model = train_classifier(lm, first, config=TRAINING, runtime=runtime, run=run)
        seen = read(model, [d.text for d in rest], runtime, "reading what is left")
        for name in ("next-labels", "random"):
            rows = STRATEGIES[name](*seen, MORE, draw)
            chosen = [*first, *(rest[row] for row in rows)]
            with Run.open(out / f"{name}-{draw}", say=say) as run:
                model = train_classifier(lm, chosen, config=TRAINING, runtime=runtime, run=run)
            accuracy = model.evaluate(test, runtime, progress="scoring")["accuracy"]
            line = {"draw": draw, "labels": FIRST + MORE, "strategy": name}
            yield line | {"accuracy": accuracy}


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm", type=Path, required=True)
    parser.add_argument("--imdb", type=Path, required=True)
    parser.add_argument("--by", choices=["linear", "trained"], default="linear")
    parser.add_argument("--draws", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--out", type=Path, default=Path("runs/next_labels"))
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    train, test = (
        distinct(read_documents(next(args.imdb.glob(f"{part}.*")))) for part in ("train", "test")
    )
    draw = random.Random(0)
    pool, held = draw.sample(train, POOL), draw.sample(without(test, train), TEST)
    lm = LanguageModel.load(args.lm / "forward" / "language_model")
    draws = [d for d in args.draws if d not in finished(args.by)]
    if args.by == "linear":
        lines = linear(lm, pool, held, draws, args.out)
    else:
        lines = trained(lm, pool, held, draws, args.out, args.threads)
    for line in lines:
        say(json.dumps(line))
        record.append("next_labels", {"by": args.by} | line)
    report(args.by)


def recorded(by: str) -> list[dict]:
    """The recorded lines of one kind of classifier."""
    return [line for line in record.read("next_labels") if line["by"] == by]


def finished(by: str) -> set[int]:
    """Draws that are complete: the line of their last strategy is recorded."""
    last = "random" if by == "trained" else list(STRATEGIES)[-1]
    return {line["draw"] for line in recorded(by) if line.get("strategy") == last}


def report(by: str) -> None:
    """Print the accuracy of each strategy, and its difference from random choice in the same draws."""
    reached = defaultdict[str, dict[int, float]](dict)
    for line in recorded(by):
        name = line.get("strategy", f"first {FIRST} alone")
        reached[name][line["draw"]] = 100 * line["accuracy"]
    for name, of_draw in reached.items():
        both = sorted(of_draw.keys() & reached["random"].keys())
        gains = [of_draw[d] - reached["random"][d] for d in both]
        error = f" ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
        wins = f"ahead in {sum(g > 0 for g in gains)} of {len(gains)}"
        say(f"{name:20} {mean(of_draw.values()):.1f}; {mean(gains):+.1f}{error} to random, {wins}")


if __name__ == "__main__":
    main()
