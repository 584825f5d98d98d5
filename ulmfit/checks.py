"""Checks of settings before training, so that a wrong one is found at once, not hours later."""

from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from math import inf
from pathlib import Path
from typing import Any

from ulmfit import pretrained
from ulmfit.config import (
    BEST_NEEDS_DOCUMENTS,
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    NO_DROPOUT,
    ClassifierConfig,
    Direction,
    Dropout,
    FinetuneConfig,
    FitConfig,
    ModelConfig,
    PretrainConfig,
    TokenizerConfig,
)
from ulmfit.files.checkpoint import load_json
from ulmfit.outputs import outputs_for
from ulmfit.text import sentencepiece
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.rules import SPECIAL_TOKENS
from ulmfit.text.splits import Parts
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import precision_of
from ulmfit.training.phases import classifier_phases
from ulmfit.vectors import SKIPGRAM

# lower bounds of settings by name, in whichever config they occur
ABOVE_0 = ("lr", "frozen_lr", "lr_decay", "lr_divisors", "max_grad_norm")
FROM_0 = (
    *("weight_decay", "dropout_scale", "ar", "tar"),
    *("skipgram_epochs", "full_dropout_passes"),
    *("pseudo_labels", "gentle_beyond", "many_classes"),
)
FROM_1 = (
    *(
        "batch_size",
        "min_batch_size",
        "bptt",
        "max_tokens",
        "skipgram_tokens",
        "negatives",
        "head_sizes",
    ),
    *("embedding_size", "hidden_size", "layers"),
)


def check(config: FitConfig, parts: Parts, out: Path | None = None) -> None:
    """ValueError for what would otherwise end a run hours later, or only once an old one has been overwritten."""
    if config.classifier.keep == "best" and len(parts.valid) < BEST_NEEDS_DOCUMENTS:
        raise ValueError(
            f"keep=best chooses an epoch on the validation set and needs {BEST_NEEDS_DOCUMENTS} documents there, "
            f"not {len(parts.valid)}; give more or use keep=last"
        )
    check_classifier(config.classifier)
    outputs = outputs_for(parts.train, config.classifier)
    if config.threshold_for is not None:
        precision_of(config.threshold_for)
        if outputs.kind != "single":
            raise ValueError(f"--threshold-for needs one class per text; here there is {outputs}")
    if config.finetune:
        check_lm(config.lm)
    for direction in directions(config):
        check_start(config.pretrained, direction, config.tokenizer, out)


def check_classifier(config: ClassifierConfig) -> None:
    """ValueError for settings with which a classifier can't be trained."""
    if (smallest := min(config.batch_size, config.min_batch_size)) < 2:
        raise ValueError(
            f"the classifier needs batches of at least 2 documents (BatchNorm), not {smallest}"
        )
    check_bounds("classifier", config, CLASSIFIER_DROPOUT)
    if config.max_len < config.bptt:
        raise ValueError(
            f"max_len ({config.max_len}) must hold a chunk of bptt ({config.bptt}) tokens: whole chunks are pooled"
        )
    if config.unfreezing == "quick" and config.schedule != "one_cycle":
        raise ValueError(f"unfreezing quick needs the schedule one_cycle, not {config.schedule}")
    if not 0 <= config.label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), not {config.label_smoothing}")
    phases = classifier_phases(config, 2, config.batch_size, 1, config.head_only_below)
    if min(config.epochs, default=0) < 0 or not phases:
        raise ValueError(f"epochs {config.epochs}: nothing would be trained, or one is negative")


def check_lm(config: PretrainConfig | FinetuneConfig) -> None:
    """ValueError for settings with which a language model can't be trained."""
    epochs = [config.epochs]
    if isinstance(config, FinetuneConfig):
        epochs.append(config.frozen_epochs)
    if not 0 < sum(epochs) < inf or min(epochs) < 0:
        raise ValueError(
            "the language model's epochs are 0, negative or not a number: nothing would be trained;"
            " to skip its fine-tuning, use finetune=False"
        )
    if not 0 <= config.valid_fraction < 1:
        raise ValueError(
            f"the language model's valid_fraction must be in [0, 1), not {config.valid_fraction}"
        )
    check_bounds("language model", config, LM_DROPOUT)


def check_model(config: ModelConfig) -> None:
    """ValueError for a shape that no net can have."""
    check_bounds("model", config)


def check_bounds(what: str, config: Any, dropout: Dropout = NO_DROPOUT) -> None:
    """ValueError for a number out of bounds, or NaN; `dropout`: the rates that dropout_scale multiplies."""
    largest = max(astuple(dropout))
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is None:
                continue
            if name in ABOVE_0 and not number > 0:
                bound = "above 0"
            elif name in FROM_0 and not number >= 0:
                bound = "at least 0"
            elif name in FROM_1 and not number >= 1:
                bound = "at least 1"
            elif name == "dropout_scale" and number * largest >= 1:  # would drop everything
                bound = f"below {1 / largest:g}"
            else:
                continue
            raise ValueError(f"the {what}'s {name} must be {bound}, not {number:g}")


def check_start(
    name: str,
    direction: Direction,
    tokenizer: TokenizerConfig,
    out: Path | None,
    texts: Sequence[Document] | Corpus = (),
) -> None:
    """ValueError if the language model to start from is missing, would be overwritten by `out`, or has another tokenizer than
    asked for or than the corpus `texts`; ImportError if the tokenizer needs an extra."""
    check_tokenizer(tokenizer)
    if name != pretrained.NONE:
        source = pretrained.find(name, direction).resolve()
        if out is not None and source.is_relative_to(out.resolve()):
            raise ValueError(
                f"the language model to start from lies in {out}, where this run writes; give another --out"
            )
        own = Tokenizer.load(source / "tokenizer.json")
        if isinstance(texts, Corpus):
            check_corpus(texts, own)
        else:
            settled(tokenizer, own.config)


def check_tokenized(path: str, asked: TokenizerConfig, vocab_of: str | None = None) -> None:
    """ValueError if a tokenizer is asked for although the corpus already has one."""
    if vocab_of or asked != TokenizerConfig():
        raise ValueError(
            f"{path} is tokenized already: leave out --tokenizer.* and --vocab-of, or give them to `ulmfit tokenize`"
        )


def check_corpus(corpus: Corpus, lm: Tokenizer) -> None:
    """ValueError if an encoded corpus was split into tokens in another way than the language model's texts."""
    own = corpus.tokenizer
    if own is None or not own.splits_as(lm):
        wanted = ", ".join(f"{n} {getattr(lm.config, n)}" for n in ("kind", "lang", "rules"))
        raise ValueError(
            f"the corpus was tokenized in another way than the texts of the language model ({wanted}), so its words would"
            " not match. Tokenize the texts again with --vocab-of and that model"
        )


def check_tokenizer(config: TokenizerConfig) -> None:
    """ImportError if a new tokenizer needs a package that is missing; ValueError for a vocabulary too small for any word."""
    if config.max_vocab <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"--tokenizer.max-vocab {config.max_vocab} leaves no room for a word: {len(SPECIAL_TOKENS)} special tokens "
            "are counted too"
        )
    if config.kind == "sentencepiece":
        sentencepiece.library()


def check_embeddings(source: str | None, tokenizer: TokenizerConfig, size: int) -> None:
    """ValueError if `source` names a model with another kind of tokens, or with embeddings not of `size` numbers."""
    if source is None or source == SKIPGRAM:
        return
    folder = pretrained.find(source)
    kind = Tokenizer.load(folder / "tokenizer.json").config.kind
    if kind != tokenizer.kind:
        raise ValueError(
            f"--init-embeddings {source}: that model has tokens of kind {kind}, this one of kind {tokenizer.kind}; "
            f"give one of that kind, or {SKIPGRAM}"
        )
    numbers = load_json(folder / "config.json")["model"]["embedding_size"]
    if numbers != size:
        raise ValueError(
            f"--init-embeddings {source}: its embeddings have {numbers} numbers, this model's {size}; give one of that size, or {SKIPGRAM}"
        )


def settled(wanted: TokenizerConfig, made: TokenizerConfig) -> TokenizerConfig:
    """`wanted` with the kind, language and rules that the model was `made` with: otherwise few of its tokens would occur.

    ValueError if others were asked for.
    """
    for name in ("kind", "lang", "rules"):
        asked, has = getattr(wanted, name), getattr(made, name)
        if asked not in (has, getattr(TokenizerConfig, name)):
            raise ValueError(
                f"--tokenizer.{name} {asked} was asked for, but the pretrained model was made with {has}; "
                f"use --pretrained {pretrained.NONE}, or a model made with {asked}"
            )
    return replace(wanted, kind=made.kind, lang=made.lang, rules=made.rules)


def directions(config: FitConfig) -> tuple[Direction, ...]:
    """The directions to train, in order."""
    return ("forward", "backward") if config.directions == "both" else (config.directions,)
