"""Scores a finished classifier, and the baseline beside it, on the validation and test sets of its run.

For classifiers of one class per text, `predictions/NAME.jsonl` holds a line per document, in order: `label`, `probabilities`
(in the order of the classifier's labels), `baseline` (the label that it predicts, if there is one), and `text` if one of the two
was wrong.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ulmfit.baseline import baseline_rows, train_baseline
from ulmfit.classifier import Classifier
from ulmfit.files.checkpoint import atomic
from ulmfit.identity import fingerprint
from ulmfit.progress import Say
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.splits import Parts

MOST = 50_000  # documents; the baseline's word pairs of more take many minutes and gigabytes


def score_sets(
    classifier: Classifier, parts: Parts, runtime: Runtime, run: Run
) -> dict[str, dict[str, float]]:
    """The scores of the validation and test sets, if given; reports them, and keeps the details in the run."""
    sets = {"validation": parts.valid, "test": parts.test}
    sets = {name: documents for name, documents in sets.items() if documents}
    pipeline = _baseline(parts.train, run.say) if sets and run.world.first else None
    results, baseline = {}, {}
    for name, documents in sets.items():
        outputs, texts = classifier.outputs, [d.text for d in documents]
        truth = outputs.truth(documents)
        rows = classifier.probabilities(texts, runtime, progress=f"scoring the {name} set")
        results[name] = outputs.metrics(truth, rows) | {"documents": len(documents)}
        run.say(f"{name} set: " + ", ".join(f"{k} {v:.4g}" for k, v in results[name].items()))
        theirs = None
        if pipeline is not None:
            theirs = baseline_rows(pipeline, texts)
            baseline[name] = outputs.metrics(truth, theirs)
            run.say(
                f"{name} set: {outputs.best} {baseline[name][outputs.best]:.4g} by a linear model on TF-IDF, the same labels"
            )
        if outputs.kind == "single" and run.world.first:
            _write(run, name, documents, classifier.labels, truth, rows, theirs)
    prints = {name: fingerprint(documents) for name, documents in sets.items()}
    run.keep(labels=list(classifier.labels), baseline=baseline, sets=prints)
    return results


def _baseline(train: Sequence[Document], say: Say) -> Any:
    """The baseline, or None after telling `say` the reason."""
    if len(train) > MOST:
        say(f"TF-IDF + logistic regression left out: more than {MOST:,} labelled documents")
        return None
    try:
        return train_baseline(train)
    except ImportError:
        say("TF-IDF + logistic regression left out: it needs scikit-learn")
    except ValueError as error:  # texts without a word of two letters
        say(f"TF-IDF + logistic regression left out: {error}")
    return None


def _write(
    run: Run,
    name: str,
    documents: Sequence[Document],
    labels: Sequence[str],
    truth: np.ndarray,
    rows: np.ndarray,
    theirs: np.ndarray | None,
) -> None:
    with (
        atomic(run.path / "predictions" / f"{name}.jsonl") as path,
        open(path, "w", encoding="utf-8") as file,
    ):
        for i, (document, row) in enumerate(zip(documents, rows, strict=True)):
            line: dict[str, Any] = {"label": labels[truth[i]]}
            line["probabilities"] = [round(float(p), 6) for p in row]
            predicted = {labels[row.argmax()]}
            if theirs is not None:
                line["baseline"] = labels[theirs[i].argmax()]
                predicted.add(line["baseline"])
            if predicted != {line["label"]}:
                line["text"] = document.text
            file.write(json.dumps(line) + "\n")  # as ASCII: lone surrogates have no UTF-8
