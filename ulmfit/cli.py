"""The `ulmfit` command: one dataclass per verb; its fields are the flags, its docstring is the help."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, make_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from ulmfit.config import (
    BASE,
    SMALL,
    ClassifierConfig,
    Direction,
    FinetuneConfig,
    FitConfig,
    PretrainConfig,
    RuntimeConfig,
    SamplingConfig,
    TokenizerConfig,
)

Flat = arg(name="")  # fields of a nested config become flags without a prefix
SplitOn = Literal["title", "blank-line", "line", "file"]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table to read; guessed, and said, where left out."""

    text_column: str | None = None  # column of the text
    label_column: str | None = None  # column of the label

    def read(
        self, path: str | None, *, labelled: bool = True, split_on: SplitOn | None = None
    ) -> list[Any]:
        """The documents of a file or folder; none where no path is given."""
        from ulmfit.text.readers import read_documents

        if path is None:
            return []
        label = self.label_column if labelled else None
        return list(
            read_documents(
                path,
                text_column=self.text_column,
                label_column=label,
                labelled=labelled,
                split_on=split_on,
                say=note,
            )
        )

    def read_all(self, paths: Sequence[str], split_on: SplitOn | None) -> list[Any]:
        """The texts of several files or folders, for a language model."""
        if not paths:
            raise ValueError("give at least one file or folder of texts")
        return [d for path in paths for d in self.read(path, labelled=False, split_on=split_on)]


@dataclass(frozen=True)
class Fit:
    """From labelled (and, better, unlabelled) texts to a saved classifier."""

    labelled: Positional[str]  # CSV, TSV, JSONL, Parquet, or a folder of texts by label
    out: str  # run directory to write
    # more texts of the same kind for the language model; labels in it are ignored
    unlabelled: str | None = None
    # labelled texts to validate on; a fraction of the labelled ones where left out
    valid: str | None = None
    test: str | None = None  # labelled texts scored once, at the end
    overwrite: bool = False  # replace a run that is there
    dry_run: bool = False  # print the plan and an estimate of the time, train nothing
    columns: Annotated[Columns, Flat] = Columns()
    config: Annotated[FitConfig, Flat] = FitConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit import stages

        read = self.columns.read
        files = {
            "unlabelled": read(self.unlabelled, labelled=False),
            "valid": read(self.valid) if self.valid else None,
            "test": read(self.test),
        }
        settings = {"config": self.config, "runtime": self.runtime, "say": note}
        if self.dry_run:
            stages.dry_run(read(self.labelled), **files, **settings)
        else:
            stages.fit(
                read(self.labelled), **files, **settings, out=self.out, overwrite=self.overwrite
            )


@dataclass(frozen=True)
class Demo:
    """The whole method on real film reviews, beside TF-IDF + logistic regression; needs pip install "ulmfit[demo]"."""

    out: str = "runs/demo"  # run directory to write
    overwrite: bool = False  # replace a run that is there
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit.demo import demo

        demo(Path(self.out), runtime=self.runtime, overwrite=self.overwrite, say=note)


@dataclass(frozen=True)
class PretrainLM:
    """A language model from general text, such as Wikipedia."""

    texts: Positional[
        tuple[str, ...]
    ]  # files or folders of plain text (also .gz .bz2 .xz), or tables
    out: str  # run directory to write
    valid: str | None = None  # texts to measure the perplexity on
    vocab_of: str | None = None  # take tokenizer and vocabulary from this language model
    size: Literal["small", "base"] = "small"  # 256/512/2 for CPUs or fastai's 400/1152/3
    direction: Direction = "forward"  # order in which documents are read
    # what ends a document in plain text; guessed, and said, where left out
    split_on: SplitOn | None = None
    overwrite: bool = False  # replace a run that is there
    columns: Annotated[Columns, Flat] = Columns()
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    config: Annotated[PretrainConfig, Flat] = PretrainConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from dataclasses import replace

        from ulmfit import stages
        from ulmfit.language_model import LanguageModel
        from ulmfit.pretrained import find

        documents = self.columns.read_all(self.texts, self.split_on)
        valid = self.columns.read(self.valid, labelled=False, split_on=self.split_on)
        tokenizer = self.tokenizer
        if self.vocab_of:
            tokenizer = LanguageModel.load(find(self.vocab_of)).tokenizer
        run, runtime = open_run(self, documents, valid)
        stages.pretrain_lm(
            documents,
            valid=valid,
            model=replace({"small": SMALL, "base": BASE}[self.size], direction=self.direction),
            tokenizer=tokenizer,
            config=self.config,
            runtime=runtime,
            run=run,
        )
        run.finish({})
        note(f"saved in {run.path}")


@dataclass(frozen=True)
class FinetuneLM:
    """A pretrained language model to your own texts; no labels needed."""

    texts: Positional[tuple[str, ...]]  # tables, plain text, or folders
    out: str  # run directory to write
    pretrained: str = FitConfig.pretrained  # shipped model, or a language model's directory
    direction: Direction = "forward"  # order in which documents are read
    split_on: SplitOn | None = None  # what ends a document in plain text
    overwrite: bool = False  # replace a run that is there
    columns: Annotated[Columns, Flat] = Columns()
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    config: Annotated[FinetuneConfig, Flat] = FinetuneConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit import stages
        from ulmfit.text.splits import distinct

        documents = self.columns.read_all(self.texts, self.split_on)
        stages.check_start(self.pretrained, self.direction, Path(self.out))
        run, runtime = open_run(self, documents)
        lm = stages.start_lm(
            self.pretrained, self.direction, documents, self.tokenizer, runtime.seed
        )
        stages.finetune_lm(
            lm,
            distinct(documents),
            config=self.config,
            tokenizer=self.tokenizer,
            runtime=runtime,
            run=run,
        )
        run.finish({})
        note(f"saved in {run.path}")


@dataclass(frozen=True)
class TrainClassifier:
    """A classifier on a language model that is there already."""

    labelled: Positional[str]  # CSV, TSV, JSONL, Parquet, or a folder of texts by label
    lm: str  # the language model: a directory, a run, or a shipped model
    out: str  # run directory to write
    # labelled texts to validate on; a fraction of the labelled ones where left out
    valid: str | None = None
    test: str | None = None  # labelled texts scored once, at the end
    # "both": two classifiers, averaged
    directions: Literal["forward", "backward", "both"] = "forward"
    overwrite: bool = False  # replace a run that is there
    columns: Annotated[Columns, Flat] = Columns()
    config: Annotated[ClassifierConfig, Flat] = ClassifierConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit import stages

        whole = FitConfig(
            pretrained=self.lm, directions=self.directions, finetune=False, classifier=self.config
        )
        stages.fit(
            self.columns.read(self.labelled),
            valid=self.columns.read(self.valid) if self.valid else None,
            test=self.columns.read(self.test),
            config=whole,
            runtime=self.runtime,
            out=self.out,
            overwrite=self.overwrite,
            say=note,
        )


@dataclass(frozen=True)
class Evaluate:
    """Accuracy and macro-F1 of a classifier, or the perplexity of a language model, on a file."""

    model: Positional[str]  # run or model directory
    data: Positional[str]  # labelled file for a classifier, any texts for a language model
    json: bool = False  # print JSON
    columns: Annotated[Columns, Flat] = Columns()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        import ulmfit
        from ulmfit.runtime import Runtime

        model, runtime = ulmfit.load(self.model), Runtime.start(self.runtime)
        if isinstance(model, ulmfit.LanguageModel):
            texts = [d.text for d in self.columns.read(self.data, labelled=False)]
            figures = {"perplexity": model.perplexity(texts, runtime), "documents": len(texts)}
        else:
            figures = model.evaluate(self.columns.read(self.data), runtime, progress="scoring")
        shown = (
            json.dumps(figures)
            if self.json
            else "\n".join(
                f"{k:12} {v:.4f}" if isinstance(v, float) else f"{k:12} {v}"
                for k, v in figures.items()
            )
        )
        print(shown)


@dataclass(frozen=True)
class Predict:
    """Label texts: a table with `prediction` and `probability` added, or one text."""

    model: Positional[str]  # run or classifier directory
    # CSV, TSV, JSONL or Parquet; - reads CSV from standard input
    data: Positional[str | None] = None
    text: str | None = None  # one text instead of a file
    out: str | None = None  # file to write; standard output where left out
    json: bool = False  # print JSON lines
    columns: Annotated[Columns, Flat] = Columns()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit.runtime import Runtime
        from ulmfit.saved import load_classifier
        from ulmfit.scoring import score_file

        model, runtime = load_classifier(self.model), Runtime.start(self.runtime)
        if (self.data is None) == (self.text is None):
            raise ValueError("give either a file (or - for standard input) or --text, not both")
        if self.text is not None:
            prediction = model.predict(self.text, runtime)
            print(
                json.dumps(asdict(prediction))
                if self.json
                else f"{prediction.label}  {prediction.probability:.3f}"
            )
        elif self.data is not None:
            score_file(
                model,
                self.data,
                self.out,
                self.columns.text_column,
                runtime,
                as_json=self.json,
                say=note,
            )


@dataclass(frozen=True)
class Generate:
    """Let a language model write."""

    # language model, run, or shipped model
    model: Positional[str] = FitConfig.pretrained + "-forward"
    prompt: str = ""  # text to go on from
    samples: int = 1  # texts to write
    json: bool = False  # print JSON
    sampling: Annotated[SamplingConfig, Flat] = SamplingConfig()

    def run(self) -> None:
        from dataclasses import replace

        from ulmfit.language_model import LanguageModel
        from ulmfit.pretrained import find

        lm = LanguageModel.load(find(self.model))
        seeds = range(self.sampling.seed, self.sampling.seed + self.samples)
        texts = [lm.generate(self.prompt, replace(self.sampling, seed=seed)) for seed in seeds]
        print(json.dumps(texts, ensure_ascii=False) if self.json else "\n\n".join(texts))


@dataclass(frozen=True)
class Models:
    """The language models that come with the package."""

    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.pretrained import models

        found = models()
        if self.json:
            print(json.dumps(found))
        for name, card in () if self.json else found.items():
            print(name)
            for key, value in card.items():
                print(f"  {key.replace('_', ' ')}: {value}")


COMMANDS: dict[str, Any] = {
    "fit": Fit,
    "demo": Demo,
    "predict": Predict,
    "evaluate": Evaluate,
    "pretrain-lm": PretrainLM,
    "finetune-lm": FinetuneLM,
    "train-classifier": TrainClassifier,
    "generate": Generate,
    "models": Models,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb. Errors of the user's making end with one line and exit code 1, not with a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments.pop(0) if arguments else "--help"
    if verb in ("-h", "--help"):
        print(overview())
        return
    if verb == "--version":
        print(version("ulmfit"))
        return
    if verb not in COMMANDS:
        sys.exit(f"ulmfit: no command {verb!r}; there are {', '.join(COMMANDS)}")
    try:
        parse(verb, arguments).run()
    except KeyboardInterrupt:
        sys.exit("\nulmfit: stopped; the same command goes on where the last saved state stands")
    except BrokenPipeError:  # the reader of our output has gone: nothing is wrong
        sys.stderr.close()
    except (ValueError, OSError, ImportError) as error:
        sys.exit("ulmfit: " + str(error).strip().replace("\n", " "))


def parse(verb: str, arguments: Sequence[str]) -> Any:
    """Flags → the verb's dataclass. `--config FILE` takes the values of an earlier run; flags override them."""
    rest, command = list(arguments), COMMANDS[verb]
    if "--config" in rest:
        place = rest.index("--config")
        if place + 1 >= len(rest):
            raise ValueError("--config wants the config.json of a run")
        command = replayed(command, Path(rest[place + 1]))
        del rest[place : place + 2]
    return tyro.cli(
        command,
        args=rest,
        prog=f"ulmfit {verb}",
        description=COMMANDS[verb].__doc__,
        use_underscores=False,
    )


def replayed(command: Any, path: Path) -> Any:
    """`command` with other defaults: those that a run's config.json records. Files still come from flags."""
    from ulmfit.checkpoint import load_json

    saved = load_json(path).get("config")
    if not isinstance(saved, dict):
        raise ValueError(
            f"{path} records no settings; give the config.json at the top of a run directory"
        )
    parts = {f.name: f for f in fields(command) if f.name in saved}
    if unknown := saved.keys() - parts.keys():
        raise ValueError(f"{path} was written by another command: it sets {sorted(unknown)}")
    changed = [
        (
            name,
            f.type,
            build(type(f.default), saved[name]) if is_dataclass(f.default) else saved[name],
        )
        for name, f in parts.items()
    ]
    return make_dataclass(command.__name__, changed, bases=(command,), frozen=True)


def build(kind: Any, values: dict[str, Any]) -> Any:
    """A config dataclass from JSON; names that this version does not know are an error."""
    known = {f.name: f for f in fields(kind)}
    if unknown := values.keys() - known.keys():
        raise ValueError(f"unknown settings {sorted(unknown)} in {kind.__name__}")
    plain = {}
    for name, value in values.items():
        default = known[name].default
        plain[name] = build(type(default), value) if is_dataclass(default) else value
        if isinstance(value, list):
            plain[name] = tuple(value)
    return kind(**plain)


def open_run(command: Any, *documents: Sequence[Any]) -> tuple[Any, Any]:
    """The run directory and the runtime of a verb that has no stage function of its own to do it."""
    from ulmfit.run import Run, fingerprint
    from ulmfit.runtime import Runtime

    settings = {name: asdict(getattr(command, name)) for name in ("config", "runtime", "tokenizer")}
    settings |= {
        f.name: getattr(command, f.name)
        for f in fields(command)
        if f.name in ("size", "direction", "vocab_of", "pretrained")
    }
    run = Run.open(
        Path(command.out), settings, fingerprint(*documents), overwrite=command.overwrite, say=note
    )
    runtime = Runtime.start(command.runtime)
    note(runtime.describe())
    return run, runtime


def overview() -> str:
    """The verbs, a line each."""
    lines = [f"  {name:17} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ulmfit COMMAND …",
            "",
            "ULMFiT: a text classifier from few labels.",
            "",
            *lines,
            "",
            "ulmfit COMMAND --help shows its flags.",
        ]
    )


def note(line: str) -> None:
    """For people: standard error, so that standard output stays data."""
    print(line, file=sys.stderr, flush=True)
