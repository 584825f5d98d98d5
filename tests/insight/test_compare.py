"""Runs beside each other: real (tiny) ones for what they record, made-up records for what is said of them."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit.config import RuntimeConfig
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.insight.compare import compare
from ulmfit.insight.scores import mcnemar
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, reviews: list[Document]
) -> tuple[Path, Path]:
    """Two runs on the same documents, of other seeds and learning rates."""
    path = tmp_path_factory.mktemp("compare")
    LanguageModel.create(tokenizer, TINY).save(path / "lm" / "forward" / "language_model")
    config = replace(TINY_FIT, pretrained=str(path / "lm"), finetune=False)
    for seed, lr in ((0, 0.05), (1, 0.01)):
        changed = replace(config, classifier=replace(config.classifier, lr=lr))
        runtime = RuntimeConfig(device="cpu", seed=seed)
        out = path / f"seed{seed}"
        ulmfit.fit(reviews[:40], test=reviews[40:], config=changed, runtime=runtime, out=out)
    return path / "seed0", path / "seed1"


Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A run's record, with predictions of which `right` are right."""

    def made(name: str, right: list[bool] | None = None, **facts: Any) -> Path:
        run = tmp_path / name
        record = {"kind": "run", "finished": True, "command": f"ulmfit fit --out {name}"}
        record |= {"config": {"config": {"lr": 1}}, "labels": ["a", "b"], "data": "d"}
        if right is not None:
            record["results"] = {
                "test": {"accuracy": float(np.mean(right)), "documents": len(right)}
            }
            rows = [
                {
                    "label": "ab"[i % 2],
                    "probabilities": [1.0, 0.0] if (i % 2 == 0) == r else [0.0, 1.0],
                }
                | ({} if r else {"text": f"text {i}"})
                for i, r in enumerate(right)
            ]
            (run / "predictions").mkdir(parents=True)
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (run / "predictions" / "test.jsonl").write_text(lines)
        save_json(run / "config.json", record | facts)
        return run

    return made


def test_two_real_runs(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    found = compare(runs, out=page)
    assert found.runs == ("seed0", "seed1")
    # each seed holds out other documents
    assert found.notes == ("the validation sets of seed1 and seed0 are not the same documents",)
    assert dict(found.settings) == {
        "config.classifier.lr": ("0.05", "0.01"),
        "runtime.seed": ("0", "1"),
    }
    records = [load_json(run / "config.json") for run in runs]
    for score in found.scores:
        assert score.values == tuple(r["results"][score.set][score.metric] for r in records)
        assert (score.metric == "accuracy") == (score.intervals[0] is not None)
    assert {score.set for score in found.scores} == {"test", "validation"}
    (test,) = found.tests
    assert (test.set, test.run, test.first, test.documents) == ("test", "seed1", "seed0", 20)
    assert test.known_same
    a, b = (r["results"]["test"]["accuracy"] for r in records)
    assert test.difference.value == pytest.approx(b - a)
    text = page.read_text(encoding="utf-8")
    assert text.count('<svg class="chart"') >= 2 and "seed1 alone is right on" in text
    assert "<script" not in text and not re.search(r'(src|href)="(?!#)', text)
    assert json.dumps(dict(found.settings)["runtime.seed"]) == '["0", "1"]'


def test_updates_are_those_that_were_made(runs: tuple[Path, Path], tmp_path: Path) -> None:
    stopped = shutil.copytree(runs[0], tmp_path / "stopped")
    lines = (stopped / "metrics.jsonl").read_text().splitlines(keepends=True)
    kept = next(i for i, line in enumerate(lines, 1) if json.loads(line)["kind"] == "epoch")
    (stopped / "metrics.jsonl").write_text("".join(lines[:kept]))
    (stage,) = load_json(stopped / "config.json")["stages"].values()
    steps = [phase["steps"] for phase in stage["phases"]]
    compare([stopped, runs[0]], out=tmp_path / "compare.html")
    told = re.findall(r"(\w+): ([^:]*updates.*?) in ", (tmp_path / "compare.html").read_text())
    assert told == [
        ("stopped", f"{stage['steps_per_epoch']} of {sum(steps)} updates recorded"),
        ("seed0", f"{sum(steps)} updates"),
    ]


def test_a_run_and_its_copy_differ_in_nothing(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "copy")
    found = compare([runs[0], tmp_path / "copy"])
    assert found.settings == () and "all recorded settings are the same" in str(found)
    assert all(t.p == 1.0 and t.difference.value == 0 for t in found.tests)
    assert "within chance" in str(found)


def test_the_exact_test_is_the_binomials() -> None:
    stats = pytest.importorskip("scipy.stats")
    for ours, theirs in [(0, 0), (0, 1), (5, 0), (3, 9), (40, 41), (120, 90), (4000, 4200)]:
        expected = stats.binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
        assert mcnemar(ours, theirs) == pytest.approx(expected)
        assert mcnemar(ours, theirs) == mcnemar(theirs, ours)


def test_each_run_is_compared_with_the_first(made: Made) -> None:
    base = [True] * 30 + [False] * 30
    better = [True] * 45 + [False] * 15
    found = compare([made("one", base), made("two", better), made("three", base)])
    (two, three) = found.tests
    assert (two.only_run, two.only_first, two.documents) == (15, 0, 60)
    assert two.p == pytest.approx(2 / 2**15) and "within chance" not in str(two)
    assert "+25.0 points for two" in str(two) and "as far as the runs recorded" in str(two)
    assert (three.only_run, three.only_first, three.p) == (0, 0, 1.0)


def test_other_documents_are_not_paired(made: Made) -> None:
    right = [True] * 10 + [False] * 10
    one = made("one", right, sets={"test": "x"})
    found = compare([one, made("other", right, sets={"test": "y"})])
    assert found.tests == () and "not the same documents" in found.notes[0]
    assert len(compare([one, made("same", right, sets={"test": "x"})]).tests) == 1
    old = made("old", right)
    assert not compare([one, old]).tests[0].known_same
    lines = (old / "predictions" / "test.jsonl").read_text().replace("text 15", "another text")
    (old / "predictions" / "test.jsonl").write_text(lines)
    assert compare([one, old]).tests == ()
    assert compare([one, made("longer", [*right, True])]).tests == ()


def test_what_stands_in_the_way_is_said(made: Made) -> None:
    unfinished = made("going", finished=False)
    found = compare(
        [made("one", [True, False]), unfinished, made("old", data=None), made("new", data="e")]
    )
    notes = " / ".join(found.notes)
    assert "going is not finished" in notes and "old: no fingerprint" in notes
    assert "not all given the same texts" in notes
    assert found.scores[0].values == (0.5, None, None, None) and "–" in str(found)


def test_settings_that_one_run_lacks(made: Made) -> None:
    one = made("one", versions={"torch": "2.1"})
    two = made("two", config={"config": {"lr": 1, "new": True}}, versions={"torch": "2.2"})
    assert dict(compare([one, two]).settings) == {
        "config.new": (None, "True"),
        "versions.torch": ("2.1", "2.2"),
    }


def test_runs_of_one_name_are_told_apart(tmp_path: Path, made: Made) -> None:
    found = compare([made("a/runs/demo"), made("b/runs/demo")])
    assert found.runs == ("a/runs/demo", "b/runs/demo")


def test_names_and_settings_do_not_become_markup(made: Made, tmp_path: Path) -> None:
    bad = made("<b>x", command="<script>alert(1)</script>", config={"config": {"<i>": "<u>"}})
    compare([bad, made("two")], out=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<b>x" not in text and "<i>" not in text and "<u>" not in text


def test_what_can_not_be_compared(made: Made, tmp_path: Path) -> None:
    one = made("one")
    for given in ([], [one], [one, one]):
        with pytest.raises(ValueError, match="give two runs or more, each once"):
            compare(given)
    save_json(tmp_path / "model" / "config.json", {"kind": "classifier"})
    with pytest.raises(CheckpointError, match="is not a run directory"):
        compare([one, tmp_path / "model"])
