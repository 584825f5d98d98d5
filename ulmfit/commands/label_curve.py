"""`ulmfit label-curve`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ulmfit.commands.flags import DIR, FILE, Flat, Sources, note
from ulmfit.config import CURVE_FIT, FitConfig, RuntimeConfig

SIZES = arg(metavar="N [N ...]")


@dataclass(frozen=True)
class LabelCurve:
    """Measure how accuracy grows with the number of labels, beside a linear baseline, and forecast what more labels would bring."""

    # CSV, TSV, JSONL, Parquet, a folder of texts by label, or a data set's name
    labelled: Positional[Annotated[str, FILE]]
    out: Annotated[str, DIR]  # run directory to write; points that are finished in it are kept
    # more texts of the same kind (or a data set's name): the language model reads them; if few texts are labelled, the
    # labels of some are guessed. Labels they have are ignored
    unlabelled: Annotated[str | None, FILE] = None
    # labelled texts that every point is scored on; left out: a share of the labelled ones
    test: Annotated[str | None, FILE] = None
    # numbers of labels to measure at; left out: all there are, a half, a quarter, …
    sizes: Annotated[tuple[int, ...] | None, SIZES] = None
    draws: int = 3  # classifiers for each number of labels, each on another random choice of labels
    # start no classifier that is not expected to end in time; the same command resumes later
    budget_minutes: float | None = None
    overwrite: bool = False  # start anew if the directory holds a run of other settings or data
    json: bool = False  # print JSON
    columns: Annotated[Sources, Flat] = Sources()
    config: Annotated[FitConfig, Flat] = CURVE_FIT
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit.files.checkpoint import save_json
        from ulmfit.insight import curve_report
        from ulmfit.insight.label_curve import label_curve
        from ulmfit.training.stage import as_table

        self.columns.check(self.labelled, self.unlabelled, self.test)
        read = self.columns.read
        curve = label_curve(
            read(self.labelled),
            unlabelled=read(self.unlabelled, labelled=False, use="unlabelled"),
            test=read(self.test, use="test"),
            sizes=self.sizes,
            draws=self.draws,
            budget_minutes=self.budget_minutes,
            config=self.config,
            runtime=self.runtime,
            out=self.out,
            overwrite=self.overwrite,
            say=note,
        )
        content = curve_report.as_json(curve)
        save_json(Path(self.out) / "label_curve.json", content)
        note(f"saved in {self.out}/label_curve.json")
        if curve.points:
            try:
                picture = curve_report.curve_picture(curve, "Accuracy and labels")
                (Path(self.out) / "curve.svg").write_text(picture, encoding="utf-8")
                note(f"saved in {self.out}/curve.svg")
            except ImportError as missing:  # the figures are worth more than their picture
                note(f"no curve.svg: {missing}")
        if self.json:
            print(json.dumps(content))
            return
        if curve.points:
            print(as_table(curve_report.rows(curve)) + "\n")
        print("\n".join(content["sentences"]))
