"""Schedules against fastai's recorded steps and the paper's formula."""

import json
from pathlib import Path

import pytest

from ulmfit.training.schedule import Exponential, OneCycle, SlantedTriangular, named

SETTINGS = {  # what each golden was called with: OneCycle arguments, peak of the last group
    "fit_one_cycle(1, 2e-2)": (OneCycle(), 2e-2),
    "fit_one_cycle(2, slice(1e-4,1e-2))": (OneCycle(), 1e-2),
    "fit_one_cycle(1, slice(1e-2))": (OneCycle(), 1e-2),
    "fit_one_cycle(1, slice(1e-2/(2.6**4),1e-2)": (OneCycle(), 1e-2),
    "fit_one_cycle(3, 1e-3, div=10": (OneCycle(warm_up=0.3, div=10.0, div_final=100.0), 1e-3),
    "fit_one_cycle(1, None)": (OneCycle(momentum=(0.95, 0.85, 0.95)), 1e-3),
    "fit_one_cycle(1,1e-3,pct_start=0.99)": (OneCycle(warm_up=0.99), 1e-3),
    "fit_one_cycle(1, 1e-3) 1 iter": (OneCycle(), 1e-3),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_one_cycle_takes_fastais_steps(name: str, goldens: Path) -> None:
    recorded = next(
        r
        for r in json.loads((goldens / "schedules.json").read_text())
        if r["desc"].startswith(name)
    )
    schedule, peak = SETTINGS[name]
    total = recorded["n_iter"] * recorded["n_epoch"]
    for k, row in enumerate(recorded["rows"]):
        factor, momentum = schedule(k / total)
        assert factor * peak == pytest.approx(
            row["lr"][-1], rel=1e-4, abs=1e-7 * peak
        )  # fastai computes in fp32
        assert momentum == pytest.approx(row["mom"][-1], abs=1e-6)


def test_slanted_triangular_is_equation_3() -> None:
    total, cut_frac, ratio = 1000, 0.1, 32
    cut = int(total * cut_frac)
    for t in (0, 1, 50, 99, 100, 101, 500, 999):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        factor, momentum = SlantedTriangular()(t / total)
        assert factor == pytest.approx((1 + p * (ratio - 1)) / ratio) and momentum == 0.7


def test_names_of_the_config_exist() -> None:
    assert isinstance(named("one_cycle"), OneCycle)
    assert isinstance(named("slanted_triangular"), SlantedTriangular)


def test_the_ramp_is_that_of_fastais_lr_find(goldens: Path) -> None:
    lrs = json.loads((goldens / "lr_find.json").read_text())["lrs"]
    found = [10 * Exponential()(i / len(lrs))[0] for i in range(len(lrs))]
    assert found == pytest.approx(lrs, rel=1e-12)
    optimizer = json.loads((goldens / "adam_20_steps.json").read_text())["hypers_defaults"]
    assert Exponential().momentum == pytest.approx(optimizer["mom"])
