"""A label curve as table rows, sentences, JSON and a picture."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ulmfit.insight.label_curve import LabelCurve
from ulmfit.insight.pictures import FAINT, INK, LINE, MARK, drawing
from ulmfit.insight.power_law import FURTHEST, LEVEL, Forecast, NoForecast, forecast

AHEAD = (1.5, 2.0, FURTHEST)  # times the labels at hand, for which forecasts are shown
GAIN = 0.01  # accuracy; how many more labels it takes is reported
ULMFIT, BASELINE = "ULMFiT", "TF-IDF + LR"


def looked_ahead(curve: LabelCurve, what: str = "accuracy") -> Forecast | NoForecast:
    """The forecast, or the reason why there is none; `what`: "accuracy" or "baseline"."""
    try:
        return forecast(curve.by_size(what))
    except NoForecast as why:
        return why


def rows(curve: LabelCurve) -> list[dict[str, str]]:
    """Table rows: measured points as mean ± standard deviation over draws, then forecasts for more labels."""
    ours, theirs = curve.by_size(), curve.by_size("baseline")
    table = [
        {
            "labels": f"{n:,}",
            "draws": str(len(ours[n])),
            ULMFIT: _mean_and_spread(ours[n]),
            BASELINE: _mean_and_spread(theirs[n]),
        }
        for n in ours
    ]
    ahead = {ULMFIT: looked_ahead(curve), BASELINE: looked_ahead(curve, "baseline")}
    if isinstance(ours_ahead := ahead[ULMFIT], Forecast):
        table += [
            {"labels": f"{n:,}", "draws": "expected"}
            | {name: _expected(found, n) for name, found in ahead.items()}
            for n in _sizes_ahead(ours_ahead)
        ]
    return table


def sentences(curve: LabelCurve) -> list[str]:
    """What the curve says, in words."""
    ours = curve.by_size()
    if not ours:
        return ["No point was finished; give a larger budget."]
    most = max(ours)
    now, theirs = np.mean(ours[most]), np.mean(curve.by_size("baseline")[most])
    noise = np.sqrt(now * (1 - now) / curve.held_out)
    lines = [
        f"With {most:,} labels ULMFiT gets {now:.1%} of {curve.held_out:,} held-out texts right, TF-IDF + logistic "
        f"regression {theirs:.1%}. The held-out set alone makes such a figure uncertain by ± {noise:.1%} (standard "
        "error, the same for all points)."
    ]
    ahead = looked_ahead(curve)
    if isinstance(ahead, NoForecast):
        return [*lines, f"No forecast: {ahead}."]
    for n in (n for n in _sizes_ahead(ahead) if n > most):
        mean, low, high = ahead.accuracy(n)
        lines.append(
            f"About {n - most:,} more labels ({n:,} in all) would bring {mean:.1%} "
            f"({LEVEL:.0%} interval {low:.1%} to {high:.1%})."
        )
    more = ahead.more_labels_for(GAIN)
    lines.append(
        f"One point more than with {ahead.at_hand:,} labels is expected to take about {_rounded(more):,} more."
        if more is not None
        else f"Even {FURTHEST:g} times the labels are not expected to bring one point more."
    )
    if most < curve.at_hand:
        lines.append(
            f"There are {curve.at_hand:,} labels for training; measure with all of them too."
        )
    return lines


def as_json(curve: LabelCurve) -> dict[str, Any]:
    """Points, forecasts (or why there are none), and the sentences."""
    content: dict[str, Any] = {"label_curve": asdict(curve)}
    for name, what in (("forecast", "accuracy"), ("baseline_forecast", "baseline")):
        found = looked_ahead(curve, what)
        if isinstance(found, NoForecast):
            content[name] = {"refused": str(found)}
            continue
        law = found.law
        content[name] = {"level": LEVEL} | {
            k: float(getattr(law, k)) for k in ("ceiling", "scale", "rate")
        }
        content[name]["expected"] = [
            dict(zip(("labels", "accuracy", "low", "high"), (n, *found.accuracy(n)), strict=True))
            for n in _sizes_ahead(found)
        ]
    return content | {"sentences": sentences(curve)}


def curve_picture(curve: LabelCurve, title: str) -> str:
    """SVG: every point, the means, and dashed the forecast with its interval."""
    ahead_at = list[int]()  # numbers of labels with ticks beyond the measured ones
    with drawing(title) as (axes, svg):
        for name, what, colour in ((ULMFIT, "accuracy", LINE), (BASELINE, "baseline", MARK)):
            by_size = curve.by_size(what)
            sizes = list(by_size)
            means = [100 * np.mean(values) for values in by_size.values()]
            axes.plot(sizes, means, color=colour, linewidth=2, label=name)
            for n, values in by_size.items():
                axes.plot([n] * len(values), 100 * np.array(values), ".", color=colour, alpha=0.6)
            found = looked_ahead(curve, what)
            if isinstance(found, Forecast):
                ahead_at = _sizes_ahead(found)[1:]
                ahead = np.geomspace(found.at_hand, FURTHEST * found.at_hand, 30)
                mean, low, high = 100 * np.transpose([found.accuracy(n) for n in ahead])
                axes.plot(ahead, mean, "--", color=colour, linewidth=1.5)
                axes.fill_between(ahead, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axvline(max(sizes), color=FAINT, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks([*sizes, *(n for n in ahead_at if n > max(sizes))])
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
        axes.set_xlabel("labels (log scale); dashed: expected")
        axes.set_ylabel(f"accuracy on {curve.held_out:,} held-out texts (%)")
        axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return svg.getvalue()


def _sizes_ahead(found: Forecast) -> list[int]:
    return [round(times * found.at_hand) for times in AHEAD]


def _rounded(n: int) -> int:
    """To two significant digits: a forecast is no more precise."""
    return round(n, 2 - len(str(n)))


def _mean_and_spread(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _expected(found: Forecast | NoForecast, labels: int) -> str:
    if isinstance(found, NoForecast) or labels > FURTHEST * found.at_hand:
        return "–"
    mean, low, high = found.accuracy(labels)
    return f"{100 * mean:.1f} ({100 * low:.1f}–{100 * high:.1f})"
