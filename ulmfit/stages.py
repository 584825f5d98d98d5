"""★ Read first: the method, top to bottom.

`fit` = `finetune_lm` (paper §3.2) → `train_classifier` (§3.3), for one direction or both; `pretrain_lm` (§3.1) makes
the language models they start from. Each prepares a `Stage` – net, data, phases – which can be printed or trained.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ulmfit.checks import check, directions
from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.confidence import calibrate_new
from ulmfit.config import (
    ClassifierConfig,
    FinetuneConfig,
    FitConfig,
    ModelConfig,
    PretrainConfig,
    RuntimeConfig,
    TokenizerConfig,
)
from ulmfit.ensemble import Ensemble
from ulmfit.evaluation import score_sets
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stages
from ulmfit.prepare_lm import finetune_stage, pretrain_stage, start_lm
from ulmfit.progress import Say, silent
from ulmfit.pseudo_labels import pseudo_labelled, texts_to_guess
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.saved import save_calibration
from ulmfit.text.corpus import Corpus, Texts
from ulmfit.text.document import Document
from ulmfit.text.splits import divide
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.stage import KeepBest


def fit(
    labelled: Iterable[Document],
    *,
    unlabelled: Iterable[Document] = (),
    valid: Iterable[Document] | None = None,
    test: Iterable[Document] = (),
    config: FitConfig = FitConfig(),
    runtime: RuntimeConfig = RuntimeConfig(),
    out: str | Path,
    overwrite: bool = False,
    tensorboard: bool = False,
    columns: Mapping[str, Any] | None = None,
    say: Say = silent,
) -> Classifier:
    """Documents → saved classifier. Only `labelled`, `valid` and `test` need labels.

    `valid=None` holds out `config.classifier.valid_fraction` of `labelled`. Texts of the validation and test sets are
    kept out of the language model's corpus unless `config.transductive`. `test` is scored once, at the end.
    An unfinished run of the same settings and documents in `out` is resumed; any other is refused unless `overwrite`.
    `tensorboard` also writes the curves to `out`/tensorboard. `columns`: how the command line read its files, recorded for
    --config.
    """
    machine = Runtime.start(runtime)
    say = say if machine.world.first else silent
    say(machine.describe())
    # as lists: they are read more than once
    labelled, unlabelled, test = list(labelled), list(unlabelled), list(test)
    valid = None if valid is None else list(valid)
    parts = divide(labelled, unlabelled, valid, test, config, machine.seed, say)
    check(config, parts, Path(out))  # before anything is overwritten
    # valid=None (some are held out) and valid=[] (none are) are different runs
    data = fingerprint(labelled, unlabelled, *([] if valid is None else [valid]), test)
    settings = {"config": asdict(config), "runtime": asdict(runtime)}
    how: dict[str, Any] = {"overwrite": overwrite, "tensorboard": tensorboard, "say": say}
    with Run.open(out, settings, data, **how, world=machine.world) as run:
        run.keep(labelled=fingerprint(labelled))  # for `trained_on`
        if columns is not None:
            run.keep(columns=dict(columns))
        members = []
        for direction in directions(config):
            lm = start_lm(
                config.pretrained, direction, parts.texts, config.tokenizer, machine.seed, say
            )
            if config.finetune:
                lm = finetune_lm(
                    lm,
                    parts.texts,
                    config=config.lm,
                    tokenizer=config.tokenizer,
                    runtime=machine,
                    run=run,
                )
            members.append(
                train_classifier(
                    lm,
                    parts.train,
                    valid=parts.valid,
                    unlabelled=parts.unlabelled,
                    config=config.classifier,
                    runtime=machine,
                    run=run,
                )
            )
        classifier = members[0] if len(members) == 1 else Ensemble(members)
        if classifier.outputs.kind == "single" and (len(members) > 1 or config.threshold_for):
            rule = config.threshold_for
            calibrate_new(classifier, parts.valid, threshold_for=rule, runtime=machine, say=say)
            if machine.world.first:
                save_calibration(classifier, run.path)
        run.finish(score_sets(classifier, parts, machine, run))
    say(f"saved in {run.path}")
    return classifier


def dry_run(
    labelled: Iterable[Document],
    *,
    unlabelled: Iterable[Document] = (),
    valid: Iterable[Document] | None = None,
    test: Iterable[Document] = (),
    config: FitConfig = FitConfig(),
    runtime: RuntimeConfig = RuntimeConfig(),
    say: Say,
) -> None:
    """Report what `fit` would do: data, parameters, plan, and how long it may take, estimated from a few steps."""
    machine = Runtime.start(runtime)
    say(machine.describe())
    valid = None if valid is None else list(valid)
    given = list(labelled), list(unlabelled), valid, list(test)
    parts = divide(*given, config, machine.seed, say)
    check(config, parts)
    guessed = texts_to_guess(parts.train, parts.unlabelled, config.classifier, machine.seed)
    guessed = [replace(d, label=parts.train[0].label) for d in guessed]  # any label costs the same
    minutes = 0.0
    for direction in directions(config):
        lm = start_lm(
            config.pretrained, direction, parts.texts, config.tokenizer, machine.seed, say
        )
        stages = []
        if config.finetune:
            stage, lm = finetune_stage(lm, parts.texts, config.lm, config.tokenizer, machine)
            stages.append(stage)
        how = (config.classifier, machine)
        stages += classifier_stages(lm, parts.train, parts.valid, *how, guessed)[0]
        for stage in stages:
            say(stage.plan())
            minutes += stage.estimate(machine) / 60
    rest = ["reading"]
    rest += ["skip-gram"] if config.finetune and config.lm.skipgram_epochs else []
    rest += ["guessing labels"] if guessed else []
    say(f"training would take {told_minutes(minutes)} here, plus {', '.join(rest)} and scoring")


def told_minutes(minutes: float) -> str:
    """An estimated duration in words."""
    if minutes < 1:
        return "less than a minute"
    return "about a minute" if minutes < 1.5 else f"about {minutes:.0f} minutes"


def pretrain_lm(
    documents: Texts,
    *,
    model: ModelConfig,
    tokenizer: Tokenizer | TokenizerConfig,
    valid: Sequence[Document] = (),
    config: PretrainConfig = PretrainConfig(),
    runtime: Runtime,
    run: Run,
) -> LanguageModel:
    """A language model of general text, from random weights (paper §3.1). A `TokenizerConfig` builds a tokenizer from the
    documents, a `Tokenizer` is used as it is; a corpus comes with its own."""
    saved = run.path / model.direction / "language_model"
    if run.has(saved):
        return LanguageModel.load(saved)
    folder = run.path / "corpus"
    stage, lm = pretrain_stage(documents, valid, model, tokenizer, config, runtime, folder, run.say)
    run.train(stage, runtime, config)
    run.save(lm, saved, "pretrain_lm", stage, config)
    return lm


def finetune_lm(
    lm: LanguageModel,
    documents: Texts,
    *,
    config: FinetuneConfig = FitConfig.lm,
    tokenizer: TokenizerConfig = TokenizerConfig(),
    runtime: Runtime,
    run: Run,
) -> LanguageModel:
    """The language model fine-tuned on the user's own texts; no labels needed (paper §3.2)."""
    saved = run.path / lm.config.direction / "language_model"
    if run.has(saved):
        return LanguageModel.load(saved)
    stage, lm = finetune_stage(lm, documents, config, tokenizer, runtime)
    run.train(stage, runtime, config)
    run.save(lm, saved, "finetune_lm", stage, config)
    return lm


def train_classifier(
    lm: LanguageModel,
    documents: Texts,
    *,
    valid: Texts = (),
    unlabelled: Sequence[Document] = (),
    config: ClassifierConfig = FitConfig.classifier,
    runtime: Runtime,
    run: Run,
) -> TextClassifier:
    """A classifier on the encoder of `lm`, phase by phase (paper §3.3).

    If few documents are labelled, it is trained on guessed labels of `unlabelled` texts first (`pseudo_labels`); not if
    `documents` is a corpus, which holds no words to guess from.
    """
    saved = run.path / lm.config.direction / "classifier"
    if run.has(saved):
        return TextClassifier.load(saved)
    guesses = run.path / "resume" / f"pseudo-labels, {lm.config.direction}.json"
    guessed = list[Document]()
    if not isinstance(documents, Corpus):
        guessed = pseudo_labelled(
            lm, documents, unlabelled, config, runtime, say=run.say, kept=guesses
        )
    (*first, stage), classifier = classifier_stages(lm, documents, valid, config, runtime, guessed)
    for other in first:
        run.train(other, runtime, config)
    measured, evaluate = None, stage.evaluate
    if config.keep == "best":
        stage.evaluate = best = KeepBest(
            stage,
            f"valid_{classifier.outputs.best}",
            run.path / "resume" / stage.name,
            lowest=classifier.outputs.best_is_lowest,
            world=runtime.world,
        )
        run.train(stage, runtime, config)
        measured = best.restore()
    else:
        run.train(stage, runtime, config)
    if config.update_bn:
        classifier.update_bn(documents, runtime)
        measured = evaluate() if evaluate else None
    if classifier.outputs.kind == "single":
        calibrate_new(classifier, valid, runtime=runtime, say=run.say)
    run.save(classifier, saved, "train_classifier", stage, config, measured)
    return classifier
