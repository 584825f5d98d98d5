"""`ulmfit evaluate`, `predict` and `generate`: a dataclass each; its fields are the flags, its docstring is the help."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional

from ulmfit.commands.flags import (
    FILE,
    MODEL,
    NAMES,
    TEXT,
    Flat,
    Machine,
    OnBad,
    Sources,
    given,
    note,
)
from ulmfit.config import FitConfig, SamplingConfig


@dataclass(frozen=True)
class Evaluate:
    """Score a classifier on a labelled file (accuracy and macro-F1; other metrics for several labels or numbers), or measure the perplexity of a language model on a file or a text."""

    model: Positional[Annotated[str, MODEL]]  # run, model directory, or shipped model
    # labelled texts for a classifier, any texts for a language model; a data set's name means its test part
    data: Positional[Annotated[str | None, FILE]] = None
    # one text instead of a file, for a language model
    text: Annotated[str | None, TEXT] = None
    json: bool = False  # print JSON
    columns: Annotated[Sources, Flat] = Sources()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        import ulmfit

        one_of(self.data, self.text, "a file", given(self.columns))
        self.columns.check(self.data)
        runtime, model = self.machine.start(), ulmfit.load(self.model)
        if isinstance(model, ulmfit.LanguageModel):
            read = self.columns.read(self.data, labelled=False, use="test")
            texts = [d.text for d in read] if self.text is None else [self.text]
            figures = {"perplexity": model.perplexity(texts, runtime), "documents": len(texts)}
        elif self.text is not None:
            raise ValueError(
                f"{self.model} is a classifier, which is scored on a labelled file; "
                "--text is for language models; `ulmfit predict` labels one text"
            )
        else:
            documents = self.columns.read(self.data, use="test", kind=model.outputs.kind)
            figures = model.evaluate(documents, runtime, progress="scoring")
        if self.json:
            print(json.dumps(figures))
        for name, figure in () if self.json else figures.items():
            print(f"{name:17} {figure:.4f}" if isinstance(figure, float) else f"{name:17} {figure}")


@dataclass(frozen=True)
class Predict:
    """Label one text, or a table: the columns `prediction` and `probability` are added (a probability per label if a text can have several; none for numbers)."""

    # run, classifier directory, its export, or an installed model's name
    model: Positional[Annotated[str, MODEL]]
    # CSV, TSV, JSONL or Parquet; - reads CSV from standard input
    data: Positional[Annotated[str | None, FILE]] = None
    text: Annotated[str | None, TEXT] = None  # one text instead of a file
    # table to write (CSV, TSV, JSONL, Parquet); left out: CSV on standard output
    out: Annotated[str | None, FILE] = None
    json: bool = False  # print JSON lines
    # column of the text, or columns as in training; left out: guessed, and the guess is reported
    text_column: Annotated[tuple[str, ...] | None, NAMES] = None
    # error: stop at rows that can't be used; skip: rows without text get no prediction, broken rows are left out
    on_bad: OnBad = "error"
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.deploy.onnx import is_exported

        for_tables = given(self, "out", "text_column", "on_bad")
        check_json(self.json, self.out)
        one_of(self.data, self.text, "a file (or - for standard input)", for_tables)
        if self.data is not None:
            _check_is_no_data_set(self.data)
        exported = is_exported(self.model)
        if exported and self.machine.device not in ("auto", "cpu"):
            raise ValueError(
                f"{self.model} is an export, which computes on the CPU; leave out --device"
            )
        if self.data is not None:
            self._predict_table(self.data)
        elif self.text is not None:
            prediction = self._predict_text(self.text, exported)
            print(json.dumps(asdict(prediction)) if self.json else prediction.line())

    def _predict_table(self, data: str) -> None:
        from ulmfit.predict_table import predict_table
        from ulmfit.saved import load_classifier

        runtime, model = self.machine.start(), load_classifier(self.model)
        predict_table(
            model,
            data,
            self.out,
            self.text_column,
            runtime,
            as_json=self.json,
            on_bad=self.on_bad,
            say=note,
        )

    def _predict_text(self, text: str, exported: bool) -> Any:
        if exported:  # without importing PyTorch: a tenth of the time
            from ulmfit.deploy.onnx import Predictor

            return Predictor(self.model, threads=self.machine.threads).predict(text)
        from ulmfit.saved import load_classifier

        runtime, model = self.machine.start(), load_classifier(self.model)
        return model.predict(text, runtime)


@dataclass(frozen=True)
class Generate:
    """Let a language model continue a text."""

    # language model, run, or shipped model
    model: Positional[Annotated[str, MODEL]] = FitConfig.pretrained + "-forward"
    prompt: Annotated[str, TEXT] = ""  # text to continue
    samples: int = 1  # how many texts to write
    json: bool = False  # print JSON
    sampling: Annotated[SamplingConfig, Flat] = SamplingConfig()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.language_model import LanguageModel
        from ulmfit.pretrained import find

        if self.samples < 1:
            raise ValueError(f"--samples must be at least 1, not {self.samples}")
        lm, runtime = LanguageModel.load(find(self.model)), self.machine.start()
        seeds = range(self.sampling.seed, self.sampling.seed + self.samples)
        settings = [replace(self.sampling, seed=seed) for seed in seeds]
        texts = [lm.generate(self.prompt, sampling, runtime) for sampling in settings]
        print(json.dumps(texts, ensure_ascii=False) if self.json else "\n\n".join(texts))


def check_json(asked: bool, out: str | None) -> None:
    """ValueError if both --json and --out are given: the file's suffix chooses its format."""
    if asked and out is not None:
        raise ValueError(
            f"--json is only for printing; to write JSON, let --out ({out}) end in .jsonl"
        )


def _check_is_no_data_set(data: str) -> None:
    from ulmfit.datasets import is_name

    if is_name(data) and not Path(data).exists():
        raise ValueError(
            f"predict labels a table, and there is no file {data}; the data set of that name is for "
            "`ulmfit evaluate`"
        )


def one_of(data: str | None, text: str | None, file: str, for_files: Sequence[str]) -> None:
    """ValueError unless either a file was given, or a text that is not blank and none of the flags `for_files`."""
    if data is None and text is None:
        raise ValueError(f"give {file}, or --text")
    if data is not None and text is not None:
        raise ValueError(f"give either {file} or --text, not both")
    if text is not None and not text.strip():
        raise ValueError("--text is blank: give the text")
    if text is not None and for_files:
        raise ValueError(
            f"{', '.join(for_files)} can't be used with --text, where no file is read or written; leave out one of them"
        )
