"""Raw results → tables and a chart in docs/results.md, between two marker lines; nothing else there is changed.

    python -m benchmarks.report

The last line of each task on each machine counts. Ratios are fastai's figure divided by ours, so more is better.
"""

from collections.abc import Sequence
from itertools import cycle
from statistics import median
from typing import Any

from benchmarks import record
from benchmarks.tasks import TASKS, Task
from ulmfit.insight.pictures import FAINT, LINE, MARK, drawing

PAGE = record.ROOT / "docs" / "results.md"
CHART = "speed.svg"  # beside the page
BEGIN, END = "<!-- bench-report: begin -->", "<!-- bench-report: end -->"
TICKS = (1, 2, 5, 10, 20, 100, 500)  # of the chart
CHART_SIZE = (7.0, 5.4)  # inches
DOTS = (LINE, "none", FAINT)  # what the machines' dots are filled with
UNITS = {"seconds": ("s", 1.0), "peak_rss": ("GB", 1e9), "bytes": ("MB", 1e6)}


def main() -> None:
    """Write the page and, if there are speed results, its chart."""
    speed = latest(record.read("speed"), "machine", "task")
    accuracy = latest(record.read("accuracy"), "data", "labels", "peer", "seed")
    text = "\n\n".join(filter(None, (speed_part(speed), accuracy_part(accuracy))))
    page = PAGE.read_text(encoding="utf-8")
    if speed:
        (PAGE.parent / CHART).write_text(chart(speed), encoding="utf-8")
    PAGE.write_text(between(page, text or "No run is recorded yet."), encoding="utf-8")


def between(page: str, text: str) -> str:
    """`page` with `text` between its marker lines. ValueError unless both are there, once and in order."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"{PAGE} must hold the lines {BEGIN} and {END}, once each and in order")
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def latest(lines: Sequence[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """The last line of each kind, kinds in the order of their first lines."""
    return list({tuple(line.get(key) for key in keys): line for line in lines}.values())


# Speed


def ratios(line: dict[str, Any], measure: str) -> dict[str, float]:
    """Contestant → its figure divided by ours: medians of windows, or single figures."""
    figures = {name: figure(found) for name, found in line[measure].items()}
    return {name: value / figures["ours"] for name, value in figures.items() if name != "ours"}


def figure(found: Any) -> float:
    """The median of windows, or a single figure as it is."""
    return median(found) if isinstance(found, list) else found


def speed_part(lines: Sequence[dict[str, Any]]) -> str:
    """The table, a paragraph on how it was measured, and the chart; empty without lines."""
    rows = [
        speed_row(task, found, machines(lines))
        for name, task in TASKS.items()
        if (found := of_task(lines, name))
    ]
    if not rows:
        return ""
    header = ("what", "at least / aim", "verdict", *machines(lines))
    parts = ["### Beside fastai", circumstances(lines), table(header, rows)]
    return "\n\n".join([*parts, f"![Ratios to fastai, a row of dots for each task]({CHART})"])


def machines(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The machines of the lines, sorted."""
    return sorted({line["machine"] for line in lines})


def of_task(lines: Sequence[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Machine → the line with the figure of this task."""
    wanted = TASKS[name].record or name
    return {line["machine"]: line for line in lines if line["task"] == wanted}


def speed_row(
    task: Task, by_machine: dict[str, dict[str, Any]], columns: Sequence[str]
) -> list[str]:
    """Task, promised ratios, verdict (by the machine with the lowest ratio), and a cell per machine."""
    promised = f"{task.least:g} / {task.aim:g}" if task.least and task.aim else "–"
    lowest = min(ratios(line, task.measure)["fastai"] for line in by_machine.values())
    agree = all(line["agrees"] is not False for line in by_machine.values())
    what = task.what if agree else f"{task.what} (**not the same work**)"
    shown = [speed_cell(task, by_machine[m]) if m in by_machine else "–" for m in columns]
    return [what, promised, verdict(task, lowest), *shown]


def speed_cell(task: Task, line: dict[str, Any]) -> str:
    """The ratio to fastai, its range, the ratio to fastai tuned, and our own figure."""
    found = ratios(line, task.measure)
    spread = ""
    if task.measure == "seconds":
        ours, theirs = line["seconds"]["ours"], line["seconds"]["fastai"]
        turns = [b / a for a, b in zip(ours, theirs, strict=True)]
        spread = f" ({min(turns):.2f}–{max(turns):.2f})"
    tuned = f", tuned {found['fastai tuned']:.2f}" if "fastai tuned" in found else ""
    own = absolute(line, task.measure, "ours")
    return f"**{found['fastai']:.2f}**{spread}{tuned}; {own}"


def verdict(task: Task, ratio: float) -> str:
    """Whether the promise was kept."""
    if task.least is None or task.aim is None:
        return "–"
    return "aim met" if ratio >= task.aim else "met" if ratio >= task.least else "missed"


def absolute(line: dict[str, Any], measure: str, name: str) -> str:
    """A figure with its unit; for times: tokens per second, or seconds per unit of work."""
    value, (unit, scale) = figure(line[measure][name]), UNITS[measure]
    if measure != "seconds":
        return f"{value / scale:.3g} {unit}"
    if line["unit"] == "tokens":
        return f"{line['work'] / value:,.0f} tokens/s"
    each = value / line["work"]
    return f"{each:.3g} s" if each >= 1 else f"{each * 1000:.3g} ms"


def circumstances(lines: Sequence[dict[str, Any]]) -> str:
    """How the figures were measured, in general and on each machine."""
    windows = [len(w) for line in lines for w in line.get("seconds", {}).values()]
    load = max(line["load"][0] for line in lines)
    said = (had(m, [line for line in lines if line["machine"] == m]) for m in machines(lines))
    return (
        f"`make bench`: medians of {min(windows)} windows or more in turn (ours, fastai, fastai tuned); the same weights, ids "
        "and batches, and with dropout off equal losses or probabilities. A cell: **fastai's figure through ours** (smallest and largest "
        "ratio of two neighbouring windows), the same to fastai with glibc's allocator tuned to keep its memory; our figure. "
        f"Verdict: of the lowest. {'. '.join(said)}. Load average at the end of a task: {load:g} or less."
    )


def had(machine: str, lines: Sequence[dict[str, Any]]) -> str:
    """Cores, threads, versions, dates and commits of one machine's figures."""
    how = {
        f"{line['cores']} cores, {line.get('threads', '?')} threads, torch {version(line, 'torch')}"
        for line in lines
    }
    days = sorted({line["time"][:10] for line in lines})
    when = f"{days[0]} to {days[-1]}" if len(days) > 1 else days[0]
    commits = sorted({line["commit"] + "+" * line["changed"] for line in lines})
    return f"{machine}: {' or '.join(sorted(how))}, {when}, commits {', '.join(commits)}"


def version(line: dict[str, Any], package: str) -> str:
    return line.get("versions", {}).get("ours", {}).get(package, "?")


def chart(lines: Sequence[dict[str, Any]]) -> str:
    """The ratios to fastai on a logarithmic axis, a dot for each machine, with the promises marked."""
    tasks = [(task, found) for name, task in TASKS.items() if (found := of_task(lines, name))][::-1]
    with drawing("Times as fast, or as small, as fastai", CHART_SIZE) as (axes, svg):
        for place, (task, found) in enumerate(tasks):
            across = [ratios(line, task.measure)["fastai"] for line in found.values()]
            axes.hlines(place, 1, max(across), color=FAINT, linewidth=3)
        for machine, dot in zip(machines(lines), cycle(DOTS), strict=False):
            places = [place for place, (_, found) in enumerate(tasks) if machine in found]
            across = [
                ratios(found[machine], task.measure)["fastai"]
                for task, found in (tasks[place] for place in places)
            ]
            how = {"color": LINE, "markerfacecolor": dot, "markersize": 6}
            axes.plot(across, places, "o", label=machine, **how)
        least = [(task.least, place) for place, (task, _) in enumerate(tasks) if task.least]
        how = {"color": MARK, "markersize": 11, "label": "at least"}
        axes.plot([ratio for ratio, _ in least], [place for _, place in least], "|", **how)
        axes.set_yticks(range(len(tasks)), [task.what for task, _ in tasks], fontsize=8)
        axes.grid(False, axis="y")
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick}×" for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlabel("log scale")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    return svg.getvalue()


# Accuracy


def accuracy_part(lines: Sequence[dict[str, Any]]) -> str:
    """A column for each data set, a row for each peer: mean over seeds, with minutes; empty without lines."""
    if not lines:
        return ""
    lines = [line | {"set": f"{line['data']}, {line['labels']:,} labels"} for line in lines]
    sets = list(dict.fromkeys(line["set"] for line in lines))
    rows = []
    for peer in dict.fromkeys(line["peer"] for line in lines):
        own = [line for line in lines if line["peer"] == peer]
        rows.append([peer, *(cell([line for line in own if line["set"] == s]) for s in sets)])
    said = "`make bench-accuracy`, a set at a time: test accuracy in %, each seed in brackets, minutes of training and prediction behind it."
    return "\n\n".join(["### Accuracy beside other ways", said, table(("peer", *sets), rows)])


def cell(lines: Sequence[dict[str, Any]]) -> str:
    """Mean, seeds and minutes of one peer on one set, or why they are missing."""
    if not lines:
        return "–"
    if reason := lines[-1].get("left_out"):
        return f"left out: {reason}"
    scores = [100 * line["accuracy"] for line in lines]
    each = f" ({', '.join(f'{s:.1f}' for s in scores)})" if len(scores) > 1 else ""
    minutes = median(line["seconds"] for line in lines) / 60
    return f"{sum(scores) / len(scores):.1f}{each}, {minutes:.1f} min"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
