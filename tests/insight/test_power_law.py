"""The fit finds the law it was given, its interval holds as often as it says, and it knows when to be silent."""

import numpy as np
import pytest

from ulmfit.insight.power_law import LEVEL, NoForecast, PowerLaw, fit_power_law, forecast

Number = float | np.ndarray
SIZES = (50, 100, 200, 400, 800)


def law(ceiling: Number, scale: Number, rate: Number) -> PowerLaw:
    return PowerLaw(*(np.asarray(value, float) for value in (ceiling, scale, rate)))


def drawn(true: PowerLaw, spread: float, seed: int, draws: int = 3) -> dict[int, list[float]]:
    noise = np.random.default_rng(seed)
    return {
        n: [float(true.accuracy(n)) + spread * noise.normal() for _ in range(draws)] for n in SIZES
    }


@pytest.mark.parametrize("true", [law(0.9, 0.8, 0.4), law(0.85, 3, 0.8), law(1.0, 1.5, 0.5)])
def test_a_law_is_recovered_from_its_own_points(true: PowerLaw) -> None:
    found = fit_power_law(SIZES, true.accuracy(SIZES))
    ahead = [1600, 3200]
    assert found.accuracy(ahead) == pytest.approx(true.accuracy(ahead), abs=1e-3)
    assert found.ceiling == pytest.approx(true.ceiling, abs=0.01)
    assert found.labels_for(0.8) == pytest.approx(true.labels_for(0.8), rel=0.02)


def test_many_fits_at_once_are_the_fits_one_by_one() -> None:
    rising = np.random.default_rng(0).normal([0.6, 0.7, 0.75, 0.8, 0.82], 0.03, (7, 5))
    together = fit_power_law(SIZES, rising)
    for k, accuracies in enumerate(rising):
        alone = fit_power_law(SIZES, accuracies)
        assert alone.accuracy(1600) == pytest.approx(together.accuracy(1600)[k], abs=1e-9)


def test_no_law_lies_above_one_or_falls() -> None:
    noise = np.random.default_rng(1)
    found = fit_power_law(SIZES, noise.uniform(0.5, 1.0, (200, 5)))
    assert found.ceiling.max() <= 1 and found.scale.min() >= 0
    assert (np.diff(found.accuracy([*SIZES, 10_000])) >= 0).all()


def test_the_least_squares_are_least() -> None:
    accuracies = np.array([0.61, 0.68, 0.77, 0.79, 0.83])
    found = fit_power_law(SIZES, accuracies)
    least = ((found.accuracy(SIZES) - accuracies) ** 2).sum()
    noise = np.random.default_rng(2)
    for _ in range(300):
        near = [v * (1 + 0.05 * noise.normal()) for v in (found.ceiling, found.scale, found.rate)]
        if near[0] <= 1:
            assert ((law(*near).accuracy(SIZES) - accuracies) ** 2).sum() > least * (1 - 1e-3)


def test_the_interval_holds_about_as_often_as_it_says() -> None:
    true, held, said = law(0.88, 2.0, 0.6), 0, 0
    for seed in range(60):
        try:
            ahead = forecast(drawn(true, 0.012, seed))
        except NoForecast:
            continue
        _, low, high = ahead.accuracy(1600)
        said, held = said + 1, held + (low <= true.accuracy(1600) <= high)
    assert said >= 50
    assert LEVEL - 0.15 <= held / said <= LEVEL + 0.15  # two to three standard errors of 60


def test_more_noise_makes_it_wider_and_a_seed_makes_it_the_same() -> None:
    true, widths = law(0.9, 2.0, 0.6), []
    for spread in (0.002, 0.01):
        _, low, high = forecast(drawn(true, spread, 3)).accuracy(3200)
        widths.append(high - low)
    assert widths[1] > 2 * widths[0] > 0
    points = drawn(true, 0.01, 3)
    assert forecast(points).accuracy(1600) == forecast(points).accuracy(1600)


def test_labels_for_a_gain() -> None:
    true = law(0.9, 2.0, 0.6)
    ahead = forecast(drawn(true, 0.0, 0))
    more = ahead.more_labels_for(0.01)
    assert more is not None
    assert float(true.accuracy(800 + more) - true.accuracy(800)) == pytest.approx(0.01, abs=5e-4)
    assert ahead.more_labels_for(0.03) is None  # far beyond four times as many
    assert ahead.more_labels_for(0.2) is None  # above the ceiling


def test_nothing_is_said_beyond_four_times_the_labels() -> None:
    ahead = forecast(drawn(law(0.9, 2.0, 0.6), 0.005, 0))
    ahead.accuracy(3200)
    with pytest.raises(ValueError, match=r"3,201 labels are more than 4 times the 800 at hand"):
        ahead.accuracy(3201)


@pytest.mark.parametrize(
    ("accuracies", "why"),
    [
        ({n: [0.1 * np.log(n)] * 2 for n in SIZES}, "without slowing down"),
        ({n: [0.5 + n / 2000] * 2 for n in SIZES}, "without slowing down"),
        ({n: [0.7] * 2 for n in SIZES}, "does not rise"),
        ({n: [0.9 - n / 8000] * 2 for n in SIZES}, "does not rise"),
        ({n: [0.7, 0.8] for n in SIZES[:3]}, "needs 4 numbers of labels"),
        ({n: [0.1 * np.log(n)] for n in SIZES}, "2 draws each, not 0"),
    ],
)
def test_no_forecast_where_the_points_do_not_tell(
    accuracies: dict[int, list[float]], why: str
) -> None:
    with pytest.raises(NoForecast, match=why):
        forecast(accuracies)
