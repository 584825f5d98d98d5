"""What is refused before a training, and what the stages hold when they are ready."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, TINY_FIT

from ulmfit import prepare
from ulmfit.config import ClassifierConfig, FinetuneConfig, PretrainConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare import (
    check,
    check_model,
    check_start,
    classifier_stage,
    pretrain_stage,
    settled,
    start_lm,
)
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus, Document
from ulmfit.text.splits import Parts

ENGLISH, GERMAN = TokenizerConfig(), TokenizerConfig(lang="de", rules="clean")


def test_language_and_rules_are_the_pretrained_models() -> None:
    """Left out they are taken over; asked for, they have to fit."""
    wanted = TokenizerConfig(min_freq=7)
    assert settled(wanted, GERMAN) == replace(wanted, lang="de", rules="clean")
    assert settled(GERMAN, GERMAN) == GERMAN
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


def test_none_starts_from_the_texts(reviews: list[Document]) -> None:
    lm = start_lm("none", "backward", reviews, replace(ENGLISH, min_freq=2), seed=0)
    assert lm.config.direction == "backward" and "great" in lm.tokenizer.vocab


def test_held_out_text_is_encoded_as_far_as_it_is_read(
    reviews: list[Document], runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "VALID_TOKENS", 40)
    seen: list[int] = []
    real = LanguageModel.perplexity_of

    def perplexity_of(self, corpus, *args, **kwargs):
        seen.append(corpus.n_tokens - len(corpus[len(corpus) - 1]))
        assert corpus.n_tokens >= 40
        return real(self, corpus, *args, **kwargs)

    monkeypatch.setattr(LanguageModel, "perplexity_of", perplexity_of)
    config = PretrainConfig(batch_size=2, bptt=10, negatives=4)
    given = (TINY, TokenizerConfig(min_freq=2), config, runtime, tmp_path)
    stage, lm = pretrain_stage(reviews[:20], reviews[20:], *given)
    assert stage.evaluate is not None and stage.evaluate()["valid_perplexity"] > 1
    assert seen[0] < 40  # without its last document it had not been enough
    assert list(tmp_path.iterdir()) == [tmp_path / lm.tokenizer.fingerprint]


def test_a_classifier_needs_labels(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    with pytest.raises(ValueError, match="1 of 11 documents have no label"):
        classifier_stage(lm, [*reviews[:10], Document("x")], [], ClassifierConfig(), runtime)
    stage, made = classifier_stage(lm, reviews[:10], [], TINY_FIT.classifier, runtime)
    assert made.labels == ("bad", "good") and stage.evaluate is None


@pytest.mark.parametrize(
    ("part", "wrong", "reason"),
    [
        ("classifier", {"batch_size": 1}, "at least 2 documents"),
        ("classifier", {"epochs": (0, 0, 0, 0)}, "none trains anything"),
        ("classifier", {"epochs": (1, 1, 1, -1)}, "negative"),
        ("classifier", {"epochs": (1,)}, "one of each per phase"),
        ("lm", {"epochs": 0.0, "frozen_epochs": 0.0}, "nothing would be trained"),
        ("lm", {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_trains_nothing_is_refused_first(part: str, wrong: dict, reason: str) -> None:
    parts, start = Parts([], [], [], []), replace(TINY_FIT, pretrained="none")
    check(start, parts)
    with pytest.raises(ValueError, match=reason):
        check(replace(start, **{part: replace(getattr(start, part), **wrong)}), parts)


def test_shapes_that_no_net_has() -> None:
    check_model(TINY)
    for name in ("embedding_size", "hidden_size", "layers"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
            check_model(replace(TINY, **{name: 0}))


def test_the_validation_set_is_encoded_once(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, made = classifier_stage(lm, reviews[:40], reviews[40:], TINY_FIT.classifier, runtime)
    assert stage.evaluate is not None
    whole = made.evaluate(reviews[40:], runtime)
    monkeypatch.setattr(Corpus, "build", None)
    assert stage.evaluate() == {f"valid_{k}": whole[k] for k in ("accuracy", "macro_f1")}


def test_the_plan_says_what_few_documents_changed(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    few, many = (
        ClassifierConfig(batch_size=64, min_steps=4),
        ClassifierConfig(batch_size=8, min_steps=1),
    )
    plans = [classifier_stage(lm, reviews, [], c, runtime)[0].plan() for c in (few, many)]
    assert "few documents: batch 64 → 8, so that a phase has at least 4 steps" in plans[0]
    assert "few documents" not in plans[1]
    config = FinetuneConfig(batch_size=64, bptt=10)
    stage, _ = prepare.finetune_stage(lm, reviews, config, ENGLISH, runtime)
    assert "few documents: batch 64 → 8" in stage.plan()
