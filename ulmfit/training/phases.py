"""A run is a list of phases, and a phase is data: computed here, printed before training, tested without it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.config import ClassifierConfig, FinetuneConfig, PretrainConfig, few_documents
from ulmfit.training import schedule
from ulmfit.training.schedule import OneCycle, Schedule


@dataclass(frozen=True)
class Phase:
    """A stretch of training with a fixed frozen set."""

    epochs: float  # passes over the data; a fraction stops inside a pass
    lrs: tuple[float, ...]  # peak learning rate per layer group, bottom to top; 0.0 = frozen
    schedule: Schedule

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer updates of the whole phase, at least one."""
        return max(1, round(self.epochs * steps_per_epoch))


def discriminative(lr: float, decay: float, groups: int, trained: int) -> tuple[float, ...]:
    """`lr` for the top group, divided by `decay` per group downwards; below the top `trained` ones 0 (paper §3.2)."""
    return tuple(
        lr / decay ** (groups - 1 - i) if i >= groups - trained else 0.0 for i in range(groups)
    )


def pretrain_phases(config: PretrainConfig, groups: int, tokens: int) -> list[Phase]:
    """One phase, everything trained. `tokens` = tokens of one epoch."""
    epochs = config.epochs * _share(config.max_tokens, config.epochs * tokens)
    return [Phase(epochs, (config.lr,) * groups, schedule.named(config.schedule))]


def finetune_phases(
    config: FinetuneConfig, groups: int, tokens: int, repeats: int = 1
) -> list[Phase]:
    """New words first (top group: embedding and decoder), then all layer groups at one rate, as fastai's recipe.

    `tokens` = tokens of one epoch; `repeats` multiplies the epochs of a small corpus (`few_documents`).
    """
    epochs = (config.frozen_epochs * repeats, config.epochs * repeats)
    share = _share(config.max_tokens, sum(epochs) * tokens)
    shape = schedule.named(config.schedule)
    frozen = Phase(epochs[0] * share, (0.0,) * (groups - 1) + (config.frozen_lr,), shape)
    return [p for p in (frozen, Phase(epochs[1] * share, (config.lr,) * groups, shape)) if p.epochs]


def classifier_phases(
    config: ClassifierConfig, groups: int, batch_size: int, repeats: int = 1
) -> list[Phase]:
    """The unfreezing that the config names; `lr` scales with the batch really used."""
    lr = config.lr * batch_size / ClassifierConfig.batch_size
    if config.unfreezing == "quick":
        return quick_unfreezing(config, lr, groups, repeats)
    return gradual_unfreezing(config, lr, groups, repeats)


def gradual_unfreezing(
    config: ClassifierConfig, lr: float, groups: int, repeats: int = 1
) -> list[Phase]:
    """Head, top two groups, top three, …; the last phase trains everything (paper §3.3)."""
    if len(config.epochs) != len(config.lr_divisors):
        raise ValueError(
            f"epochs has {len(config.epochs)} phases and lr_divisors {len(config.lr_divisors)}; give one of each per phase"
        )
    phases = []
    for i, (epochs, divisor) in enumerate(zip(config.epochs, config.lr_divisors, strict=True)):
        trained = groups if i == len(config.epochs) - 1 else min(i + 1, groups)
        lrs = discriminative(lr / divisor, config.lr_decay, groups, trained)
        phases.append(Phase(epochs * repeats, lrs, schedule.named(config.schedule)))
    return phases


def quick_unfreezing(
    config: ClassifierConfig, lr: float, groups: int, repeats: int = 1
) -> list[Phase]:
    """One phase for the head, one for everything at half the rate, 1/100 at the bottom (fastai `fine_tune`)."""
    head, rest = config.epochs[0], sum(config.epochs[1:])
    half, decay = lr / 2, 100 ** (1 / max(1, groups - 1))
    return [
        Phase(head * repeats, discriminative(lr, 1.0, groups, 1), OneCycle(warm_up=0.99)),
        Phase(
            rest * repeats,
            discriminative(half, decay, groups, groups),
            OneCycle(warm_up=0.3, div=5.0),
        ),
    ]


def _share(max_tokens: int | None, wanted: float) -> float:
    return 1.0 if max_tokens is None else min(1.0, max_tokens / max(1.0, wanted))


def plan(
    phases: Sequence[Phase], group_names: Sequence[str], steps_per_epoch: int
) -> list[dict[str, str]]:
    """The phases as rows of a table: what is trained, how long, how fast."""
    rows = []
    for number, phase in enumerate(phases, 1):
        row = {
            "phase": str(number),
            "epochs": f"{phase.epochs:.3g}",
            "steps": f"{phase.steps(steps_per_epoch):,}",
        }
        row |= {
            name: f"{lr:.1e}" if lr else "frozen"
            for name, lr in zip(group_names, phase.lrs, strict=True)
        }
        rows.append(row | {"schedule": type(phase.schedule).__name__})
    return rows


__all__ = [
    "Phase",
    "classifier_phases",
    "discriminative",
    "few_documents",
    "finetune_phases",
    "gradual_unfreezing",
    "plan",
    "pretrain_phases",
    "quick_unfreezing",
]
