"""The charts of a report, as SVG inside its page: in the page's colours and font, and narrow enough for a phone."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from ulmfit.insight.curves import Curves, Series
from ulmfit.insight.pictures import FAINT, INK, LINE, MARK, drawing
from ulmfit.insight.scores import Bin

SMALL = (3.9, 2.5)  # inches: text stays readable when a phone shrinks it
SMOOTHING = 0.8  # decay of the exponential mean over the recorded losses, one per ten steps
VARIABLES = {INK: "ink", FAINT: "faint", LINE: "accent", MARK: "mark"}  # in the page's style sheet
MEASURES = {
    "valid_perplexity": "Perplexity on held-out texts",
    "valid_accuracy": "Accuracy on the validation set",
    "valid_macro_f1": "Macro-F1 on the validation set",
}
COMPARED = {"loss": "Training loss, smoothed (nats)"} | MEASURES
STYLES = [  # of the runs' lines, in order; reused if there are more runs
    {"color": color, "linestyle": line} for line in ("-", "--", ":") for color in (LINE, MARK, INK)
]
PLANNED = {"lr": "Learning rate of the top layer group", "momentum": "Momentum (Adam's β₁)"}


def stage_charts(name: str, curves: Curves, ids: str) -> list[tuple[str, str]]:
    """(caption, SVG) of each chart of a stage for which values were recorded. `ids`: prefix of its SVG ids, unique on the page."""
    found = []
    if len(curves.steps.get("loss", ())) > 1:
        found.append(("Loss (nats)", _loss(curves)))
    found += [
        (caption, _line(curves.epochs[key], curves, "o-", MARK))
        for key, caption in MEASURES.items()
        if len(curves.epochs.get(key, ())) > 1
    ]
    found += [
        (caption, _line(curves.planned[key], curves, "-", LINE)) for key, caption in PLANNED.items()
    ]
    return [
        (caption, inline(svg, f"{ids}-{i}", f"{name}: {caption}, by update"))
        for i, (caption, svg) in enumerate(found)
    ]


def compared_charts(name: str, runs: Mapping[str, Curves], ids: str) -> list[tuple[str, str]]:
    """(caption, SVG) of each value measured in a stage, a line per run. `ids` as in `stage_charts`."""
    found = []
    for key, caption in COMPARED.items():
        series = {run: _measured(key, curves) for run, curves in runs.items()}
        if not any(len(points) > 1 for points in series.values()):
            continue
        with drawing(size=SMALL) as (axes, svg):
            look = {"linewidth": 1.6, "markersize": 4, "marker": "" if key == "loss" else "o"}
            for (run, points), style in zip(series.items(), cycle(STYLES), strict=False):
                if points:
                    updates, values = _points(points)
                    values = _smooth(values) if key == "loss" else values
                    label = run.replace("$", r"\$")  # not as a formula
                    axes.plot(updates, values, **style, **look, label=label)
            axes.set_xlabel("update", fontsize=9)
            axes.set_xlim(left=0)
            axes.tick_params(labelsize=9)
            axes.legend(frameon=False, fontsize=9)
        chart = inline(svg.getvalue(), f"{ids}-{key}", f"{name}: {caption}, by update and run")
        found.append((caption, chart))
    return found


def _measured(key: str, curves: Curves) -> Series:
    return curves.steps.get(key, {}) if key == "loss" else curves.epochs.get(key, {})


def _loss(curves: Curves) -> str:
    with drawing(size=SMALL) as (axes, svg):
        updates, losses = _points(curves.steps["loss"])
        axes.plot(updates, losses, color=FAINT, linewidth=0.8)
        axes.plot(updates, _smooth(losses), color=LINE, linewidth=1.8, label="training")
        if valid := curves.epochs.get("valid_loss"):
            axes.plot(*_points(valid), "o-", color=MARK, linewidth=1.2, markersize=4, label="valid")
            axes.legend(frameon=False, fontsize=9, loc="upper right")
        _updates(axes, curves)
    return svg.getvalue()


def _line(series: Series, curves: Curves, style: str, color: str) -> str:
    with drawing(size=SMALL) as (axes, svg):
        axes.plot(*_points(series), style, color=color, linewidth=1.8, markersize=4)
        _updates(axes, curves)
    return svg.getvalue()


def _updates(axes: Any, curves: Curves) -> None:
    """Draws the x axis: updates, with a dotted line where a phase ended."""
    for end in curves.phases[:-1]:
        axes.axvline(end, color=FAINT, linewidth=1, linestyle=":")
    axes.set_xlabel("update", fontsize=9)
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=9)


def reliability_chart(bins: Sequence[Bin], alt: str) -> str:
    """Accuracy with its interval against the mean confidence of each bin; larger dots stand for more documents."""
    most = max(b.documents for b in bins)
    low = min(0.5, *(math.floor(10 * b.confidence) / 10 for b in bins))
    with drawing(size=SMALL) as (axes, svg):
        axes.plot([low, 1], [low, 1], color=FAINT, linewidth=1.2, linestyle="--")
        for b in bins:
            axes.plot([b.confidence] * 2, b.accuracy[1:], color=LINE, linewidth=1.2)
            size = 3 + 7 * (b.documents / most) ** 0.5
            axes.plot([b.confidence], [b.accuracy.value], "o", color=LINE, markersize=size)
        axes.set_xlabel("probability of the predicted label", fontsize=9)
        axes.set_ylabel("share that is right", fontsize=9)
        axes.set_xlim(low, 1.01)
        axes.set_ylim(min(low, *(b.accuracy.low for b in bins)), 1.01)
        axes.tick_params(labelsize=9)
    return inline(svg.getvalue(), "reliability", alt)


def inline(svg: str, ids: str, alt: str) -> str:
    """A drawing for use inside a page: its ids get the prefix `ids`, its colours become the page's variables; `alt`: its text
    alternative."""
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="[^"]+"', body)
    assert view
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<(style|metadata)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{ids}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    head = f'<svg class="chart" role="img" aria-label="{html.escape(alt)}" {view[0]}'
    return f'{head} xmlns:xlink="http://www.w3.org/1999/xlink">{body}'


def _points(series: Series) -> tuple[list[int], list[float]]:
    updates = sorted(series)
    return updates, [series[update] for update in updates]


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average with bias correction, as in Adam."""
    smoothed, mean, weight = [], 0.0, 0.0
    for value in values:
        mean, weight = (
            SMOOTHING * old + (1 - SMOOTHING) * new for old, new in ((mean, value), (weight, 1))
        )
        smoothed.append(mean / weight)
    return smoothed
