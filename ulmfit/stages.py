"""★ Read first: the method, top to bottom.

`fit` = `finetune_lm` (paper §3.2) → `train_classifier` (§3.3), for one direction or both; `pretrain_lm` (§3.1) makes
the language models they start from. Each prepares a `Stage` – net, data, phases – which can be printed or trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ulmfit import pretrained
from ulmfit.classifier import Classifier, Ensemble, TextClassifier
from ulmfit.config import (
    BEST_NEEDS_DOCUMENTS,
    LM_DROPOUT,
    ClassifierConfig,
    Direction,
    FinetuneConfig,
    FitConfig,
    ModelConfig,
    PretrainConfig,
    RuntimeConfig,
    TokenizerConfig,
    few_documents,
)
from ulmfit.language_model import LanguageModel
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import classifier_loss, lm_loss
from ulmfit.run import Run, Say, fingerprint, silent
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus, Document
from ulmfit.text.splits import Parts, divide, hold_out
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.loop import Optim
from ulmfit.training.phases import Phase, classifier_phases, finetune_phases, pretrain_phases
from ulmfit.training.stage import KeepBest, Stage
from ulmfit.vectors import init_embeddings

VALID_TOKENS = (
    50_000  # of held-out text are read for a language model's perplexity; more would only cost time
)
VALID_STREAMS = 16  # parallel streams they are read in


def fit(
    labelled: Sequence[Document],
    *,
    unlabelled: Sequence[Document] = (),
    valid: Sequence[Document] | None = None,
    test: Sequence[Document] = (),
    config: FitConfig = FitConfig(),
    runtime: RuntimeConfig = RuntimeConfig(),
    out: str | Path,
    overwrite: bool = False,
    say: Say = silent,
) -> Classifier:
    """Documents → saved classifier. Labels are needed of `labelled`, `valid` and `test` only.

    `valid=None` holds out `config.classifier.valid_fraction` of `labelled`. Texts of the validation and test sets are
    kept out of the language model's corpus unless `config.transductive`. `test` is scored once, at the end.
    An unfinished run of the same command in `out` goes on; a finished one is refused unless `overwrite`.
    """
    machine = Runtime.start(runtime)
    say(machine.describe())
    parts = divide(labelled, unlabelled, valid, test, config, machine.seed, say)
    check(config, parts, Path(out))  # before anything is overwritten
    data = fingerprint(labelled, unlabelled, valid or (), test)
    settings = {"config": asdict(config), "runtime": asdict(runtime)}
    run = Run.open(Path(out), settings, data, overwrite=overwrite, say=say)
    members = []
    for direction in directions(config):
        lm = start_lm(config.pretrained, direction, parts.texts, config.tokenizer, machine.seed)
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
                config=config.classifier,
                runtime=machine,
                run=run,
            )
        )
    classifier = members[0] if len(members) == 1 else Ensemble(members)
    results = {}
    for name, documents in (("validation", parts.valid), ("test", parts.test)):
        if documents:
            results[name] = classifier.evaluate(
                documents, machine, progress=f"scoring the {name} set"
            )
            say(f"{name} set: " + ", ".join(f"{k} {v:.4g}" for k, v in results[name].items()))
    run.finish(results)
    say(f"saved in {run.path}")
    return classifier


def dry_run(
    labelled: Sequence[Document],
    *,
    unlabelled: Sequence[Document] = (),
    valid: Sequence[Document] | None = None,
    test: Sequence[Document] = (),
    config: FitConfig = FitConfig(),
    runtime: RuntimeConfig = RuntimeConfig(),
    say: Say,
) -> None:
    """Say what `fit` would do: data, parameters, plan, and how long it may take, measured on a few steps."""
    machine = Runtime.start(runtime)
    say(machine.describe())
    parts = divide(labelled, unlabelled, valid, test, config, machine.seed, say)
    check(config, parts)
    minutes = 0.0
    for direction in directions(config):
        lm = start_lm(config.pretrained, direction, parts.texts, config.tokenizer, machine.seed)
        stages = []
        if config.finetune:
            stage, lm = finetune_stage(lm, parts.texts, config.lm, config.tokenizer, machine)
            stages.append(stage)
        stages.append(classifier_stage(lm, parts.train, parts.valid, config.classifier, machine)[0])
        for stage in stages:
            say(stage.plan())
            minutes += stage.estimate(machine) / 60
    say(f"training would take about {minutes:.0f} minutes here, plus reading and scoring")


def pretrain_lm(
    documents: Sequence[Document],
    *,
    model: ModelConfig,
    tokenizer: Tokenizer | TokenizerConfig,
    valid: Sequence[Document] = (),
    config: PretrainConfig = PretrainConfig(),
    runtime: Runtime,
    run: Run,
) -> LanguageModel:
    """A language model of general text, from random weights (paper §3.1). A `Tokenizer` is used as it is."""
    saved = run.path / model.direction / "language_model"
    if run.has(saved):
        return LanguageModel.load(saved)
    seed_everything(runtime.seed)
    if not valid:
        documents, valid = hold_out(documents, config.valid_fraction, runtime.seed)
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = Tokenizer.build((d.text for d in documents), tokenizer)
    lm = LanguageModel.create(tokenizer, model)
    path = run.path / "corpus" / tokenizer.fingerprint
    corpus = Corpus.load(path) if path.exists() else Corpus.build(documents, tokenizer, path=path)
    if config.init_embeddings:
        init_embeddings(lm, config.init_embeddings, corpus, runtime.seed)
    batches = lm_batches(lm, corpus, config.batch_size, config, runtime)
    phases = pretrain_phases(config, len(lm.net.layer_groups()), batches.tokens_per_epoch)
    stage = lm_stage("pre-training", lm, corpus, valid, batches, phases, config, runtime)
    run.train(stage, runtime)
    lm.save(saved, card=run.card("pretrain_lm", stage, config))
    return lm


def finetune_lm(
    lm: LanguageModel,
    documents: Sequence[Document],
    *,
    config: FinetuneConfig = FinetuneConfig(),
    tokenizer: TokenizerConfig = TokenizerConfig(),
    runtime: Runtime,
    run: Run,
) -> LanguageModel:
    """The language model on the user's own texts; no labels needed (paper §3.2)."""
    saved = run.path / lm.config.direction / "language_model"
    if run.has(saved):
        return LanguageModel.load(saved)
    stage, lm = finetune_stage(lm, documents, config, tokenizer, runtime)
    run.train(stage, runtime)
    lm.save(saved, card=run.card("finetune_lm", stage, config))
    return lm


def finetune_stage(
    lm: LanguageModel,
    documents: Sequence[Document],
    config: FinetuneConfig,
    tokenizer: TokenizerConfig,
    runtime: Runtime,
) -> tuple[Stage, LanguageModel]:
    """What `finetune_lm` will do, and the model it will do it to: `lm` over the vocabulary of the texts."""
    seed_everything(runtime.seed)
    documents, valid = hold_out(documents, config.valid_fraction, runtime.seed)
    # Language and rules are the pretrained model's: its words would not be met otherwise.
    tokenizer = replace(tokenizer, lang=lm.tokenizer.config.lang, rules=lm.tokenizer.config.rules)
    keep = lm.tokenizer.vocab if config.keep_words else ()
    lm = lm.with_vocab(Tokenizer.build((d.text for d in documents), tokenizer, keep))
    corpus = Corpus.build(documents, lm.tokenizer)
    batch_size, repeats = few_documents(
        corpus.n_tokens // config.bptt, config.batch_size, config.min_steps
    )
    batches = lm_batches(lm, corpus, batch_size, config, runtime)
    phases = finetune_phases(config, len(lm.net.layer_groups()), batches.tokens_per_epoch, repeats)
    return lm_stage("language model", lm, corpus, valid, batches, phases, config, runtime), lm


def train_classifier(
    lm: LanguageModel,
    documents: Sequence[Document],
    *,
    valid: Sequence[Document] = (),
    config: ClassifierConfig = ClassifierConfig(),
    runtime: Runtime,
    run: Run,
) -> TextClassifier:
    """A classifier on the encoder of `lm`, by gradual unfreezing (paper §3.3)."""
    saved = run.path / lm.config.direction / "classifier"
    if run.has(saved):
        return TextClassifier.load(saved)
    stage, classifier = classifier_stage(lm, documents, valid, config, runtime)
    if config.keep == "best":
        stage.evaluate = best = KeepBest(stage, "valid_accuracy", run.path / "resume" / stage.name)
        run.train(stage, runtime)
        best.restore()
    else:
        run.train(stage, runtime)
    classifier.save(saved, card=run.card("train_classifier", stage, config))
    return classifier


def classifier_stage(
    lm: LanguageModel,
    documents: Sequence[Document],
    valid: Sequence[Document],
    config: ClassifierConfig,
    runtime: Runtime,
) -> tuple[Stage, TextClassifier]:
    """What `train_classifier` will do, and the classifier it will do it to: the encoder of `lm` and a new head."""
    seed_everything(runtime.seed)
    classifier = TextClassifier.create(lm, sorted({str(d.label) for d in documents}), config)
    corpus = Corpus.build(documents, lm.tokenizer, label_names=classifier.labels)
    batch_size, repeats = few_documents(len(corpus), config.batch_size, config.min_steps)
    backward = lm.config.direction == "backward"

    def evaluate() -> dict[str, float]:
        return {
            f"valid_{k}": v
            for k, v in classifier.evaluate(valid, runtime).items()
            if k != "documents"
        }

    stage = Stage(
        name=f"classifier, {lm.config.direction}",
        net=classifier.net,
        loss_fn=partial(classifier_loss, ar=config.ar, tar=config.tar),
        batches=DocumentBatches(
            corpus, batch_size, shuffle=True, seed=runtime.seed, backward=backward
        ),
        phases=classifier_phases(config, len(classifier.net.layer_groups()), batch_size, repeats),
        optim=Optim(config.weight_decay, config.max_grad_norm),
        evaluate=evaluate if valid else None,
    )
    return stage, classifier


def lm_stage(
    name: str,
    lm: LanguageModel,
    corpus: Corpus,
    valid: Sequence[Document],
    batches: LMBatches,
    phases: list[Phase],
    config: PretrainConfig | FinetuneConfig,
    runtime: Runtime,
) -> Stage:
    """What both trainings of a language model have in common: dropout, objective, perplexity on held-out text."""
    lm.net.encoder.dropout = LM_DROPOUT.scaled(config.dropout_scale)
    sampler = None
    if config.softmax == "sampled":
        counts = torch.from_numpy(np.bincount(corpus.ids, minlength=len(lm.tokenizer)))
        sampler = NegativeSampler(counts, config.negatives).to(runtime.device)
    held = Corpus.build(valid, lm.tokenizer, description="") if valid else None
    if held and held.n_tokens > VALID_TOKENS:
        held = held.subset(range(max(1, int(np.searchsorted(held.offsets, VALID_TOKENS)))))

    def evaluate() -> dict[str, float]:
        assert held is not None
        return {"valid_perplexity": lm.perplexity_of(held, runtime, batch_size=VALID_STREAMS)}

    return Stage(
        name=f"{name}, {lm.config.direction}",
        net=lm.net,
        loss_fn=partial(lm_loss, ar=config.ar, tar=config.tar, sampler=sampler),
        batches=batches,
        phases=phases,
        optim=Optim(config.weight_decay, config.max_grad_norm),
        evaluate=evaluate if held and held.n_tokens > VALID_STREAMS else None,
    )


def lm_batches(
    lm: LanguageModel,
    corpus: Corpus,
    batch_size: int,
    config: PretrainConfig | FinetuneConfig,
    runtime: Runtime,
) -> LMBatches:
    """Shuffled parallel streams, read in the model's direction."""
    backward = lm.config.direction == "backward"
    return LMBatches(
        corpus, batch_size, config.bptt, shuffle=True, seed=runtime.seed, backward=backward
    )


def start_lm(
    name: str,
    direction: Direction,
    texts: Sequence[Document],
    tokenizer: TokenizerConfig,
    seed: int,
) -> LanguageModel:
    """The pretrained model; for "none" random weights over a vocabulary built from the texts."""
    lm = pretrained.load(name, direction)
    if lm is None:
        seed_everything(seed)
        lm = pretrained.blank(Tokenizer.build((d.text for d in texts), tokenizer), direction)
    return lm


def check(config: FitConfig, parts: Parts, out: Path | None = None) -> None:
    """ValueError now for what would otherwise end a run hours later, or when the old one is overwritten already."""
    if config.classifier.keep == "best" and len(parts.valid) < BEST_NEEDS_DOCUMENTS:
        raise ValueError(
            f"keep=best chooses an epoch on the validation set and needs {BEST_NEEDS_DOCUMENTS} documents there, "
            f"not {len(parts.valid)}; give more or use keep=last"
        )
    classifier_phases(config.classifier, 2, config.classifier.batch_size)
    for direction in directions(config):
        check_start(config.pretrained, direction, out)


def check_start(name: str, direction: Direction, out: Path | None) -> None:
    """ValueError where the language model to start from is not there, or where `out` would overwrite it."""
    if name != pretrained.NONE:
        source = pretrained.find(name, direction).resolve()
        if out is not None and source.is_relative_to(out.resolve()):
            raise ValueError(
                f"the language model to start from lies in {out}, where this run writes; give another --out"
            )


def directions(config: FitConfig) -> tuple[Direction, ...]:
    """The directions to train, in order."""
    return ("forward", "backward") if config.directions == "both" else (config.directions,)
