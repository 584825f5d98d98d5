"""What is refused before a training, and what the stages hold when they are ready."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, TINY_FIT

from ulmfit import prepare
from ulmfit.config import ClassifierConfig, PretrainConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare import check_start, classifier_stage, pretrain_stage, settled, start_lm
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Document

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
