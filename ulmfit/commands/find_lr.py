"""`ulmfit find-lr`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from ulmfit.commands.flags import FILE, MODEL, Flat, Machine, Sources, check_name, note
from ulmfit.config import Direction, FitConfig, RuntimeConfig, TokenizerConfig


@dataclass(frozen=True)
class FindLR:
    """Find a learning rate: a copy of the model takes 100 steps at rates from 1e-7 to 10 (LR range test). The model itself is not changed."""

    # labelled texts for a classifier, any texts for a language model
    data: Positional[Annotated[str, FILE]]
    # language model to start from: a directory, a run, or a shipped model
    lm: Annotated[str, MODEL] = FitConfig.pretrained
    task: Literal["classifier", "lm"] = "classifier"  # what would be trained
    direction: Direction = "forward"  # order in which documents are read
    # train all layer groups, not only those that training begins with
    unfrozen: bool = False
    batch_size: int | None = None  # left out: as in training
    dropout_scale: float | None = None  # left out: as in training
    out: Annotated[str | None, FILE] = None  # picture to write (SVG)
    json: bool = False  # print JSON: suggestions, rates tried, losses
    columns: Annotated[Sources, Flat] = Sources()
    seed: int = RuntimeConfig.seed  # of initialisation, dropout and the order of the documents
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.insight import pictures
        from ulmfit.prepare_classifier import classifier_stage
        from ulmfit.prepare_lm import finetune_stage, start_lm
        from ulmfit.training.lr_finder import find_lr
        from ulmfit.training.stage import as_table

        self.columns.check(self.data)
        if self.out:
            pictures.matplotlib()  # ImportError before the work
            check_name(self.out, ".svg")
            Path(self.out).parent.mkdir(parents=True, exist_ok=True)
        labelled = self.task == "classifier"
        use = "train" if labelled else "texts"
        documents = self.columns.read(self.data, labelled=labelled, use=use)
        if labelled and (left_out := sum(d.label is None for d in documents)):
            note(f"{left_out} documents without a label are left out")
            documents = [d for d in documents if d.label is not None]
        runtime = self.machine.start(self.seed, training=True)
        note(runtime.describe())
        lm = start_lm(self.lm, self.direction, documents, TokenizerConfig(), runtime.seed, note)
        flags = {"batch_size": self.batch_size, "dropout_scale": self.dropout_scale}
        given: Any = {name: value for name, value in flags.items() if value is not None}
        if self.task == "lm":
            config = replace(FitConfig.lm, **given)
            stage, _ = finetune_stage(lm, documents, config, TokenizerConfig(), runtime)
            flag, per_lr = "--lm.lr", 1.0
        else:
            config = replace(FitConfig.classifier, **given)
            stage, _ = classifier_stage(lm, documents, [], config, runtime)
            # the phases hold `lr` scaled to the batch; the flag wants it unscaled
            flag, per_lr = "--classifier.lr", config.lr / max(stage.phases[0].lrs)
        curve = find_lr(stage, runtime, trained=stage.groups if self.unfrozen else None)
        suggestions = curve.suggestions()
        if self.out:
            Path(self.out).write_text(
                pictures.lr_picture(curve, f"Learning rates: {stage.name}"), encoding="utf-8"
            )
            note(f"saved in {self.out}")
        if not curve.fell():
            note("the loss did not fall at any rate; no suggestion can be trusted")
        if self.json:
            lrs = {name: lr * per_lr for name, lr in suggestions.items()}
            print(json.dumps({"suggestions": suggestions, "lr": lrs, **asdict(curve)}))
            return
        print(f"{stage.name}: {stage.size()}\n\n{pictures.lr_chart(curve)}\n")
        if not curve.fell():
            return
        rows = [
            {
                "suggestion": name,
                "learning rate": f"{lr:.1e}",
                "flag of fit": f"{flag} {lr * per_lr:.1e}",
            }
            for name, lr in suggestions.items()
        ]
        print(as_table(rows))
