"""What is refused before a training."""

import sys
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
from tiny import TINY, TINY_FIT

from ulmfit.checks import (
    check,
    check_bounds,
    check_classifier,
    check_embeddings,
    check_lm,
    check_model,
    check_start,
    check_tokenizer,
    settled,
)
from ulmfit.config import LM_DROPOUT as LM
from ulmfit.config import ClassifierConfig, FinetuneConfig, PretrainConfig, TokenizerConfig
from ulmfit.text.splits import Parts

PIECES = TokenizerConfig(kind="sentencepiece", lang="de")
ENGLISH, GERMAN = TokenizerConfig(), TokenizerConfig(lang="de", rules="clean")


def test_language_and_rules_are_the_pretrained_models() -> None:
    """Left out they are taken over; asked for, they have to fit."""
    wanted = TokenizerConfig(min_freq=7)
    assert settled(wanted, GERMAN) == replace(wanted, lang="de", rules="clean")
    assert settled(GERMAN, GERMAN) == GERMAN
    assert settled(wanted, PIECES) == replace(PIECES, min_freq=7)
    with pytest.raises(ValueError, match=r"--tokenizer\.kind sentencepiece.*made with words"):
        settled(PIECES, GERMAN)
    for name, asked in (("lang", "de"), ("rules", "clean")):
        reason = rf"--tokenizer\.{name} {asked}.*made with (en|fastai).*--pretrained none"
        with pytest.raises(ValueError, match=reason):
            settled(replace(ENGLISH, **{name: asked}), ENGLISH)


def test_another_tokenizer_is_refused_before_training(lm_directory: Path) -> None:
    name = str(lm_directory)
    check_start(name, "forward", ENGLISH, None)
    check_start("none", "forward", GERMAN, None)
    with pytest.raises(ValueError, match=r"--tokenizer\.lang de"):
        check_start(name, "forward", GERMAN, None)


def test_at_least_one_chunk_is_pooled() -> None:
    check_classifier(replace(TINY_FIT.classifier, bptt=50, max_len=50))
    with pytest.raises(ValueError, match=r"max_len \(49\) must hold a chunk of bptt \(50\)"):
        check_classifier(replace(TINY_FIT.classifier, bptt=50, max_len=49))
    with pytest.raises(ValueError, match="bptt must be at least 1"):
        check_classifier(replace(TINY_FIT.classifier, bptt=0))


def test_some_phase_has_epochs() -> None:
    check_classifier(replace(TINY_FIT.classifier, epochs=(0, 0, 0, 5), head_only_below=50))
    for epochs in ((0, 0, 0, 0), (1, 1, 1, -1)):
        with pytest.raises(ValueError, match="nothing would be trained, or one is negative"):
            check_classifier(replace(TINY_FIT.classifier, epochs=epochs))


def test_quick_unfreezing_has_its_own_schedule() -> None:
    config = replace(TINY_FIT.classifier, unfreezing="quick")
    check_classifier(config)
    with pytest.raises(ValueError, match="quick needs the schedule one_cycle, not slanted"):
        check_classifier(replace(config, schedule="slanted_triangular"))


def test_what_a_language_model_holds_out_is_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"valid_fraction must be in \[0, 1\), not 1.5"):
        check_lm(FinetuneConfig(valid_fraction=1.5))


def test_embeddings_of_another_model_must_fit(lm_directory: Path) -> None:
    source = str(lm_directory)
    for given in (None, "skipgram", source):
        check_embeddings(given, GERMAN, TINY.embedding_size)
    check_embeddings("skipgram", PIECES, 10)
    with pytest.raises(ValueError, match=r"embeddings have 8 numbers, this model's 10"):
        check_embeddings(source, ENGLISH, 10)
    with pytest.raises(ValueError, match=r"kind words, this one of kind sentencepiece"):
        check_embeddings(source, PIECES, TINY.embedding_size)


def test_a_vocabulary_holds_more_than_special_tokens(lm_directory: Path) -> None:
    check_tokenizer(replace(ENGLISH, max_vocab=10))
    for start in ("none", str(lm_directory)):
        with pytest.raises(ValueError, match=r"max-vocab 9 leaves no room.* 9 special tokens"):
            check_start(start, "forward", replace(ENGLISH, max_vocab=9), None)


def test_a_missing_extra_is_named_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    check_tokenizer(ENGLISH)
    for needs_it in (
        lambda: check_tokenizer(PIECES),
        lambda: check_start("none", "forward", PIECES, None),
    ):
        with pytest.raises(ImportError, match="pip install sentencepiece"):
            needs_it()


@pytest.mark.parametrize(
    ("part", "wrong", "reason"),
    [
        ("classifier", {"batch_size": 1}, "at least 2 documents"),
        ("classifier", {"epochs": (0, 0, 0, 0)}, "nothing would be trained"),
        ("classifier", {"epochs": (1, 1, 1, -1)}, "negative"),
        ("classifier", {"epochs": (1,)}, "one of each per phase"),
        ("lm", {"epochs": 0.0, "frozen_epochs": 0.0}, "nothing would be trained"),
        ("classifier", {"min_batch_size": 0}, "at least 2 documents"),
        ("lm", {"epochs": nan}, "not a number"),
        ("lm", {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_trains_nothing_is_refused_first(part: str, wrong: dict, reason: str) -> None:
    parts, start = Parts([], [], [], []), replace(TINY_FIT, pretrained="none")
    check(start, parts)
    with pytest.raises(ValueError, match=reason):
        check(replace(start, **{part: replace(getattr(start, part), **wrong)}), parts)


@pytest.mark.parametrize(
    ("number", "bound", "names"),
    [
        (0, "above 0", ["lr", "frozen_lr", "max_grad_norm", "lr_decay", "lr_divisors"]),
        (-1, "above 0", ["lr", "frozen_lr", "max_grad_norm", "lr_decay", "lr_divisors"]),
        (nan, "above 0", ["lr", "max_grad_norm", "lr_decay"]),
        (-1, "at least 0", ["weight_decay", "dropout_scale", "ar", "tar", "skipgram_epochs"]),
        (nan, "at least 0", ["weight_decay", "dropout_scale", "ar", "tar"]),
        (0, "at least 1", ["bptt", "max_tokens", "negatives", "head_sizes", "min_batch_size"]),
        (4, "below 4", ["dropout_scale"]),
    ],
)
def test_numbers_have_bounds(number: float, bound: str, names: list[str]) -> None:
    """The same in all three trainings; a bound itself, where it may be reached, passes."""
    for name in names:
        for config in (PretrainConfig(), FinetuneConfig(), ClassifierConfig()):
            if not hasattr(config, name):
                continue
            several = isinstance(getattr(config, name), tuple)
            with pytest.raises(ValueError, match=f"{name} must be {bound}, not {number:g}"):
                check_bounds(
                    "it", replace(config, **{name: (1, number) if several else number}), LM
                )
    for config in (PretrainConfig(), FinetuneConfig(), ClassifierConfig(), TINY):
        check_bounds("it", config, LM)


def test_a_rate_that_trains_nothing_is_refused_by_each_stage() -> None:
    for config in (PretrainConfig(lr=0), FinetuneConfig(lr=nan)):
        with pytest.raises(
            ValueError, match=r"the language model's lr must be above 0, not (0|nan)"
        ):
            check_lm(config)
    with pytest.raises(ValueError, match=r"the classifier's lr must be above 0, not -1"):
        check_classifier(ClassifierConfig(lr=-1))


def test_shapes_that_no_net_has() -> None:
    check_model(TINY)
    for name in ("embedding_size", "hidden_size", "layers"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
            check_model(replace(TINY, **{name: 0}))
