"""The verbs that use a trained model: a dataclass each; its fields are the flags, its docstring is the help."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import FILE, MODEL, NAME, TEXT, Flat, Machine, Sources, note
from ulmfit.config import FitConfig, SamplingConfig


@dataclass(frozen=True)
class Evaluate:
    """Accuracy and macro-F1 of a classifier, or the perplexity of a language model, on a file."""

    model: Positional[Annotated[str, MODEL]]  # run, model directory, or shipped model
    # labelled file for a classifier, any texts for a language model
    data: Positional[Annotated[str, FILE]]
    json: bool = False  # print JSON
    columns: Annotated[Sources, Flat] = Sources()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        import ulmfit

        model, runtime = ulmfit.load(self.model), self.machine.start()
        if isinstance(model, ulmfit.LanguageModel):
            texts = [d.text for d in self.columns.read(self.data, labelled=False)]
            figures = {"perplexity": model.perplexity(texts, runtime), "documents": len(texts)}
        else:
            figures = model.evaluate(self.columns.read(self.data), runtime, progress="scoring")
        if self.json:
            print(json.dumps(figures))
        for name, figure in () if self.json else figures.items():
            print(f"{name:12} {figure:.4f}" if isinstance(figure, float) else f"{name:12} {figure}")


@dataclass(frozen=True)
class Predict:
    """Label texts: a table with `prediction` and `probability` added, or one text."""

    model: Positional[Annotated[str, MODEL]]  # run or classifier directory
    # CSV, TSV, JSONL or Parquet; - reads CSV from standard input
    data: Positional[Annotated[str | None, FILE]] = None
    text: Annotated[str | None, TEXT] = None  # one text instead of a file
    out: Annotated[str | None, FILE] = None  # file to write; standard output where left out
    json: bool = False  # print JSON lines
    # column of the text; guessed, and said, where left out
    text_column: Annotated[str | None, NAME] = None
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.saved import load_classifier
        from ulmfit.scoring import score_file

        if (self.data is None) == (self.text is None):
            raise ValueError("give either a file (or - for standard input) or --text, not both")
        if self.text is not None and not self.text.strip():
            raise ValueError("--text is blank: give the text to label")
        model, runtime = load_classifier(self.model), self.machine.start()
        if self.data is not None:
            column, as_json = self.text_column, self.json
            score_file(model, self.data, self.out, column, runtime, as_json=as_json, say=note)
        elif self.text is not None:
            found = model.predict(self.text, runtime)
            shown = f"{found.label}  {found.probability:.3f}"
            print(json.dumps(asdict(found)) if self.json else shown)


@dataclass(frozen=True)
class Generate:
    """Let a language model write."""

    # language model, run, or shipped model
    model: Positional[Annotated[str, MODEL]] = FitConfig.pretrained + "-forward"
    prompt: Annotated[str, TEXT] = ""  # text to go on from
    samples: int = 1  # texts to write
    json: bool = False  # print JSON
    sampling: Annotated[SamplingConfig, Flat] = SamplingConfig()

    def run(self) -> None:
        from ulmfit.language_model import LanguageModel
        from ulmfit.pretrained import find

        lm = LanguageModel.load(find(self.model))
        seeds = range(self.sampling.seed, self.sampling.seed + self.samples)
        texts = [lm.generate(self.prompt, replace(self.sampling, seed=seed)) for seed in seeds]
        print(json.dumps(texts, ensure_ascii=False) if self.json else "\n\n".join(texts))
