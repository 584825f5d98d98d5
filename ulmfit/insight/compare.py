"""Runs side by side: settings that differ, scores on the same named sets, and whether a difference is more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ulmfit.files.checkpoint import CheckpointError, atomic, load_json
from ulmfit.insight.charts import compared_charts
from ulmfit.insight.curves import read_curves
from ulmfit.insight.page import percent, points, render
from ulmfit.insight.report import SETS, can_draw, flat
from ulmfit.insight.scores import Interval, Predictions, mcnemar, paired_difference, wilson

BY_CHANCE = 0.05  # a larger p is reported as within chance


@dataclass(frozen=True)
class Score:
    """One metric of one set, a value per run in their order; None: that run has none."""

    set: str
    metric: str
    values: tuple[float | None, ...]
    intervals: tuple[Interval | None, ...]  # 95 % intervals, for accuracy only


@dataclass(frozen=True)
class Paired:
    """A run compared with the first one on a set whose documents both predicted."""

    set: str
    run: str
    first: str
    documents: int
    only_run: int  # documents that only this run predicts correctly
    only_first: int
    difference: Interval  # in accuracy; above 0: this run is better
    p: float  # of McNemar's exact test
    known_same: bool  # False: no fingerprint was recorded, but labels and recorded texts agree

    def __str__(self) -> str:
        d, chance = self.difference, " – within chance" if self.p > BY_CHANCE else ""
        sure = "" if self.known_same else " (the same texts, as far as the runs recorded them)"
        return (
            f"On the {self.set} set, {self.documents:,} documents{sure}: {self.run} alone is right on {self.only_run:,},"
            f" {self.first} alone on {self.only_first:,}; {points(d.value)} points for {self.run} (95 % interval"
            f" {points(d.low)} to {points(d.high)}), McNemar's exact p = {self.p:.2g}{chance}"
        )


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    runs: tuple[str, ...]
    notes: tuple[str, ...]  # caveats: unfinished runs, different data
    settings: tuple[tuple[str, tuple[str | None, ...]], ...]  # those that differ
    scores: tuple[Score, ...]
    tests: tuple[Paired, ...]

    def __str__(self) -> str:
        """As tables for a terminal."""
        rows = [(f"{s.set} {s.metric}", *map(told, s.values, s.intervals)) for s in self.scores]
        changed = [(name, *(v or "–" for v in values)) for name, values in self.settings]
        parts = [*(f"note: {note}" for note in self.notes)]
        parts += [_table(["scores", *self.runs], rows) if rows else "no scores on named sets"]
        parts += map(str, self.tests)
        parts += [
            _table(["settings that differ", *self.runs], changed)
            if changed
            else "all recorded settings are the same"
        ]
        return "\n\n".join(parts)


def compare(runs: Sequence[str | Path], *, out: str | Path | None = None) -> Comparison:
    """Compares each of the other runs with the first. `out`: also write a page with their curves.

    ValueError: fewer than two runs, or one given twice. CheckpointError: there is no run, or one of its files is damaged.
    """
    paths = [Path(run) for run in runs]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise ValueError(
            f"give two runs or more, each once; got {', '.join(map(str, paths)) or 'none'}"
        )
    records = {name: _record(path) for name, path in zip(_names(paths), paths, strict=True)}
    folders = dict(zip(records, paths, strict=True))
    tests, other_sets = _tests(records, folders)
    found = Comparison(
        tuple(records),
        (*_notes(records), *other_sets),
        tuple(_settings(records)),
        tuple(_scores(records)),
        tuple(tests),
    )
    if out is not None:
        contents = {"found": found, "records": records, "stages": _curves(records, folders)}
        page = render(contents | {"can_draw": can_draw(), "told": told}, "compare.html")
        with atomic(Path(out)) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="replace")
    return found


def told(value: float | None, interval: Interval | None = None) -> str:
    """A score with its interval, as text."""
    if value is None:
        return "–"
    if interval is None:
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{percent(value)} ({percent(interval.low)} to {percent(interval.high)})"


def _record(path: Path) -> dict[str, Any]:
    record = load_json(path / "config.json")
    if record.get("kind") != "run":
        raise CheckpointError(f"{path} is not a run directory; give the --out of a training")
    return record


def _names(paths: Sequence[Path]) -> list[str]:
    """The directories' names if they differ, otherwise their paths from the first differing part on."""
    parts = [path.resolve().parts for path in paths]
    if len({p[-1] for p in parts}) == len(parts):
        return [p[-1] for p in parts]
    shared = next(i for i, level in enumerate(zip_longest(*parts)) if len(set(level)) > 1)
    return ["/".join(p[shared:]) or p[-1] for p in parts]


def _notes(records: Mapping[str, dict[str, Any]]) -> list[str]:
    unfinished = [name for name, record in records.items() if not record.get("finished")]
    notes = [
        f"{name} is not finished; its scores and curves are those so far" for name in unfinished
    ]
    data = {name: record.get("data") for name, record in records.items()}
    if unknown := [name for name, known in data.items() if not known]:
        notes.append(
            f"{', '.join(unknown)}: no fingerprint of the texts was recorded, so different data would go unnoticed"
        )
    if len(set(filter(None, data.values()))) > 1:
        notes.append(
            "these runs were not all given the same texts and labels, so a difference may also come from the data"
        )
    return notes


def _settings(records: Mapping[str, dict[str, Any]]) -> list[tuple[str, tuple[str | None, ...]]]:
    """(name, values by run) of the settings in which the runs differ; None: a run does not have the setting."""
    parts = [
        dict(flat(r.get("config", {})) + flat(r.get("versions", {}), "versions"))
        for r in records.values()
    ]
    rows = (
        (name, tuple(p.get(name) for p in parts))
        for name in dict.fromkeys(n for p in parts for n in p)
    )
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _scores(records: Mapping[str, dict[str, Any]]) -> list[Score]:
    found = []
    for name in SETS:
        results = [record.get("results", {}).get(name, {}) for record in records.values()]
        for metric in dict.fromkeys(key for result in results for key in result):
            values = tuple(result.get(metric) for result in results)
            found.append(Score(name, metric, values, tuple(_interval(metric, r) for r in results)))
    return found


def _interval(metric: str, result: Mapping[str, float]) -> Interval | None:
    if metric != "accuracy" or metric not in result:
        return None
    n = int(result["documents"])
    return wilson(round(result[metric] * n), n)


def _tests(
    records: Mapping[str, dict[str, Any]], folders: Mapping[str, Path]
) -> tuple[list[Paired], list[str]]:
    """The comparisons with the first run on every set of the same documents, and a note for each set of different ones."""
    found, notes, (first, *others) = list[Paired](), list[str](), records
    for name in SETS:
        both = {run: _predictions(folders[run], records[run], name) for run in records}
        for run in others:
            ours, theirs = both[run], both[first]
            if ours is None or theirs is None:
                continue
            prints = [records[r].get("sets", {}).get(name) for r in (run, first)]
            known = None not in prints
            if prints[0] != prints[1] if known else not _may_be_same(ours, theirs):
                notes.append(f"the {name} sets of {run} and {first} are not the same documents")
                continue
            only = int((ours.right & ~theirs.right).sum()), int((theirs.right & ~ours.right).sum())
            difference = paired_difference(ours.right, theirs.right)
            n = len(ours.truth)
            found.append(Paired(name, run, first, n, *only, difference, mcnemar(*only), known))
    return found, notes


def _predictions(run: Path, record: Mapping[str, Any], name: str) -> Predictions | None:
    path = run / "predictions" / f"{name}.jsonl"
    return Predictions.load(path, tuple(record.get("labels", ()))) if path.exists() else None


def _may_be_same(ours: Predictions, theirs: Predictions) -> bool:
    """Whether the labels, and the texts that both recorded, are equal document by document."""
    one, other = (np.array(of.labels)[of.truth] for of in (ours, theirs))
    return np.array_equal(one, other) and all(
        a == b for a, b in zip(ours.texts, theirs.texts, strict=True) if None not in (a, b)
    )


def _curves(
    records: Mapping[str, dict[str, Any]], folders: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """For each stage: its charts and, for each run that has it, (run, updates done, updates planned, seconds)."""
    curves = {
        run: read_curves(folders[run] / "metrics.jsonl", record.get("stages", {}))
        for run, record in records.items()
    }
    found = []
    for number, name in enumerate(dict.fromkeys(stage for of in curves.values() for stage in of)):
        having = {run: of[name] for run, of in curves.items() if name in of}
        stages = {run: records[run]["stages"][name] for run in having}
        charts = compared_charts(name, having, f"s{number}") if can_draw() else []
        rows = [(run, of.done, of.phases[-1], stages[run]["seconds"]) for run, of in having.items()]
        found.append({"name": name, "charts": charts, "rows": rows})
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows)]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
