"""Plans are data: freezing depth, rates per layer group, lengths."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ulmfit.config import SMALL_FINETUNE, ClassifierConfig, FinetuneConfig, PretrainConfig
from ulmfit.training.phases import (
    Phase,
    classifier_phases,
    discriminative,
    documents_note,
    dropout_factor,
    finetune_phases,
    gradual_unfreezing,
    layer_rates,
    long_enough,
    plan,
    pretrain_phases,
)
from ulmfit.training.schedule import OneCycle, SlantedTriangular

GROUPS = 5


def test_discriminative_rates_are_fastais_slices(goldens: Path) -> None:
    recorded = json.loads((goldens / "lr_slices.json").read_text())["lr"]
    for name, peak in (("slice(1e-2/2.6**4,1e-2)", 1e-2), ("slice(5e-3/(2.6**4),5e-3)", 5e-3)):
        assert discriminative(peak, 2.6, GROUPS, GROUPS) == pytest.approx(recorded[name])


def test_rates_are_written_as_in_fastai(goldens: Path) -> None:
    recorded = json.loads((goldens / "lr_slices.json").read_text())
    written: dict[str, float | slice | list[float]] = {
        "slice(1e-5,1e-3)": slice(1e-5, 1e-3),
        "slice(1e-3)": slice(1e-3),
        "2e-3": 2e-3,
        "list": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        "slice(1e-2/2.6**4,1e-2)": slice(1e-2 / 2.6**4, 1e-2),
        "slice(5e-3/(2.6**4),5e-3)": slice(5e-3 / (2.6**4), 5e-3),
    }
    assert written.keys() == recorded["lr"].keys()
    for name, lr in written.items():
        whole = layer_rates(lr, recorded["n_groups"])
        assert whole == pytest.approx(recorded["lr"][name], rel=1e-12), name
        # freeze_to(-2): the same rates for the top two, nothing for the others
        assert layer_rates(lr, 5, trained=2) == (0.0, 0.0, 0.0, *whole[3:])


def test_rates_that_fit_no_net_are_refused() -> None:
    for lr in (slice(None), slice(1, 2, 3), slice(0, 1e-3), slice(0)):
        with pytest.raises(ValueError, match="gives no learning rates"):
            layer_rates(lr, 3)
    with pytest.raises(ValueError, match="2 learning rates for 3 layer groups"):
        layer_rates((0.1, 0.2), 3)
    for trained in (0, 4):
        with pytest.raises(ValueError, match=r"trained is \d; give 1 .* to 3"):
            layer_rates(0.1, 3, trained)


def test_gradual_unfreezing_opens_one_group_at_a_time_and_ends_with_all() -> None:
    phases = gradual_unfreezing(ClassifierConfig(), 0.05, GROUPS)
    assert [sum(lr > 0 for lr in phase.lrs) for phase in phases] == [1, 2, 3, GROUPS]
    assert [phase.lrs[-1] for phase in phases] == pytest.approx([0.05, 0.025, 0.0125, 0.0025])
    for phase in phases:
        rates = [lr for lr in phase.lrs if lr]
        assert [high / low for low, high in itertools.pairwise(rates)] == pytest.approx(
            [2.6] * (len(rates) - 1)
        )


def test_quick_unfreezing_is_fastais_fine_tune() -> None:
    head, rest = classifier_phases(
        ClassifierConfig(unfreezing="quick", lr=2e-3, epochs=(1, 4), lr_divisors=(1, 1)),
        5,
        64,
        99,
        6336,
    )
    assert (head.epochs, rest.epochs) == (1, 4)
    assert head.lrs == (0, 0, 0, 0, 2e-3)
    assert rest.lrs == pytest.approx([1e-5 * 100 ** (i / 4) for i in range(5)])
    phases = classifier_phases(ClassifierConfig(unfreezing="quick"), 5, 64, 99, 6336)
    assert [phase.epochs for phase in phases] == [1, 1 + 1 + 2]
    assert (head.schedule, rest.schedule) == (
        OneCycle(warm_up=0.99),
        OneCycle(warm_up=0.3, div=5.0),
    )


def test_learning_rate_scales_with_the_batch() -> None:
    (small, *_), (large, *_) = (
        classifier_phases(ClassifierConfig(), GROUPS, size, 99, 99 * size) for size in (16, 128)
    )
    assert large.lrs[-1] == pytest.approx(8 * small.lrs[-1]) == pytest.approx(0.1)  # 0.1 · bs / 128


def test_many_steps_are_taken_gently() -> None:
    config = ClassifierConfig(gentle_beyond=200)
    usual, few, more, many = (
        classifier_phases(c, GROUPS, 32, steps, 32 * steps)
        for c, steps in (
            (ClassifierConfig(), 5_000), (config, 200), (config, 400), (config, 5_000)
        )
    )  # fmt: skip
    assert few == usual
    for phase, half, quarter in zip(usual, more, many, strict=True):
        assert half.lrs == pytest.approx([rate / 2 for rate in phase.lrs])
        assert quarter.lrs == pytest.approx([rate / 4 for rate in phase.lrs])
    assert "many steps per epoch: rates × 0.50" in documents_note(config, 64, 64 * 400)
    both = documents_note(replace(config, gentle_beyond=10), 32, 32 * 20)
    assert "few documents: batch 64 → 32" in both and "rates × 0.50" in both
    # a last document that is alone joins the batch before: 200 steps
    assert documents_note(config, 64, 64 * 200 + 1) == ""
    assert "rates × 1.00" in documents_note(config, 64, 64 * 200 + 2)
    assert (
        documents_note(config, 64, 64 * 200) == documents_note(ClassifierConfig(), 64, 10**6) == ""
    )


@pytest.mark.parametrize("unfreezing", ["gradual", "quick"])
def test_very_few_documents_train_the_head_only(unfreezing: Literal["gradual", "quick"]) -> None:
    config = ClassifierConfig(unfreezing=unfreezing, head_only_below=50)
    (head,) = classifier_phases(config, GROUPS, 32, 2, 49)
    assert head.steps(2) >= config.min_steps
    assert head.lrs[-1] > 0 and not any(head.lrs[:-1])
    assert len(classifier_phases(config, GROUPS, 32, 2, 50)) > 1
    assert "only the head" in documents_note(config, 64, 49)
    assert documents_note(config, 64, 50) == ""


@pytest.mark.parametrize("epochs", [(5,), (0, 0, 5)])
def test_the_head_is_trained_alone_also_where_no_phase_is_its_own(epochs: tuple[int, ...]) -> None:
    config = ClassifierConfig(epochs=epochs, lr_divisors=(1.0,) * len(epochs), head_only_below=50)
    (head,) = classifier_phases(config, GROUPS, 32, 100, 49)
    (everything,) = classifier_phases(config, GROUPS, 32, 100, 50)
    assert head.lrs == (0,) * (GROUPS - 1) + everything.lrs[-1:] and all(everything.lrs)
    assert head.epochs == everything.epochs == 5


def test_finetuning_starts_with_the_words_and_keeps_within_its_tokens() -> None:
    config = FinetuneConfig(frozen_epochs=1, epochs=3)
    frozen, unfrozen = finetune_phases(config, 4, tokens=1000, steps_per_epoch=99)
    assert frozen.lrs == (0, 0, 0, config.frozen_lr)
    assert unfrozen.lrs == (config.lr,) * 4
    bounded = finetune_phases(
        FinetuneConfig(frozen_epochs=1, epochs=3, max_tokens=2000),
        4,
        tokens=1000,
        steps_per_epoch=99,
    )
    assert sum(p.epochs for p in bounded) * 1000 == pytest.approx(2000)
    assert bounded[1].epochs / bounded[0].epochs == pytest.approx(3)


@pytest.mark.parametrize("steps_per_epoch", [1, 2, 7, 9, 29, 30, 31, 500])
def test_short_phases_are_given_more_epochs_and_only_they(steps_per_epoch: int) -> None:
    given = [Phase(epochs, (0.1,), OneCycle()) for epochs in (1, 0, 2.5, 10)]
    made = long_enough(given, steps_per_epoch, 30)
    assert [p.epochs for p in given if p.epochs] <= [p.epochs for p in made]
    for before, after in zip([p for p in given if p.epochs], made, strict=True):
        assert after.steps(steps_per_epoch) >= 30
        if after != before:  # no more than it takes
            once_less = replace(after, epochs=after.epochs - before.epochs)
            assert once_less.epochs * steps_per_epoch < 30
    assert long_enough(given[1:2], steps_per_epoch, 30) == []


def test_epochs_that_suffice_stay_as_they_are() -> None:
    (phase,) = finetune_phases(SMALL_FINETUNE, 3, tokens=5_000, steps_per_epoch=9)
    assert (phase.epochs, phase.steps(9)) == (4, 36)


@pytest.mark.parametrize(
    ("passes", "factor"),
    [([0.2], 0.3), ([0.9], 0.3), ([0.5, 1.0], 0.5), ([1.0, 2.0], 1.0), ([9.0], 1.0)],
)
def test_what_is_read_often_gets_the_whole_dropout(passes: list[float], factor: float) -> None:
    phases = [Phase(epochs, (0.1,)) for epochs in passes]
    assert dropout_factor(SMALL_FINETUNE, phases) == pytest.approx(factor)
    assert dropout_factor(FinetuneConfig(), phases) == 1  # fastai's: the same for all


def test_pretraining_is_one_phase_stretched_over_its_tokens() -> None:
    (phase,) = pretrain_phases(PretrainConfig(epochs=1, max_tokens=500), 3, tokens=1000)
    assert phase.epochs == 0.5 and phase.steps(100) == 50 and all(phase.lrs)
    (phase,) = pretrain_phases(PretrainConfig(epochs=4, max_tokens=2000), 3, tokens=1000)
    assert phase.epochs == 2  # of all passes together no more is read
    (phase,) = pretrain_phases(PretrainConfig(schedule="slanted_triangular"), 3, tokens=1000)
    assert phase.schedule == SlantedTriangular()


def test_unequal_phases_are_an_error() -> None:
    with pytest.raises(ValueError, match="one of each per phase"):
        gradual_unfreezing(ClassifierConfig(epochs=(1, 1)), 0.05, GROUPS)


def test_plan_shows_what_is_frozen() -> None:
    rows = plan(
        gradual_unfreezing(ClassifierConfig(), 0.05, 2), ["embedding", "head"], steps_per_epoch=10
    )
    assert rows[0] == {
        "phase": "1",
        "epochs": "1",
        "steps": "10",
        "embedding": "frozen",
        "head": "5.0e-02",
        "schedule": "OneCycle",
    }
