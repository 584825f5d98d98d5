"""What training a language model starts from: the model, and a `Stage` with net, data and phases."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ulmfit import pretrained
from ulmfit.checks import (
    check_corpus,
    check_embeddings,
    check_lm,
    check_model,
    settled,
)
from ulmfit.config import (
    LM_DROPOUT,
    Direction,
    FinetuneConfig,
    ModelConfig,
    PretrainConfig,
    TokenizerConfig,
    few_documents,
)
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import lm_loss
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.text.batches import LMBatches
from ulmfit.text.corpus import Corpus, Texts
from ulmfit.text.document import Document
from ulmfit.text.splits import hold_out, hold_out_encoded
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.loop import Optim
from ulmfit.training.phases import (
    Phase,
    documents_note,
    dropout_factor,
    finetune_phases,
    pretrain_phases,
)
from ulmfit.training.stage import Stage, WarmUp
from ulmfit.vectors import continue_skipgram, init_embeddings, within

VALID_TOKENS = 30_000  # of held-out text, enough to measure perplexity after an epoch
VALID_STREAMS = 16  # parallel streams that they are read in


def start_lm(
    name: str,
    direction: Direction,
    texts: Texts,
    tokenizer: TokenizerConfig,
    seed: int,
    say: Say = silent,
) -> LanguageModel:
    """The pretrained model; for "none", random weights over a vocabulary built from the texts."""
    lm = pretrained.load(name, direction)
    if lm is None:
        seed_everything(seed)
        return pretrained.blank(_tokenizer(texts, tokenizer, say), direction)
    made = lm.tokenizer.config
    if (made.kind, made.lang, made.rules) != (tokenizer.kind, tokenizer.lang, tokenizer.rules):
        say(f"tokenizer of {name}: {made.kind}, lang {made.lang}, rules {made.rules}")
    return lm


def pretrain_stage(
    documents: Texts,
    valid: Texts,
    model: ModelConfig,
    tokenizer: Tokenizer | TokenizerConfig,
    config: PretrainConfig,
    runtime: Runtime,
    folder: Path,
    say: Say = silent,
) -> tuple[Stage, LanguageModel]:
    """The training of `pretrain_lm`, and the model it will train. The encoded corpus is kept in `folder`."""
    check_model(model)
    check_lm(config)
    tokens = tokenizer if isinstance(tokenizer, TokenizerConfig) else tokenizer.config
    check_embeddings(config.init_embeddings, tokens, model.embedding_size)
    seed_everything(runtime.seed)
    if not valid:
        documents, valid = _held_out(documents, config.valid_fraction, runtime.seed)
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = _tokenizer(documents, tokenizer, say)
    lm = LanguageModel.create(tokenizer, model)
    if isinstance(documents, Corpus):
        check_corpus(documents, tokenizer)
        corpus = documents
    else:
        path = folder / f"{tokenizer.fingerprint}-{fingerprint(documents)[:16]}"
        with runtime.world.in_turn():
            corpus = (
                Corpus.load(path)
                if path.exists()
                else Corpus.build(_unlabelled(documents), tokenizer, path=path)
            )
    if config.init_embeddings and runtime.world.first:  # training gives its weights to the others
        init_embeddings(lm, config.init_embeddings, corpus, runtime.seed, say)
    batches = lm_batches(lm, corpus, config.batch_size, config, runtime)
    phases = pretrain_phases(config, len(lm.net.layer_groups()), batches.tokens_per_epoch)
    return lm_stage("pre-training", lm, corpus, valid, batches, phases, config, runtime), lm


def finetune_stage(
    lm: LanguageModel,
    documents: Texts,
    config: FinetuneConfig,
    tokenizer: TokenizerConfig,
    runtime: Runtime,
) -> tuple[Stage, LanguageModel]:
    """The training of `finetune_lm`, and the model it will train: `lm` over the vocabulary of the texts, or of a corpus."""
    check_lm(config)
    seed_everything(runtime.seed)
    documents, valid = _held_out(documents, config.valid_fraction, runtime.seed)
    if isinstance(documents, Corpus):
        check_corpus(documents, lm.tokenizer)
        corpus, lm = documents, lm.with_vocab(_tokenizer(documents, tokenizer))
    else:
        tokenizer = settled(tokenizer, lm.tokenizer.config)
        texts, keep = [d.text for d in documents], config.keep_words
        lm = lm.with_vocab(lm.tokenizer.adapted(texts, tokenizer, keep_words=keep))
        corpus = Corpus.build(_unlabelled(documents), lm.tokenizer)
    rows = corpus.n_tokens // config.bptt
    batch_size = few_documents(rows, config)
    batches = lm_batches(lm, corpus, batch_size, config, runtime)
    phases = finetune_phases(
        config, len(lm.net.layer_groups()), batches.tokens_per_epoch, batches.steps_per_epoch
    )
    factor = dropout_factor(config, phases)
    batches.note += f" (few passes over them: dropout × {factor:.2g})" if factor < 1 else ""
    config = replace(config, dropout_scale=config.dropout_scale * factor)
    stage = lm_stage("language model", lm, corpus, valid, batches, phases, config, runtime)
    if config.skipgram_epochs:
        part, passes = within(corpus, config.skipgram_epochs, config.skipgram_tokens, runtime.seed)
        of = f" of {corpus.n_tokens:,}" if part is not corpus else ""
        stage.warm_up = WarmUp(
            f"{passes} {'passes' if passes > 1 else 'pass'} of skip-gram over {part.n_tokens:,}{of} tokens",
            partial(continue_skipgram, corpus=part, epochs=passes, seed=runtime.seed),
        )
    return stage, lm


def lm_stage(
    name: str,
    lm: LanguageModel,
    corpus: Corpus,
    valid: Texts,
    batches: LMBatches,
    phases: list[Phase],
    config: PretrainConfig | FinetuneConfig,
    runtime: Runtime,
) -> Stage:
    """What pre-training and fine-tuning share: dropout, objective, perplexity on held-out text."""
    lm.net.encoder.dropout = LM_DROPOUT.scaled(config.dropout_scale)
    sampler = None
    if config.softmax == "sampled":
        counts = torch.from_numpy(corpus.counts(len(lm.tokenizer)))
        sampler = NegativeSampler(counts, config.negatives, world=runtime.world)
        sampler = sampler.to(runtime.device)
    held = None
    if isinstance(valid, Corpus):
        enough = int(np.searchsorted(valid.offsets, VALID_TOKENS))  # as `build` below stops
        held = valid.subset(range(min(enough, len(valid))))
    elif valid:
        texts = _unlabelled(valid)
        held = Corpus.build(texts, lm.tokenizer, max_tokens=VALID_TOKENS, description="")

    def evaluate() -> dict[str, float]:
        assert held is not None
        perplexity = lm.perplexity_of(held, runtime, batch_size=VALID_STREAMS)
        return {"valid_loss": math.log(perplexity), "valid_perplexity": perplexity}

    return Stage(
        name=f"{name}, {lm.config.direction}",
        net=lm.net,
        loss_fn=partial(
            lm_loss, ar=config.ar, tar=config.tar, sampler=sampler, world=runtime.world
        ),
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
    """Shuffled parallel streams in the model's direction. ValueError: fewer streams than processes."""
    if batch_size < runtime.world.size:
        raise ValueError(
            f"{batch_size} streams of text can't be split among {runtime.world.size} processes: start fewer, or raise batch_size"
        )
    return LMBatches(
        corpus,
        batch_size,
        config.bptt,
        shuffle=True,
        seed=runtime.seed,
        backward=lm.config.direction == "backward",
        note=documents_note(config, batch_size, len(corpus)),
    )


def _held_out(documents: Texts, fraction: float, seed: int) -> tuple[Texts, Texts]:
    if isinstance(documents, Corpus):
        return hold_out_encoded(documents, fraction, seed)
    return hold_out(documents, fraction, seed, stratify=False)


def _unlabelled(documents: Sequence[Document]) -> list[Document]:
    """The texts alone: a corpus refuses labels of several kinds, which a language model does not look at."""
    return [Document(document.text) for document in documents]


def _tokenizer(texts: Texts, config: TokenizerConfig, say: Say = silent) -> Tokenizer:
    """The tokenizer of a corpus, or a new one built from documents."""
    if isinstance(texts, Corpus):
        if texts.tokenizer is None:
            raise ValueError("the corpus has no tokenizer; make it with `ulmfit tokenize`")
        return texts.tokenizer
    return Tokenizer.build([d.text for d in texts], config, say=say)
