"""Before a training: the model to start from, what must be in order, and `Stage`s with net, data and phases."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ulmfit import pretrained
from ulmfit.classifier import TextClassifier
from ulmfit.config import (
    BEST_NEEDS_DOCUMENTS,
    LM_DROPOUT,
    ClassifierConfig,
    Direction,
    FinetuneConfig,
    FitConfig,
    ModelConfig,
    PretrainConfig,
    TokenizerConfig,
    few_documents,
)
from ulmfit.language_model import LanguageModel
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import classifier_loss, lm_loss
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus, Document
from ulmfit.text.splits import Parts, hold_out
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.loop import Optim
from ulmfit.training.metrics import classification_metrics
from ulmfit.training.phases import (
    Phase,
    classifier_phases,
    few_documents_note,
    finetune_phases,
    pretrain_phases,
)
from ulmfit.training.stage import Stage
from ulmfit.vectors import init_embeddings

VALID_TOKENS = 50_000  # of held-out text are read for a perplexity; more would only cost time
VALID_STREAMS = 16  # parallel streams they are read in


def check(config: FitConfig, parts: Parts, out: Path | None = None) -> None:
    """ValueError now for what would otherwise end a run hours later, or when the old one is overwritten already."""
    if config.classifier.keep == "best" and len(parts.valid) < BEST_NEEDS_DOCUMENTS:
        raise ValueError(
            f"keep=best chooses an epoch on the validation set and needs {BEST_NEEDS_DOCUMENTS} documents there, "
            f"not {len(parts.valid)}; give more or use keep=last"
        )
    check_classifier(config.classifier)
    if config.finetune:
        check_lm(config.lm)
    for direction in directions(config):
        check_start(config.pretrained, direction, config.tokenizer, out)


def check_classifier(config: ClassifierConfig) -> None:
    """ValueError for numbers that train nothing."""
    if config.batch_size < 2:
        raise ValueError(
            f"the classifier needs batches of at least 2 documents (BatchNorm), not {config.batch_size}"
        )
    if min(config.epochs, default=0) < 0 or not classifier_phases(config, 2, config.batch_size, 1):
        raise ValueError(f"epochs {config.epochs}: none trains anything, or one is negative")


def check_lm(config: PretrainConfig | FinetuneConfig) -> None:
    """ValueError for numbers that train nothing."""
    epochs = [config.epochs]
    if isinstance(config, FinetuneConfig):
        epochs.append(config.frozen_epochs)
    if not sum(epochs) or min(epochs) < 0:
        raise ValueError(
            "the language model's epochs are 0 or negative: nothing would be trained;"
            " to fine-tune no language model, use finetune=False"
        )
    _positive("language model", config, "batch_size", "bptt", "max_tokens")


def check_model(config: ModelConfig) -> None:
    """ValueError for a shape that no net can have."""
    _positive("model", config, "embedding_size", "hidden_size", "layers")


def _positive(what: str, config: object, *names: str) -> None:
    for name in names:
        number = getattr(config, name)
        if number is not None and number < 1:
            raise ValueError(f"the {what}'s {name} must be at least 1, not {number}")


def check_start(
    name: str, direction: Direction, tokenizer: TokenizerConfig, out: Path | None
) -> None:
    """ValueError where the language model to start from is not there, was made with another tokenizer, or would be
    overwritten by `out`."""
    if name != pretrained.NONE:
        source = pretrained.find(name, direction).resolve()
        if out is not None and source.is_relative_to(out.resolve()):
            raise ValueError(
                f"the language model to start from lies in {out}, where this run writes; give another --out"
            )
        settled(tokenizer, Tokenizer.load(source / "tokenizer.json").config)


def directions(config: FitConfig) -> tuple[Direction, ...]:
    """The directions to train, in order."""
    return ("forward", "backward") if config.directions == "both" else (config.directions,)


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
        lm = pretrained.blank(Tokenizer.build([d.text for d in texts], tokenizer), direction)
    return lm


def settled(wanted: TokenizerConfig, made: TokenizerConfig) -> TokenizerConfig:
    """`wanted` with the language and rules that the model was `made` with: its words would not be met otherwise.

    ValueError where others were asked for.
    """
    for name in ("lang", "rules"):
        asked, has = getattr(wanted, name), getattr(made, name)
        if asked not in (has, getattr(TokenizerConfig, name)):
            raise ValueError(
                f"--tokenizer.{name} {asked} was asked for, but the pretrained model was made with {has}; "
                f"use --pretrained {pretrained.NONE}, or a model made with {asked}"
            )
    return replace(wanted, lang=made.lang, rules=made.rules)


def pretrain_stage(
    documents: Sequence[Document],
    valid: Sequence[Document],
    model: ModelConfig,
    tokenizer: Tokenizer | TokenizerConfig,
    config: PretrainConfig,
    runtime: Runtime,
    folder: Path,
) -> tuple[Stage, LanguageModel]:
    """What `pretrain_lm` will do, and the model it will do it to. The encoded corpus is kept in `folder`."""
    check_model(model)
    check_lm(config)
    seed_everything(runtime.seed)
    if not valid:
        documents, valid = hold_out(documents, config.valid_fraction, runtime.seed, stratify=False)
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = Tokenizer.build([d.text for d in documents], tokenizer)
    lm = LanguageModel.create(tokenizer, model)
    path = folder / tokenizer.fingerprint
    corpus = Corpus.load(path) if path.exists() else Corpus.build(documents, tokenizer, path=path)
    if config.init_embeddings:
        init_embeddings(lm, config.init_embeddings, corpus, runtime.seed)
    batches = lm_batches(lm, corpus, config.batch_size, config, runtime)
    phases = pretrain_phases(config, len(lm.net.layer_groups()), batches.tokens_per_epoch)
    return lm_stage("pre-training", lm, corpus, valid, batches, phases, config, runtime), lm


def finetune_stage(
    lm: LanguageModel,
    documents: Sequence[Document],
    config: FinetuneConfig,
    tokenizer: TokenizerConfig,
    runtime: Runtime,
) -> tuple[Stage, LanguageModel]:
    """What `finetune_lm` will do, and the model it will do it to: `lm` over the vocabulary of the texts."""
    check_lm(config)
    seed_everything(runtime.seed)
    documents, valid = hold_out(documents, config.valid_fraction, runtime.seed, stratify=False)
    tokenizer = settled(tokenizer, lm.tokenizer.config)
    keep = lm.tokenizer.vocab if config.keep_words else ()
    lm = lm.with_vocab(Tokenizer.build([d.text for d in documents], tokenizer, keep))
    corpus = Corpus.build(documents, lm.tokenizer)
    rows = corpus.n_tokens // config.bptt
    batch_size = few_documents(rows, config.batch_size, config.min_steps)
    batches = lm_batches(lm, corpus, batch_size, config, runtime)
    phases = finetune_phases(
        config, len(lm.net.layer_groups()), batches.tokens_per_epoch, batches.steps_per_epoch
    )
    return lm_stage("language model", lm, corpus, valid, batches, phases, config, runtime), lm


def classifier_stage(
    lm: LanguageModel,
    documents: Sequence[Document],
    valid: Sequence[Document],
    config: ClassifierConfig,
    runtime: Runtime,
) -> tuple[Stage, TextClassifier]:
    """What `train_classifier` will do, and the classifier it will do it to: the encoder of `lm` and a new head."""
    for name, part in (("", documents), ("validation ", valid)):
        if missing := sum(d.label is None for d in part):
            raise ValueError(
                f"{missing} of {len(part)} {name}documents have no label; a classifier is trained on labelled ones only"
            )
    check_classifier(config)
    seed_everything(runtime.seed)
    classifier = TextClassifier.create(lm, sorted({str(d.label) for d in documents}), config)
    corpus = Corpus.build(documents, lm.tokenizer, label_names=classifier.labels)
    batch_size = few_documents(len(corpus), config.batch_size, config.min_steps)
    batches = DocumentBatches(
        corpus,
        batch_size,
        shuffle=True,
        seed=runtime.seed,
        backward=lm.config.direction == "backward",
        note=few_documents_note(config, batch_size),
    )
    held = None
    if valid:  # encoded once, scored after every epoch
        held = Corpus.build(valid, lm.tokenizer, label_names=classifier.labels, description="")

    def evaluate() -> dict[str, float]:
        assert held is not None and held.labels is not None
        found = classifier.probabilities_of(held, runtime).argmax(axis=1)
        metrics = classification_metrics(held.labels.tolist(), found.tolist())
        return {f"valid_{name}": value for name, value in metrics.items()}

    stage = Stage(
        name=f"classifier, {lm.config.direction}",
        net=classifier.net,
        loss_fn=partial(classifier_loss, ar=config.ar, tar=config.tar),
        batches=batches,
        phases=classifier_phases(
            config, len(classifier.net.layer_groups()), batch_size, batches.steps_per_epoch
        ),
        optim=Optim(config.weight_decay, config.max_grad_norm),
        evaluate=evaluate if held else None,
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
    held = None
    if valid:
        held = Corpus.build(valid, lm.tokenizer, max_tokens=VALID_TOKENS, description="")

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
    return LMBatches(
        corpus,
        batch_size,
        config.bptt,
        shuffle=True,
        seed=runtime.seed,
        backward=lm.config.direction == "backward",
        note=few_documents_note(config, batch_size),
    )
