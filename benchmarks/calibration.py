"""Does a temperature improve probabilities, and do thresholds keep their promise? On the demo's held-out reviews.

    python benchmarks/calibration.py runs/demo runs/ablations/whole-0 --cache runs/predictions

Draws n of the 5,000 held-out reviews as validation documents, fits temperature and thresholds to them, and measures on
the others; twenty draws for each n. The classifiers were trained on none of them. Probabilities are kept in `--cache`, since
predicting takes longest. Appends a line per draw to benchmarks/results/calibration.jsonl, and prints the means.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from ulmfit.classifier import Classifier
from ulmfit.config import RuntimeConfig
from ulmfit.demo import load_reviews
from ulmfit.runtime import Runtime
from ulmfit.saved import load_classifier
from ulmfit.training import calibration
from ulmfit.training.metrics import log_loss

RESULTS = Path(__file__).parent / "results" / "calibration.jsonl"
SIZES, DRAWS, PRECISIONS = (20, 50, 100, 200, 500, 1000), 20, (0.9, 0.95)
RULES = {"share alone": 0.0, "lower bound": calibration.Z}  # standard errors


def predictions(classifier: Classifier, name: str, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """(uncalibrated probabilities, truth) of the held-out reviews."""
    file = cache / f"{name}.npz"
    if not file.exists():
        classifier.calibration = calibration.Calibration()
        runtime = Runtime.start(RuntimeConfig(device="cpu"))
        truth, rows = classifier.score(load_reviews().held_out, runtime, progress=name)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, rows=rows, truth=truth)
    saved = np.load(file)
    return saved["rows"], saved["truth"]


def errors(rows: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Log loss, and calibration error in 15 bins of equal mass and of equal width."""
    return {
        "loss": log_loss(truth.tolist(), rows),
        "mass": calibration.calibration_error(rows, truth, equal="mass"),
        "width": calibration.calibration_error(rows, truth, equal="width"),
    }


def promises(
    rows: np.ndarray, truth: np.ndarray, size: int, labels: tuple[str, ...]
) -> list[dict[str, Any]]:
    """How well thresholds from the first `size` documents hold on the others."""
    found = []
    predicted, sureness = rows[size:].argmax(1), rows[size:].max(1)
    for precision in PRECISIONS:
        for rule, z in RULES.items():
            calibration.Z = z
            thresholds = calibration.thresholds(rows[:size], truth[:size], labels, precision)
            for number, threshold in enumerate(thresholds.values()):
                line: dict[str, Any] = {"rule": rule, "precision": precision, "found": threshold}
                if threshold is not None:
                    sure = (predicted == number) & (sureness >= threshold)
                    line["reached"] = round(float((truth[size:][sure] == number).mean()), 4)
                    line["sure"] = round(float(sure.sum() / (predicted == number).sum()), 4)
                found.append(line)
    return found


def measure(name: str, rows: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> list[dict]:
    """A result line for each size and draw."""
    rng, lines = np.random.default_rng(0), []
    for size in SIZES:
        for draw in range(DRAWS):
            order = rng.permutation(len(rows))
            mixed, true = rows[order], truth[order]
            temperature = calibration.fit_temperature(mixed[:size], true[:size])
            after = calibration.tempered(mixed, temperature)
            line = {"model": name, "size": size, "draw": draw, "temperature": round(temperature, 4)}
            line |= {
                "before": errors(mixed[size:], true[size:]),
                "after": errors(after[size:], true[size:]),
                "promises": promises(after, true, size, labels),
            }
            lines.append(line)
    return lines


def report(lines: list[dict]) -> None:
    """Means over draws; "better": share of draws in which the error fell."""
    for name in dict.fromkeys(x["model"] for x in lines):
        print(
            f"\n{name}: documents, temperature, log loss, error (equal mass), better, (equal width)"
        )
        for size in SIZES:
            of = [x for x in lines if (x["model"], x["size"]) == (name, size)]
            shown = [f"{mean(x['temperature'] for x in of):.2f}"]
            for kind in ("loss", "mass", "width"):
                pair = [mean(x[when][kind] for x in of) for when in ("before", "after")]
                shown.append("{:.4f} → {:.4f}".format(*pair))
                if kind == "mass":
                    shown.append(f"{mean(x['after'][kind] < x['before'][kind] for x in of):.0%}")
            print(f"  {size:5}  " + "  ".join(shown))
    print("\nthresholds of all models: rule, precision, documents, found, promise broken, sure")
    for rule in RULES:
        for precision in PRECISIONS:
            for size in SIZES:
                of = [
                    p
                    for x in lines
                    for p in x["promises"]
                    if (x["size"], p["rule"], p["precision"]) == (size, rule, precision)
                ]
                found = mean(p["found"] is not None for p in of)
                broken = mean("reached" in p and p["reached"] < precision for p in of)
                sure = mean(p.get("sure", 0.0) for p in of)
                print(f"  {rule:12} {precision} {size:5}  {found:4.0%} {broken:4.0%} {sure:4.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    lines = []
    for path in args.models:
        classifier = load_classifier(path)
        rows, truth = predictions(classifier, path.name, args.cache)
        lines += measure(path.name, rows, truth, classifier.labels)
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    report(lines)


if __name__ == "__main__":
    main()
