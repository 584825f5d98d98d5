"""A run is a list of phases, and a phase is data: computed here, printed before training, tested without it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from ulmfit.config import ClassifierConfig, FinetuneConfig, PretrainConfig
from ulmfit.training import schedule
from ulmfit.training.schedule import OneCycle, Schedule

LEAST_DROPOUT = 0.3  # × a language model's, where its texts are read once or in part
LOWEST_RATE = 0.25  # × `lr`, where an epoch has many more steps than `gentle_beyond`


@dataclass(frozen=True)
class Phase:
    """A stretch of training with a fixed frozen set."""

    epochs: float  # passes over the data; a fraction stops inside a pass
    lrs: tuple[float, ...]  # peak learning rate per layer group, bottom to top; 0.0 = frozen
    schedule: Schedule = OneCycle()

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer updates of the whole phase, at least one."""
        return max(1, round(self.epochs * steps_per_epoch))


def discriminative(lr: float, decay: float, groups: int, trained: int) -> tuple[float, ...]:
    """`lr` for the top group, divided by `decay` per group downwards; below the top `trained` ones 0 (paper §3.2)."""
    return tuple(
        lr / decay ** (groups - 1 - i) if i >= groups - trained else 0.0 for i in range(groups)
    )


def layer_rates(
    lr: float | slice | Sequence[float], groups: int, trained: int | None = None
) -> tuple[float, ...]:
    """Peak rates per layer group, written as in fastai; groups below the top `trained` ones get 0.0, which is frozen.

    A number: all alike. `slice(low, high)`: a geometric series, bottom to top. `slice(high)`: `high` for the top group
    and a tenth of it for the others. A sequence: one rate per group, bottom to top.
    """
    trained = groups if trained is None else trained
    if not 1 <= trained <= groups:
        raise ValueError(f"trained is {trained}; give 1 (the top layer group) to {groups} (all)")
    if isinstance(lr, slice):
        if not lr.stop or lr.start == 0 or lr.step is not None:
            raise ValueError(
                f"{lr} gives no learning rates; give slice(low, high) or slice(high), above 0"
            )
        if lr.start is None:
            rates = [lr.stop / 10] * (groups - 1) + [lr.stop]
        else:
            ratio = (lr.stop / lr.start) ** (1 / max(1, groups - 1))
            rates = [lr.stop / ratio ** (groups - 1 - i) for i in range(groups)]
    else:
        rates = [lr] * groups if isinstance(lr, int | float) else list(lr)
    if len(rates) != groups:
        raise ValueError(
            f"{len(rates)} learning rates for {groups} layer groups; give one per group"
        )
    return tuple(rate if i >= groups - trained else 0.0 for i, rate in enumerate(rates))


def pretrain_phases(config: PretrainConfig, groups: int, tokens: int) -> list[Phase]:
    """One phase, everything trained. `tokens` = tokens of one epoch."""
    epochs = config.epochs * _share(config.max_tokens, config.epochs * tokens)
    return [Phase(epochs, (config.lr,) * groups, schedule.named(config.schedule))]


def finetune_phases(
    config: FinetuneConfig, groups: int, tokens: int, steps_per_epoch: int
) -> list[Phase]:
    """New words first (top group: embedding and decoder), then all layer groups at one rate, as fastai's recipe.

    `tokens` = tokens of one epoch; `max_tokens` also shortens what `min_steps` made longer.
    """
    shape = schedule.named(config.schedule)
    frozen = Phase(config.frozen_epochs, (0.0,) * (groups - 1) + (config.frozen_lr,), shape)
    unfrozen = Phase(config.epochs, (config.lr,) * groups, shape)
    phases = long_enough([frozen, unfrozen], steps_per_epoch, config.min_steps)
    share = _share(config.max_tokens, sum(p.epochs for p in phases) * tokens)
    return [replace(p, epochs=p.epochs * share) for p in phases]


def dropout_factor(config: FinetuneConfig, phases: Sequence[Phase]) -> float:
    """Factor on all dropout: 1 from `full_dropout_passes` passes over the texts on, less with fewer, down to `LEAST_DROPOUT`.
    Texts that are read once can't be memorised, and dropout only slows learning; those read often are (docs/log.md)."""
    passes = sum(phase.epochs for phase in phases)
    if passes >= config.full_dropout_passes:
        return 1.0
    return max(LEAST_DROPOUT, passes / config.full_dropout_passes)


def classifier_phases(
    config: ClassifierConfig, groups: int, batch_size: int, steps_per_epoch: int, documents: int
) -> list[Phase]:
    """The unfreezing that the config names, for `documents` labelled ones; `lr` scales with the batch size in use, and is
    lower where an epoch is long."""
    lr = config.lr * batch_size / ClassifierConfig.batch_size * gentleness(config, steps_per_epoch)
    unfreezing = quick_unfreezing if config.unfreezing == "quick" else gradual_unfreezing
    phases = unfreezing(config, lr, groups)
    if documents < config.head_only_below:
        head = [replace(p, lrs=(0.0,) * (groups - 1) + p.lrs[-1:]) for p in phases if p.epochs]
        phases = head[:1]
    return long_enough(phases, steps_per_epoch, config.min_steps)


def gentleness(config: ClassifierConfig, steps_per_epoch: int) -> float:
    """Factor on all rates: 1 up to `gentle_beyond` steps an epoch, then down to `LOWEST_RATE`. At the rate at which a hundred
    steps learn most, many hundred end at chance level (docs/log.md)."""
    if not 0 < config.gentle_beyond < steps_per_epoch:
        return 1.0
    return max(LOWEST_RATE, config.gentle_beyond / steps_per_epoch)


def long_enough(phases: Sequence[Phase], steps_per_epoch: int, min_steps: int) -> list[Phase]:
    """Leaves out phases without epochs, and multiplies the epochs of those with fewer than `min_steps` steps until they have
    as many."""
    return [
        replace(p, epochs=p.epochs * max(1, ceil(min_steps / (p.epochs * steps_per_epoch))))
        for p in phases
        if p.epochs
    ]


def gradual_unfreezing(config: ClassifierConfig, lr: float, groups: int) -> list[Phase]:
    """Head, top two groups, top three, …; the last phase trains everything (paper §3.3)."""
    if len(config.epochs) != len(config.lr_divisors):
        raise ValueError(
            f"epochs has {len(config.epochs)} phases and lr_divisors {len(config.lr_divisors)}; give one of each per phase"
        )
    phases = []
    for i, (epochs, divisor) in enumerate(zip(config.epochs, config.lr_divisors, strict=True)):
        trained = groups if i == len(config.epochs) - 1 else min(i + 1, groups)
        lrs = discriminative(lr / divisor, config.lr_decay, groups, trained)
        phases.append(Phase(epochs, lrs, schedule.named(config.schedule)))
    return phases


def quick_unfreezing(config: ClassifierConfig, lr: float, groups: int) -> list[Phase]:
    """One phase for the head, one for everything at half the rate, 1/100 at the bottom (fastai `fine_tune`)."""
    head, rest = config.epochs[0], sum(config.epochs[1:])
    half, decay = lr / 2, 100 ** (1 / max(1, groups - 1))
    return [
        Phase(head, discriminative(lr, 1.0, groups, 1), OneCycle(warm_up=0.99)),
        Phase(rest, discriminative(half, decay, groups, groups), OneCycle(warm_up=0.3, div=5.0)),
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


def documents_note(
    config: PretrainConfig | FinetuneConfig | ClassifierConfig, batch_size: int, documents: int
) -> str:
    """What the plan says where the rules for few documents, or for many, have changed it; empty otherwise."""
    changes = []
    if not isinstance(config, PretrainConfig) and batch_size != config.batch_size:
        changes.append(
            f"batch {config.batch_size} → {batch_size}, so that a phase has at least {config.min_steps} steps"
        )
    if isinstance(config, ClassifierConfig) and documents < config.head_only_below:
        changes.append("only the head is trained")
    note = f" (few documents: {'; '.join(changes)})" if changes else ""
    if isinstance(config, ClassifierConfig):
        steps = ceil((documents - 1) / batch_size)  # a last document that is alone joins the others
        factor = gentleness(config, steps)
        note += f" (many steps per epoch: rates × {factor:.2f})" if factor < 1 else ""
    return note
