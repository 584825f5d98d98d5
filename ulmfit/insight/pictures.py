"""Charts: as self-contained SVG (matplotlib) and as text for a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import numpy as np

from ulmfit.training.lr_finder import LRCurve

SIZE = (7.0, 3.8)  # inches
INK, FAINT, LINE, MARK = "#1f2430", "#c9ccd3", "#1f6feb", "#c2410c"
DARK = {INK: "#e6e8ee", FAINT: "#454b57", LINE: "#6ea8fe", MARK: "#fb923c"}  # on dark pages


def lr_picture(curve: LRCurve, title: str) -> str:
    """The LR range test as SVG: smoothed loss against learning rate (log scale), with the suggestions marked if the loss fell."""
    lrs, losses = curve.shown()
    with drawing(title) as (axes, svg):
        axes.plot(lrs, losses, color=LINE, linewidth=2)
        axes.set_xscale("log")
        low, high = _interesting(curve)
        axes.set_ylim(low - 0.05 * (high - low), high)
        axes.set_xlabel("learning rate (log scale)")
        axes.set_ylabel("training loss, smoothed (nats)")
        # A falling curve leaves room at its upper right and its lower left.
        sides = [((8, 6), "left"), ((-8, -14), "right")]
        marked = sorted(curve.suggestions().items(), key=lambda item: item[1])
        marked = [(name, lr) for name, lr in marked if curve.fell() and lr >= lrs[0]]
        for number, (name, lr) in enumerate(marked):
            loss = float(np.interp(np.log(lr), np.log(lrs), losses))
            axes.plot([lr], [loss], "o", color=MARK, markersize=7)
            offset, side = sides[number % 2]
            text, how = f"{name} {lr:.1e}", {"textcoords": "offset points", "ha": side}
            axes.annotate(text, (lr, loss), offset, color=MARK, **how)
    return svg.getvalue()


@contextmanager
def drawing(title: str = "", size: tuple[float, float] = SIZE) -> Iterator[tuple[Any, StringIO]]:
    """Yields empty axes, and a buffer that holds the SVG after the block; the same drawing gives the same bytes.

    Text stays text, the background is transparent. Colours named in DARK change if the reader prefers dark pages.
    `size`: inches.
    """
    draw, figures = matplotlib()
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ulmfit",
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "axes.edgecolor": FAINT,
    }
    settings |= dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK
    )
    settings |= dict.fromkeys(("xtick.color", "ytick.color"), FAINT)
    out = StringIO()
    with draw.rc_context(settings):
        figure = figures.Figure(size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12)
        yield axes, out
        plain = StringIO()
        metadata = {"Date": None, "Creator": "ulmfit", "Title": title}
        figure.savefig(plain, format="svg", transparent=True, metadata=metadata)
    head, rest = plain.getvalue().split("<defs>", 1)
    out.write(f"{head}{_dark_style()}<defs>{rest}")


def lr_chart(curve: LRCurve, width: int = 60, height: int = 10) -> str:
    """As `lr_picture`, for a terminal; ▲ below the axis marks the first suggestion. Losses above the chart are not drawn."""
    lrs, losses = curve.shown()
    x = np.log10(lrs)
    columns = np.linspace(x[0], x[-1], width)
    values = np.interp(columns, x, losses)
    low, high = _interesting(curve)
    rows = np.round((high - values) / (high - low) * (height - 1)).astype(int)
    lines = ["".join("•" if r == row else " " for r in rows) for row in range(height)]
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
    chart = [f"{label:>8} │{line}".rstrip() for label, line in zip(labels, lines, strict=True)]
    decades = range(int(np.ceil(x[0])), int(np.floor(x[-1])) + 1)
    axis = _at(width, columns, dict.fromkeys(decades, "┴"), "─")
    names = _at(width, columns, {d: f"1e{d}" for d in decades if d % 2 == 0}, " ")
    (name, lr), *_ = curve.suggestions().items()
    marked = {float(np.log10(lr)): f"▲ {name}"} if curve.fell() else {}
    mark = _at(width, columns, marked, " ")
    chart += [f"{'loss':>8} └{axis}", " " * 10 + names, " " * 10 + mark]
    return "\n".join(line.rstrip() for line in chart)


def _interesting(curve: LRCurve) -> tuple[float, float]:
    """The lowest and highest loss to show: the explosion after the minimum would flatten all before it."""
    _, losses = curve.shown()
    before = losses[: losses.argmin() + 1].max() if curve.fell() else np.quantile(losses, 0.9)
    low, high = float(losses.min()), float(before)
    return low, high + max(0.15 * (high - low), 1e-3)


def _at(width: int, columns: np.ndarray, texts: dict[Any, str], blank: str) -> str:
    """A line of the chart, with each text beginning at its place on the x axis."""
    line = [blank] * (width + 12)
    for place, text in texts.items():
        start = int(np.abs(columns - place).argmin())
        line[start : start + len(text)] = text
    return "".join(line[:width] if blank == "─" else line)


def matplotlib() -> tuple[Any, Any]:
    """The modules `matplotlib` and `matplotlib.figure`. ImportError: says how to install it."""
    try:
        import matplotlib
        from matplotlib import figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from None
    return matplotlib, figure


def _dark_style() -> str:
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    return f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n "
