"""The verb that looks at texts: for people, for programs, and without touching anything."""

import json
from pathlib import Path

import polars
import pytest

from ulmfit import cli
from ulmfit.text.document import Document

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def files(reviews: list[Document], tmp_path: Path) -> tuple[str, str]:
    """40 reviews, one empty, one twice with another label; 10 to test, one of them in train."""
    rows = [(d.text, d.label) for d in reviews]
    train = [*rows[:40], ("", "good"), (rows[3][0], "good")]
    for name, part in (("train.csv", train), ("test.csv", rows[39:50])):
        polars.DataFrame(part, schema=["text", "label"], orient="row").write_csv(tmp_path / name)
    return str(tmp_path / "train.csv"), str(tmp_path / "test.csv")


def test_a_report_for_people(
    files: tuple[str, str], lm_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    before = sorted(tmp_path.rglob("*"))
    train, test = files
    cli.main(["doctor", train, "--test", test, "--pretrained", str(lm_directory)])
    shown = capsys.readouterr().out
    head, first, *_ = shown.splitlines()
    assert head.split()[:3] == ["part", "file", "texts"] and first.split()[:4] == [
        "train",
        train,
        "41",
        "1",
    ]
    assert "no text in 1 row (line 42)" in " ".join(shown.split())
    assert "train 4 (bad), train 41 (good)" in shown
    assert "need fixing" in shown.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_for_programs(files: tuple[str, str], capsys: Captured) -> None:
    train, test = files
    cli.main(["doctor", train, "--test", test, "--pretrained", "none", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {"train": train, "unlabelled": None, "valid": None, "test": test}
    assert told["parts"]["train"]["texts"] == 41 and told["coverage"] is None
    assert told["two_labels"]["texts"] == {"train": 2}
    assert told["overlaps"][0]["equal"] == 1
    assert all(f["advice"] and f["level"] in ("ok", "note", "do") for f in told["findings"])


def test_texts_in_order_need_nothing(tmp_path: Path, capsys: Captured) -> None:
    rows = [(f"number {i} of " + "abcdefgh"[i % 8] * (i // 8 + 1), "ab"[i % 2]) for i in range(40)]
    polars.DataFrame(rows, schema=["text", "label"], orient="row").write_csv(tmp_path / "a.csv")
    cli.main(["doctor", str(tmp_path / "a.csv"), "--pretrained", "none"])
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing needs doing."


@pytest.mark.parametrize("labels", [["x", "y"], [["x"], ["x", "y"]], [0.5, 1.5]])
@pytest.mark.parametrize("given", [("--test",), ("--valid",), ("--valid", "--test")])
def test_labels_of_any_kind_need_no_training_set(
    labels: list, given: tuple[str, ...], tmp_path: Path, capsys: Captured
) -> None:
    rows = [{"text": f"text number {i}", "label": labels[i % 2]} for i in range(20)]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    told = [word for flag in given for word in (flag, str(path))]
    cli.main(["doctor", *told, "--pretrained", "none", "--json"])
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert {name: part["texts"] for name, part in parts.items()} == {flag[2:]: 20 for flag in given}


def test_the_name_of_a_file_is_no_finding(tmp_path: Path, capsys: Captured) -> None:
    rows = [
        (f"text number {i} {'abcdefgh'[i % 8] * i}", "a; b" if i % 2 else "b") for i in range(40)
    ]
    rows += [(rows[0][0], "a")]  # one text under two sets of labels
    path = tmp_path / "skipped.csv"
    polars.DataFrame(rows, schema=["text", "labels"], orient="row").write_csv(path)
    told = ["--label-column", "labels", "--label-separator", ";", "--pretrained", "none"]
    cli.main(["doctor", str(path), *told])
    shown = capsys.readouterr().out
    assert "unusable rows" not in shown and "text is column" not in shown
    assert "train 1 (b), train 41 (a)" in shown


def test_a_text_without_an_end_is_refused(files: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match=r"max_len \(0\) must hold a chunk"):
        cli.main(["doctor", files[0], "--max-len", "0"])


def test_without_a_file_there_is_one_line() -> None:
    with pytest.raises(SystemExit, match="give a file of labelled texts, or --unlabelled"):
        cli.main(["doctor"])
