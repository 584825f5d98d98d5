"""`calibrate`: fits a classifier's temperature and thresholds to documents that it was not trained on."""

import numpy as np

from ulmfit.classifier import Classifier
from ulmfit.ensemble import Ensemble, members_of
from ulmfit.prediction import UNSURE
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Texts
from ulmfit.training.calibration import (
    MIN_DOCUMENTS,
    Calibration,
    Rows,
    fit_temperature,
    precision_of,
    tempered,
    thresholds,
)


def calibrate(
    classifier: Classifier,
    documents: Texts,
    *,
    threshold_for: str | None = None,
    runtime: Runtime | None = None,
    say: Say = silent,
) -> None:
    """Replaces `classifier.calibration`: the temperature, and with `threshold_for` ("precision=0.95") the thresholds.

    In an ensemble each member gets a temperature, and so does their mean. `save_calibration` saves it. ValueError: fewer
    than `MIN_DOCUMENTS` documents (then nothing is changed), or labels that the classifier does not know.
    """
    check_enough(documents)
    calibrate_new(classifier, documents, threshold_for=threshold_for, runtime=runtime, say=say)


def check_enough(documents: Texts) -> None:
    """ValueError if there are fewer than `MIN_DOCUMENTS`."""
    if len(documents) < MIN_DOCUMENTS:
        raise ValueError(
            f"{len(documents)} documents are too few to fit a temperature ({MIN_DOCUMENTS} are needed); nothing was changed"
        )


def calibrate_new(
    classifier: Classifier,
    documents: Texts,
    *,
    threshold_for: str | None = None,
    runtime: Runtime | None = None,
    say: Say = silent,
) -> None:
    """As `calibrate`, for a classifier just trained, which has no calibration to lose: with too few documents the
    temperature is set to 1, and `say` is told."""
    members_of(classifier, "calibrating")
    precision = None if threshold_for is None else precision_of(threshold_for)
    if precision is not None and UNSURE in classifier.labels:
        raise ValueError(
            f"a label is called {UNSURE!r}, which is what predictions below a threshold are called; rename it"
        )
    if len(documents) < MIN_DOCUMENTS:
        say(
            f"probabilities not calibrated, temperature 1: {len(documents)} validation documents are too few to fit one "
            f"({MIN_DOCUMENTS} are needed)"
        )
        if precision is None:
            _forget(classifier)
            return
    truth, rows = _fit(classifier, documents, runtime, say, "the classifier")
    if precision is None:
        return
    found = thresholds(rows, truth, classifier.labels, precision)
    classifier.calibration = Calibration(classifier.calibration.temperature, found)
    for label, threshold in found.items():
        if threshold is None:
            rule = "always unsure: no threshold gives this precision on the validation documents"
        else:
            rule = f"unsure below a probability of {threshold:.3f}"
        say(f"{threshold_for} for {label}: {rule}")


def _fit(
    classifier: Classifier,
    documents: Texts,
    runtime: Runtime | None,
    say: Say,
    name: str,
) -> tuple[np.ndarray, Rows]:
    """Fits the temperatures; returns (truth, calibrated probabilities) of the documents."""
    _forget(classifier)
    if isinstance(classifier, Ensemble):
        parts = [
            _fit(member, documents, runtime, say, f"the {member.config.direction} classifier")
            for member in classifier.members
        ]
        truth, rows, name = parts[0][0], np.mean([p for _, p in parts], axis=0), "their mean"
    else:
        known, rows = classifier.score(documents, runtime)
        truth = np.array(known, np.int64)
    if len(documents) >= MIN_DOCUMENTS:
        temperature = fit_temperature(rows, truth)
        say(f"temperature of {name}: {temperature:.2f}, from {len(documents):,} documents")
        classifier.calibration = Calibration(temperature)
    return truth, tempered(rows, classifier.calibration.temperature)


def _forget(classifier: Classifier) -> None:
    classifier.calibration = Calibration()
    for member in classifier.members if isinstance(classifier, Ensemble) else ():
        member.calibration = Calibration()
