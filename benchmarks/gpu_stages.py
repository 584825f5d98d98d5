"""What `gpu_step` trains: both nets at a size, on ids drawn by Zipf's law, by our loop or in the way of fastai's."""

from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ulmfit.config import (
    BASE,
    BOS_ID,
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    ClassifierConfig,
    FinetuneConfig,
    ModelConfig,
)
from ulmfit.nn.awd_lstm import detach
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.losses import ar_loss, classifier_loss, lm_loss, tar_loss
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.training.log import Log
from ulmfit.training.loop import BETA2, EPS, Optim, build_optimizer, set_rates
from ulmfit.training.phases import Phase, discriminative
from ulmfit.training.stage import Stage


@dataclass(frozen=True)
class Size:
    """Sizes of the nets and batches, and how often work is repeated."""

    model: ModelConfig
    vocab: int
    streams: int
    bptt: int
    lstm_rows: tuple[int, ...]  # batch sizes for the LSTMs alone
    filled_up: int  # units that the last LSTM is padded to
    logit_rows: tuple[int, ...]  # rows of logits held at a time
    documents: int  # per step
    lengths: tuple[int, ...]  # tokens of each document
    steps: int  # of the language model in a window
    repeats: int  # of anything else in a window
    windows: int


SIZES = {
    "base": Size(
        BASE,
        vocab=60_000,
        streams=256,
        bptt=80,
        lstm_rows=(256, 128, 64),
        filled_up=512,
        logit_rows=(256, 1024, 4096, 20_480),
        documents=64,
        lengths=(300, 1440),
        steps=20,
        repeats=5,
        windows=5,
    ),
    "tiny": Size(
        ModelConfig(embedding_size=8, hidden_size=12),
        vocab=60,
        streams=4,
        bptt=6,
        lstm_rows=(4, 2),
        filled_up=16,
        logit_rows=(5, 24),
        documents=4,
        lengths=(30, 100),
        steps=20,
        repeats=1,
        windows=1,
    ),
}


class Losses(Log):
    """A log that keeps the loss of every step as a tensor, without reading it off the GPU."""

    def __init__(self) -> None:
        super().__init__("")
        self.values: list[Tensor] = []

    def step(self, update: int, **values: Any) -> None:
        self.values.append(values["loss"])


def zipfian(vocab: int, *shape: int) -> NDArray[np.int64]:
    """Ids without padding, the r-th with a probability proportional to 1 / (r + 10)."""
    weights = 1 / (np.arange(vocab - BOS_ID) + 10)
    rng = np.random.default_rng(0)
    return BOS_ID + rng.choice(len(weights), shape, p=weights / weights.sum())


def lm_stage(size: Size, runtime: Runtime) -> Stage:
    """Fine-tuning of all layers with fastai's settings, as `prepare_lm` prepares it; an epoch has `size.steps` steps."""
    config, ids = FinetuneConfig(), zipfian(size.vocab, size.streams * size.bptt * size.steps + 1)
    corpus = Corpus(ids.astype(np.uint16), np.array([0, len(ids)]), None, (), "")
    net = LMNet(size.vocab, size.model, LM_DROPOUT.scaled(config.dropout_scale))
    return Stage(
        name="",  # no bar
        net=net.to(runtime.device),
        loss_fn=partial(lm_loss, ar=config.ar, tar=config.tar),
        batches=LMBatches(corpus, size.streams, size.bptt, shuffle=False),
        phases=[Phase(1.0, (config.lr,) * len(net.layer_groups()))],
        optim=Optim(config.weight_decay, config.max_grad_norm),
    )


def classifier_stage(size: Size, runtime: Runtime, length: int) -> Stage:
    """The last phase of a classifier's training, which trains all layers; an epoch has `size.repeats` steps."""
    config, ids = ClassifierConfig(), zipfian(size.vocab, size.documents * size.repeats, length)
    offsets, labels = np.arange(len(ids) + 1) * length, np.arange(len(ids)) % 2
    corpus = Corpus(ids.ravel().astype(np.uint16), offsets, labels, ("even", "odd"), "")
    dropout = CLASSIFIER_DROPOUT.scaled(config.dropout_scale)
    net = ClassifierNet(
        size.vocab, size.model, dropout, 2, bptt=config.bptt, max_len=config.max_len
    )
    lr, groups = config.lr / config.lr_divisors[-1], len(net.layer_groups())
    return Stage(
        name="",
        net=net.to(runtime.device),
        loss_fn=partial(classifier_loss, ar=config.ar, tar=config.tar),
        batches=DocumentBatches(corpus, size.documents, shuffle=False),
        phases=[Phase(1.0, discriminative(lr, config.lr_decay, groups, groups))],
        optim=Optim(config.weight_decay, config.max_grad_norm),
    )


def ours(stage: Stage, runtime: Runtime, steps: int) -> list[float]:
    """Trains the first `steps` of a stage by our own loop; returns the losses."""
    log, epochs = Losses(), steps / stage.batches.steps_per_epoch
    replace(stage, phases=[replace(stage.phases[0], epochs=epochs)]).train(runtime, log)
    return torch.stack(log.values).tolist()


def as_fastai(stage: Stage, runtime: Runtime, steps: int) -> list[float]:
    """The same for a language model in fastai's way: all logits at once, updates tensor by tensor, each loss read immediately."""
    net, phase = stage.net.train(), stage.phases[0]
    kept = ("params", "weight_decay", "layer_group")
    groups = build_optimizer(net, stage.optim.weight_decay, runtime).param_groups
    groups = [{name: group[name] for name in kept} for group in groups]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.0, BETA2), eps=EPS, foreach=False)
    scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision != "fp32")
    losses, state = [], None
    for step, batch in enumerate(islice(stage.batches.epoch(0), steps)):
        factor, momentum = phase.schedule(step / steps)
        set_rates(optimizer, [lr * factor for lr in phase.lrs], momentum)
        tokens, targets = (part.to(runtime.device) for part in batch)
        with runtime.autocast():
            out = net(tokens, state)
            main = F.cross_entropy(net.logits(out.dropped).flatten(0, 1), targets.flatten())
            loss = main + ar_loss(out.dropped) + tar_loss(out.raw)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), stage.optim.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        state = detach(out.state)
        losses.append(main.item())
    return losses
