"""`ulmfit calibrate`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from ulmfit.commands.flags import FILE, MODEL, Flat, Machine, Sources, note

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.training.calibration import Rows


@dataclass(frozen=True)
class Calibrate:
    """Make a classifier's probabilities reliable: fit a temperature, and thresholds if wanted, to labelled texts. Saved with the classifier."""

    model: Positional[Annotated[str, MODEL]]  # run or classifier directory; it is changed
    # labelled texts that the classifier was not trained on
    data: Positional[Annotated[str, FILE]]
    test: Annotated[str | None, FILE] = None  # other labelled texts, to measure the effect on
    # "precision=0.95": call a prediction unsure below its label's threshold, above which 95 % are right
    threshold_for: str | None = None
    json: bool = False  # print JSON
    columns: Annotated[Sources, Flat] = Sources()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.confidence import calibrate, check_enough
        from ulmfit.ensemble import members_of
        from ulmfit.identity import trained_on
        from ulmfit.saved import check_own, load_classifier, save_calibration
        from ulmfit.training.calibration import precision_of
        from ulmfit.training.stage import as_table

        self.columns.check(self.data, self.test)
        if self.threshold_for is not None:
            precision_of(self.threshold_for)
        if self.test == self.data:
            raise ValueError(
                f"--test {self.test} is the file to calibrate on; give other labelled texts"
            )
        sets = {self.data: self.columns.read(self.data, use="valid")}
        check_enough(sets[self.data])  # before anything is scored
        if self.test is not None:
            sets[self.test] = self.columns.read(self.test, use="test")
        classifier, runtime = load_classifier(self.model), self.machine.start()
        members_of(classifier, "calibrating")  # refuses an export before the work
        check_own(self.model)
        if trained_on(self.model, sets[self.data]):
            note(
                f"warning: the run was trained on {self.data}, where it is surer than on new texts; give other texts"
            )
        measured = list[dict[str, Any]]()
        before = {name: classifier.score(documents, runtime) for name, documents in sets.items()}
        had_thresholds = bool(classifier.calibration.thresholds)
        settings = {"threshold_for": self.threshold_for, "runtime": runtime, "say": note}
        calibrate(classifier, sets[self.data], **settings)
        for name, documents in sets.items():
            truth, rows = classifier.score(documents, runtime)
            fitted = " (fitted on it)" if name == self.data else ""
            measured.append({"set": name, "": "before", **figures(before[name][1], truth)})
            measured.append({"set": name, "": "after" + fitted, **figures(rows, truth)})
        save_calibration(classifier, self.model, say=note)
        if had_thresholds and self.threshold_for is None:
            note("its old thresholds were removed: they belonged to the old temperature")
        note(f"saved in {self.model}")
        if self.json:
            saved = classifier.calibration.to_json()
            print(json.dumps({"calibration": saved, "measured": measured}))
            return
        print(
            as_table(
                [
                    {k: v if isinstance(v, str) else f"{v:.4f}" for k, v in row.items()}
                    for row in measured
                ]
            )
        )


def figures(rows: "Rows", truth: "list[int] | np.ndarray") -> dict[str, float]:
    """Log loss, and calibration error in 15 bins: of equal mass (numbers of documents), and of equal width."""
    from ulmfit.training.calibration import calibration_error
    from ulmfit.training.metrics import log_loss

    return {
        "log loss": log_loss(truth, rows),
        "calibration error, equal mass": calibration_error(rows, truth, equal="mass"),
        "equal width": calibration_error(rows, truth, equal="width"),
    }
