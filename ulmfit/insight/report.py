"""The report of a run as one page, `report.html`, without scripts and without anything to download."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from ulmfit.files.checkpoint import CheckpointError, atomic, load_json, save_json
from ulmfit.insight import charts, pictures
from ulmfit.insight.advice import NOTHING, findings, where
from ulmfit.insight.curves import read_curves
from ulmfit.insight.doctor_report import Place
from ulmfit.insight.doctor_report import Report as Examined
from ulmfit.insight.explain import explain as weigh
from ulmfit.insight.page import render
from ulmfit.insight.scores import (
    Predictions,
    calibration_error,
    class_scores,
    confused,
    confusion,
    paired_difference,
    reliability,
    wilson,
    worst_mistakes,
)
from ulmfit.progress import track
from ulmfit.saved import load_classifier

NAME = "report.html"
DOCTOR = "doctor.json"  # the doctor's findings, if it examined the texts
SETS = ("test", "validation")  # the first that a run has is the main one
MISTAKES = 8
# words of a mistake shown at once; the rest is folded if it has at least FOLDED words
WORDS, FOLDED = 90, 30
MATRIX = 10  # most classes for which the confusion matrix is shown
CLASSES = 25  # most rows of the table of classes: those with the lowest F1
# text → its words, each with its weight for the predicted label
Explain = Callable[[str], Sequence[tuple[str, float]]]


def report(run: str | Path, *, explain: Explain | None = None) -> Path:
    """Write `report.html` into a run's directory, from what the run recorded, and return its path.

    `explain` weighs the words of the mistakes shown; None: by the run's own classifier. Words that can't be weighed are
    not shaded, and a section for which nothing was recorded says so. CheckpointError: there is no run, or one of its files is
    damaged.
    """
    path = Path(run)
    record = load_json(path / "config.json")
    if record.get("kind") != "run":
        raise CheckpointError(f"{path} is not a run directory; give the --out of a training")
    page = render(contents(path, record, explain or explainer(path)))
    with atomic(path / NAME) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")  # lone surrogates
    return path / NAME


def explainer(run: Path) -> Explain:
    """Weighs words by integrated gradients of the run's classifier, which is loaded for the first text."""
    classifier = cache(lambda: load_classifier(run))

    def explain(text: str) -> list[tuple[str, float]]:
        explanation = weigh(classifier(), text, method="gradient")
        return [(word.text, word.weight) for word in explanation.words]

    return explain


def keep_examined(run: Path, examined: Examined) -> None:
    """Saves the doctor's report and findings in the run, for its report."""
    content = {**asdict(examined), "findings": [asdict(f) for f in findings(examined)]}
    save_json(run / DOCTOR, content)


def contents(path: Path, record: Mapping[str, Any], explain: Explain) -> dict[str, Any]:
    """The contents of the page as plain data; None for what was not recorded."""
    sets = {name: path / "predictions" / f"{name}.jsonl" for name in SETS}
    labels, began = tuple(record.get("labels", ())), record.get("began")
    found = {name: Predictions.load(p, labels) for name, p in sets.items() if p.exists()}
    main = next(iter(found), None)
    doctor = load_json(path / DOCTOR) if (path / DOCTOR).exists() else None
    return {
        "name": path.resolve().name,
        "began": f"{datetime.fromisoformat(began):%Y-%m-%d %H:%M} UTC" if began else None,
        "record": record,
        "sets": [_headline(name, of, record) for name, of in found.items()],
        "plain": _plain(record) if not found else [],
        "main": main,
        "classes": _classes(found[main]) if main else None,
        "reliability": _reliability(found[main], main) if main else None,
        "mistakes": _mistakes(found[main], explain) if main else None,
        "stages": _stages(path, record),
        "doctor": _doctor(doctor) if doctor else None,
        "settings": list(flat(record.get("config", {}))),
        "pictures": can_draw(),
        "nothing": NOTHING,
    }


def _headline(name: str, of: Predictions, record: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy with its interval on a set, and the baseline's beside it."""
    n = len(of.truth)
    rows = [("ULMFiT", wilson(int(of.right.sum()), n))]
    difference = None
    if of.baseline is not None:
        right = of.baseline == of.truth
        rows.append(("TF-IDF + logistic regression", wilson(int(right.sum()), n)))
        difference = paired_difference(of.right, right)
    classifier = record["config"].get("config", {}).get("classifier", {})
    return {
        "name": name,
        "documents": n,
        "rows": rows,
        "difference": difference,
        "macro_f1": record.get("results", {}).get(name, {}).get("macro_f1"),
        "chosen": name == "validation" and classifier.get("keep") == "best",
    }


def _plain(record: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, float, float | None]]]]:
    """For runs without recorded predictions (several labels, or numbers): by set, (metric, value, the baseline's value)."""
    results, baseline = record.get("results", {}), record.get("baseline", {})
    return [
        (name, [(k, v, baseline.get(name, {}).get(k)) for k, v in results[name].items()])
        for name in SETS
        if name in results
    ]


def _classes(of: Predictions) -> dict[str, Any]:
    """The confusion matrix if there are few classes, the most frequent confusions, and a table of classes."""
    n, pair = len(of.labels), (of.truth, of.predicted)
    scores = class_scores(*pair, of.labels)
    shown = sorted(scores, key=lambda score: score.f1 or 0.0)[:CLASSES] if n > CLASSES else scores
    return {
        "labels": of.labels,
        "matrix": confusion(*pair, n).tolist() if n <= MATRIX else None,
        "pairs": [(count, of.labels[i], of.labels[j]) for count, i, j in confused(*pair)[:10]],
        "scores": shown,
        "left_out": n - len(shown),
    }


def _reliability(of: Predictions, name: str) -> dict[str, Any]:
    bins = reliability(of)
    mean, chart = float(of.confidence.mean() - of.right.mean()), ""
    alt = "; ".join(
        f"confidence {b.confidence:.0%}: {b.accuracy.value:.0%} of {b.documents:,} right"
        for b in bins
    )
    if can_draw():
        chart = charts.reliability_chart(bins, f"Reliability on the {name} set. {alt}")
    return {"bins": bins, "error": calibration_error(of), "over": mean, "chart": chart}


def _mistakes(of: Predictions, explain: Explain) -> dict[str, Any]:
    shown = []
    for row in track(worst_mistakes(of, MISTAKES), "weighing words", unit="texts"):
        text = of.texts[row] or ""
        try:
            words = explain(text)
        except ValueError:  # no classifier any more, or tokens that can't be traced back to words
            words = [(word, 0.0) for word in text.split()]
        largest = max((abs(weight) for _, weight in words), default=0.0) or 1.0
        words = [(word, weight / largest) for word, weight in words]
        cut = WORDS if len(words) >= WORDS + FOLDED else len(words)
        shown.append(
            {
                "row": row + 1,
                "label": of.labels[of.truth[row]],
                "predicted": of.labels[of.predicted[row]],
                "confidence": float(of.confidence[row]),
                "baseline": None if of.baseline is None else of.labels[of.baseline[row]],
                "words": words[:cut],
                "rest": words[cut:],
            }
        )
    shaded = any(weight for mistake in shown for _, weight in mistake["words"])
    return {
        "shown": shown,
        "shaded": shaded,
        "wrong": int((~of.right).sum()),
        "documents": len(of.truth),
    }


def _stages(path: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Plan, curves, time and memory of each stage."""
    stages = record.get("stages", {})
    curves = read_curves(path / "metrics.jsonl", stages)
    found = []
    for number, (name, stage) in enumerate(stages.items()):
        of, seconds = curves[name], stage["seconds"]
        tokens = (stage["tokens"] or 0) * of.done / of.phases[-1]
        drawn = charts.stage_charts(name, of, f"s{number}") if can_draw() else []
        found.append(
            stage
            | {
                "name": name,
                "highest": max(lr for phase in stage["phases"] for lr in phase["lrs"]),
                "charts": drawn,
                "last": {key: series[max(series)] for key, series in of.epochs.items()},
                "steps_a_second": of.done / seconds if seconds else None,
                "tokens_a_second": tokens / seconds if tokens and seconds else None,
            }
        )
    return found


def _doctor(saved: dict[str, Any]) -> dict[str, Any]:
    """The findings, those that need action first, and the figures of each part."""
    order = ("do", "note", "ok")
    shown = sorted(saved["findings"], key=lambda finding: order.index(finding["level"]))
    for finding in shown:
        finding["examples"] = [
            (where(tuple(Place(**place) for place in example["places"])), example["text"])
            for example in finding["examples"]
        ]
    todo = sum(finding["level"] == "do" for finding in shown)
    figures = {name: saved[name] for name in ("parts", "max_len")}
    return {"findings": shown, "todo": todo, **figures}


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value)."""
    if not isinstance(value, dict):
        return [(name, str(value))]
    return [pair for key, v in value.items() for pair in flat(v, f"{name}.{key}".lstrip("."))]


def can_draw() -> bool:
    """Whether matplotlib is there."""
    try:
        pictures.matplotlib()
    except ImportError:
        return False
    return True
