"""What the stages hold when they are ready."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import TINY

from ulmfit import prepare_lm
from ulmfit.config import (
    BOS_ID,
    LM_DROPOUT,
    ClassifierConfig,
    Direction,
    FinetuneConfig,
    PretrainConfig,
    TokenizerConfig,
)
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.prepare_lm import finetune_stage, pretrain_stage, start_lm
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.training.loop import Optim
from ulmfit.training.schedule import SlantedTriangular

ENGLISH = TokenizerConfig()


def test_none_starts_from_the_texts(reviews: list[Document]) -> None:
    lm = start_lm("none", "backward", reviews, replace(ENGLISH, min_freq=2), seed=0)
    assert lm.config.direction == "backward" and "great" in lm.tokenizer.vocab


def test_a_tokenizer_other_than_the_default_one_is_said(
    reviews: list[Document], lm_directory: Path
) -> None:
    said: list[str] = []
    start_lm(str(lm_directory), "forward", reviews, ENGLISH, 0, said.append)
    assert not said
    start_lm(str(lm_directory), "forward", reviews, replace(ENGLISH, lang="de"), 0, said.append)
    assert said == [f"tokenizer of {lm_directory}: words, lang en, rules fastai"]


def test_held_out_text_is_encoded_as_far_as_it_is_read(
    reviews: list[Document], runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_lm, "VALID_TOKENS", 40)
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
    assert stage.evaluate is not None
    found = stage.evaluate()
    assert found["valid_perplexity"] == pytest.approx(math.exp(found["valid_loss"]))
    assert seen[0] < 40  # without its last document it had not been enough
    (kept,) = tmp_path.iterdir()  # the encoded corpus, by its words and texts
    assert kept.name.startswith(lm.tokenizer.fingerprint)


def test_labels_of_a_language_models_texts_are_not_looked_at(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    """Of several kinds they would be refused, and of several labels a text a table would be kept."""
    mixed = [replace(d, label=(4.0, "bad", ("a", "b"))[i % 3]) for i, d in enumerate(reviews)]
    tuned, _ = finetune_stage(lm, mixed, FinetuneConfig(valid_fraction=0.1), ENGLISH, runtime)
    config = PretrainConfig(batch_size=2, bptt=10, negatives=4)
    made, _ = pretrain_stage(mixed, (), TINY, ENGLISH, config, runtime, tmp_path)
    assert tuned.corpus.labels is None and made.corpus.labels is None


def test_the_plan_says_what_few_documents_changed(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    few, many = (
        ClassifierConfig(batch_size=64, min_steps=4, min_batch_size=8),
        ClassifierConfig(batch_size=8, min_steps=1),
    )
    plans = [classifier_stage(lm, reviews, [], c, runtime)[0].plan() for c in (few, many)]
    assert "few documents: batch 64 → 8, so that a phase has at least 4 steps" in plans[0]
    assert "few documents" not in plans[1]
    config = FinetuneConfig(batch_size=64, bptt=10)
    stage, _ = prepare_lm.finetune_stage(lm, reviews, config, ENGLISH, runtime)
    assert "few documents: batch 64 → 8" in stage.plan()


@pytest.mark.parametrize(("epochs", "factor"), [(0.5, 0.3), (2.0, 0.5), (4.0, 1.0)])
def test_the_net_has_the_dropout_of_its_passes(
    epochs: float, factor: float, lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    config = FinetuneConfig(
        frozen_epochs=0, epochs=epochs, batch_size=8, bptt=10, min_steps=1, dropout_scale=0.5
    )
    config = replace(config, full_dropout_passes=4.0)
    stage, tuned = finetune_stage(lm, reviews, config, ENGLISH, runtime)
    assert tuned.net.encoder.dropout == LM_DROPOUT.scaled(0.5 * factor)
    said = f"few passes over them: dropout × {factor:g}"
    assert (said in stage.plan()) == (factor < 1)


def test_fine_tuning_keeps_a_models_pieces(reviews: list[Document], runtime: Runtime) -> None:
    """And with `keep_words=False` learns new ones, of which known pieces keep their rows."""
    pytest.importorskip("sentencepiece")
    said: list[str] = []
    pieces = TokenizerConfig(kind="sentencepiece")
    lm = start_lm("none", "forward", reviews[:30], pieces, 0, said.append)
    assert len(said) == 1 and f"{len(lm.tokenizer)} pieces" in said[0]
    config = FinetuneConfig(batch_size=8, bptt=10)
    new = [Document("Völlig andere Texte, mit anderen Wörtern."), *reviews[30:]]
    _, tuned = prepare_lm.finetune_stage(lm, new, config, ENGLISH, runtime)
    assert tuned.tokenizer is lm.tokenizer
    config = replace(config, keep_words=False)
    _, tuned = prepare_lm.finetune_stage(lm, new, config, ENGLISH, runtime)
    assert tuned.tokenizer != lm.tokenizer and tuned.tokenizer.config == pieces
    vocabularies = lm.tokenizer.vocab, tuned.tokenizer.vocab
    old, now = (vocab.index("e") for vocab in vocabularies)
    rows = [model.net.encoder.embedding.weight for model in (lm, tuned)]
    assert rows[0][old].tolist() == rows[1][now].tolist()


def test_skipgram_comes_before_the_language_model(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    config = FinetuneConfig(skipgram_epochs=2, bptt=10)
    stage, made = prepare_lm.finetune_stage(lm, reviews, config, ENGLISH, runtime)
    assert stage.warm_up is not None and "2 passes of skip-gram" in stage.plan()
    before = made.net.encoder.embedding.weight.detach().clone()
    stage.warm_up.run(made.net)
    assert not torch.equal(before, made.net.encoder.embedding.weight)
    few = FinetuneConfig(skipgram_epochs=2, skipgram_tokens=50, bptt=10)
    said = prepare_lm.finetune_stage(lm, reviews, few, ENGLISH, runtime)[0].plan()
    assert re.search(r"1 pass of skip-gram over \d\d of [\d,]+ tokens", said)
    plain, _ = prepare_lm.finetune_stage(lm, reviews, FinetuneConfig(bptt=10), ENGLISH, runtime)
    assert plain.warm_up is None


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_texts_are_trained_on_in_the_direction_of_the_model_and_in_another_order_each_time(
    direction: Direction, lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    lm = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
    config = FinetuneConfig(batch_size=8, bptt=10, valid_fraction=0.0)
    stage, _ = finetune_stage(lm, reviews, config, ENGLISH, runtime)
    other, _ = finetune_stage(lm, reviews, config, ENGLISH, replace(runtime, seed=1))
    first, *others = (
        next(iter(batches.epoch(epoch))).tokens
        for batches, epoch in ((stage.batches, 0), (stage.batches, 1), (other.batches, 0))
    )
    assert (first[0, 0] == BOS_ID) == (direction == "forward")  # a document's first token, or last
    assert not any(torch.equal(first, tokens) for tokens in others)


def test_the_perplexity_is_of_texts_that_are_not_trained_on(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    tuning, _ = finetune_stage(lm, reviews, FinetuneConfig(valid_fraction=0.2), ENGLISH, runtime)
    config = PretrainConfig(batch_size=2, bptt=10, negatives=4, valid_fraction=0.2)
    training, _ = pretrain_stage(reviews, (), TINY, ENGLISH, config, runtime, tmp_path)
    for stage in (tuning, training):
        assert len(stage.corpus) == 48 and stage.evaluate is not None


def test_what_is_told_of_a_language_model_is_what_it_is_trained_with(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    numbers = {"ar": 0.3, "tar": 0.7, "weight_decay": 0.05, "max_grad_norm": 0.2}
    config = FinetuneConfig(
        softmax="sampled", negatives=9, schedule="slanted_triangular", **numbers
    )
    config = replace(config, bptt=2, min_steps=7)  # pieces of text count, not documents
    stage, _ = finetune_stage(lm, reviews, config, ENGLISH, runtime)
    told = stage.loss_fn.keywords  # type: ignore[attr-defined]
    assert (told["ar"], told["tar"], told["sampler"].k) == (0.3, 0.7, 9)
    assert stage.optim == Optim(0.05, 0.2) and stage.batches.batch_size == 64  # type: ignore[attr-defined]
    assert all(phase.schedule == SlantedTriangular() for phase in stage.phases)
