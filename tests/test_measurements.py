"""Measurements of the method itself: what they draw, train and record, at a tiny size."""

import argparse
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import polars
import pytest
from tiny import TINY_FIT

from benchmarks import ablations, few_labels, imbalance, label_kinds, next_labels, record
from ulmfit.config import SMALL_CLASSIFIER, FitConfig
from ulmfit.files.checkpoint import save_json
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document


@pytest.mark.parametrize("what", [ablations, few_labels, imbalance, label_kinds, next_labels])
def test_help(
    what: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [what.__name__, "--help"])
    with pytest.raises(SystemExit) as ended:
        what.main()
    assert ended.value.code == 0
    assert f"python -m {what.__name__}" in capsys.readouterr().out


def test_few_labels_are_drawn_in_proportion() -> None:
    pool = [Document(f"text {i}", "ab"[i % 5 == 0]) for i in range(100)]
    chosen = few_labels.draw(pool, 20, seed=0)
    assert Counter(d.label for d in chosen) == {"a": 16, "b": 4}
    assert chosen == few_labels.draw(pool, 20, seed=0) != few_labels.draw(pool, 20, seed=1)
    assert min(Counter(d.label for d in few_labels.draw(pool, 4, seed=0)).values()) >= 2


def test_few_labels_measures_and_records(
    lm: LanguageModel, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    documents = random.Random(0).sample(reviews, len(reviews))
    told = argparse.Namespace(sizes=[8], draws=[0, 1], out=tmp_path / "runs", threads=1)
    backward = LanguageModel.create(lm.tokenizer, replace(lm.config, direction="backward"))
    few_labels.measure("tiny", [lm, backward], documents[:40], documents, documents[40:], told)
    lines = record.read("few_labels")
    assert [line["seed"] for line in lines] == [0, 1]
    for line in lines:
        assert line["labels"] == 8 and line["epochs"] == list(SMALL_CLASSIFIER.epochs)
        assert all(0 <= line[name] <= 1 for name in ("forward", "backward", "ulmfit", "tfidf"))


@pytest.mark.parametrize("by", ["linear", "trained"])
def test_next_labels_measures_each_strategy_once(
    by: str,
    lm: LanguageModel,
    reviews: list[Document],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    for name, value in (
        ("POOL", 30),
        ("TEST", 20),
        ("FIRST", 8),
        ("MORE", 6),
        ("TRAINING", TINY_FIT.classifier),
    ):
        monkeypatch.setattr(next_labels, name, value)
    lm.save(tmp_path / "run" / "forward" / "language_model")
    for part, documents in (("train", reviews[:36]), ("test", reviews[36:])):
        rows = {"text": [d.text for d in documents], "label": [d.label for d in documents]}
        polars.DataFrame(rows).write_csv(tmp_path / f"{part}.csv")
    files = ["--lm", str(tmp_path / "run"), "--imdb", str(tmp_path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["next_labels", *files, "--by", by, "--draws", "0"])
    next_labels.main()
    assert "ahead in" in capsys.readouterr().out
    lines = record.read("next_labels")
    asked = list(next_labels.STRATEGIES) if by == "linear" else ["next-labels", "random"]
    assert [line.get("strategy") for line in lines if line["labels"] == 14] == asked
    assert all(0 <= line["accuracy"] <= 1 and line["by"] == by for line in lines)
    next_labels.main()
    assert len(record.read("next_labels")) == len(lines)


def test_label_kinds_derives_its_sets_and_records(
    lm_directory: Path, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = [Document(d.text, "1" if d.label == "good" else "0") for d in reviews]
    topics = label_kinds.topics(pool, 20, 0)
    assert {d.label for d in topics} == {("0",), ("1",), ("0", "1")}
    assert {d.label for d in label_kinds.grades(pool, 20, 0)} == {0.0, 1.0}
    shares = label_kinds.shares(pool, 10, 0)
    assert len(shares) == 10 and {d.label for d in shares} <= {0.0, 1.0, 2.0, 3.0}
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    config = replace(TINY_FIT, pretrained=str(lm_directory))
    label_kinds.measure("topics", topics[:16], topics[16:], config, tmp_path / "runs", 1, 1)
    lines = record.read("label_kinds")
    assert [line["setting"] for line in lines] == ["plain", "balanced"]
    assert all("micro_f1" in line[who] for line in lines for who in ("ulmfit", "tfidf"))


def test_imbalance_keeps_the_proportion_and_records(
    lm_directory: Path, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Document(f"{d.text} Number {i}.", d.label) for i in range(3) for d in reviews]
    drawn = imbalance.draw(many, "bad", 4, 0)
    assert Counter(d.label for d in drawn) == {"bad": 4, "good": 40}
    assert Counter(d.label for d in imbalance.draw(many, "bad", 99, 0)) == {"bad": 9, "good": 90}
    found = imbalance.figures(["a", "a", "b", "b"], ["a", "a", "a", "b"], "b")
    assert (found["accuracy"], found["precision"], found["recall"]) == (0.75, 0.5, 1.0)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    config = replace(TINY_FIT, pretrained=str(lm_directory))
    imbalance.measure(many, "bad", config, tmp_path / "runs", 1, 1)
    (line,) = record.read("imbalance")
    assert all(0 <= line[name]["recall"] <= 1 for name in ("tfidf", "plain", "balanced"))


def test_ablations_record_only_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[FitConfig]()
    save_json(tmp_path / "out" / "no-pretraining-0" / "config.json", {"finished": True})
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    for name, value in (
        ("load_reviews", lambda: ablations.Reviews([], [], [])),
        ("baseline_accuracy", lambda *reviews: 0.8),
        ("report", lambda data, baseline: None),
        ("run", lambda reviews, config, *others: started.append(config) or 0.9),
    ):
        monkeypatch.setattr(ablations, name, value)
    told = ["--seeds", "0", "1", "--variants", "no pretraining", "one rate for all layers"]
    monkeypatch.setattr("sys.argv", ["ablations", "--out", str(tmp_path / "out"), *told])
    ablations.main()
    lines = record.read("ablations")
    assert [(line["variant"], line["seed"]) for line in lines] == [
        ("one rate for all layers", 0),
        ("no pretraining", 1),
        ("one rate for all layers", 1),
    ]
    # a new language model where it is that which differs, and else the one of the whole method with that seed
    assert [(config.pretrained, config.finetune) for config in started] == [
        (str(tmp_path / "out" / "whole-0"), False),
        ("none", True),
        (str(tmp_path / "out" / "whole-1"), False),
    ]


def test_ablations_on_other_data(
    lm_directory: Path, reviews: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(rows).write_csv(tmp_path / "train.csv")
    parts = ablations.divided(tmp_path / "train.csv", 10)
    assert len(parts.labelled) == 10 and all(d.label is None for d in parts.unlabelled)
    texts = [d.text for part in vars(parts).values() for d in part]
    assert len(set(texts)) == len(texts) == len(reviews)
    assert len(parts.held_out) == pytest.approx(len(reviews) / 5, abs=1)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(ablations, "RECORDED", tmp_path / "recorded.json")
    small = replace(TINY_FIT, pretrained=str(lm_directory), finetune=False)
    monkeypatch.setattr(ablations, "VARIANTS", {"whole": small})
    told = ["--out", str(tmp_path / "out"), "--data", "tiny", str(tmp_path / "train.csv")]
    monkeypatch.setattr("sys.argv", ["ablations", *told, "--seeds", "0", "--threads", "1"])
    ablations.main()
    (line,) = record.read("ablations")
    assert (line["data"], line["variant"], line["seed"]) == ("tiny", "whole", 0)
    assert line["labels"] == len(reviews) - len(parts.held_out)
    # the demo's means are the demo's alone
    assert not (tmp_path / "recorded.json").exists()


def test_ablations_report_the_mean_of_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"variant": variant, "seed": seed, "accuracy": accuracy}
        for variant, figures in (
            ("whole", (0.5, 0.81, 0.82, 0.83)),
            ("quick", (0.0, 0.80, 0.80, 0.81)),
            ("no pretraining", (0.7, 0.7)),
        )
        for seed, accuracy in zip((0, 0, 1, 2), figures, strict=False)
    ]
    lines = [{"data": "demo", "recipe": ablations.RECIPE} | line for line in lines]
    lines += [lines[0] | {"data": "trec", "accuracy": 0.1}, lines[0] | {"recipe": "another"}]
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(ablations, "RECORDED", tmp_path / "recorded.json")
    (tmp_path / "ablations.jsonl").write_text("\n".join(map(json.dumps, lines)))
    save_json(tmp_path / "recorded.json", {"other": 0.5})
    ablations.report("demo", 0.8)
    recorded = json.loads((tmp_path / "recorded.json").read_text())
    # the other lacks seeds, and stays as it was
    assert recorded == {"ULMFiT, shipped language model": pytest.approx(0.82), "other": 0.5}
    said = capsys.readouterr().out
    assert "82.0% ± 1.0%" in said and "80.3% ± 0.6%  -1.7%" in said
