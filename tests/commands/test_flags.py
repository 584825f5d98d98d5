"""What verbs share: columns, the machine, a run directory that is given back."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from ulmfit.cli import main, parse
from ulmfit.commands.flags import Machine, Sources, open_run
from ulmfit.config import FinetuneConfig, RuntimeConfig, TokenizerConfig
from ulmfit.files.checkpoint import load_json


def test_the_machine_has_the_defaults_of_training() -> None:
    default, machine = RuntimeConfig(), Machine()
    for name in ("device", "precision", "threads"):
        assert getattr(machine, name) == getattr(default, name)
    assert Machine(device="cpu").start(7).device == torch.device("cpu")
    assert torch.initial_seed() == 7


def test_columns_read_several_files_or_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert [d.text for d in Sources(split_on="line").read_all(files)] == ["a", "b"]
    assert Sources().read(None) == []
    with pytest.raises(ValueError, match="at least one file"):
        Sources().read_all([])


def test_columns_patterns_and_bad_rows_reach_the_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"t,u,y\n{name},1,x\n{name}\n")
    command = f"evaluate model {tmp_path}/*.csv --text-column t u --label-column y --on-bad skip"
    verb, *rest = command.split()
    parsed = parse(verb, rest)
    read = parsed.columns.read(parsed.data)
    assert [(d.text, d.label) for d in read] == [
        ("xxfld 1 a xxfld 2 1", "x"),
        ("xxfld 1 b xxfld 2 1", "x"),
    ]
    assert "2 of 4 rows skipped" in capsys.readouterr().err
    assert parse("predict", ["model", "a.csv", "--text-column", "t"]).text_column == ("t",)


@dataclass
class Verb:
    out: str
    direction: str = "forward"
    overwrite: bool = False
    tensorboard: bool = False
    columns: Sources = Sources(split_on="line", data_dir="data")
    tokenizer: TokenizerConfig = TokenizerConfig()
    config: FinetuneConfig = FinetuneConfig()
    runtime: RuntimeConfig = RuntimeConfig(device="cpu")


def test_a_run_is_finished_or_goes_on(tmp_path: Path) -> None:
    verb = Verb(str(tmp_path / "run"))
    negative = replace(verb, runtime=RuntimeConfig(max_minutes=-1))
    with pytest.raises(ValueError, match="max-minutes"), open_run(negative, []):
        pass
    assert not (tmp_path / "run").exists()
    with pytest.raises(ZeroDivisionError), open_run(verb, []):
        raise ZeroDivisionError
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]  # no lock is left
    with open_run(verb, []) as (run, runtime):
        assert run.path == tmp_path / "run" and runtime.device.type == "cpu"
    record = load_json(tmp_path / "run" / "config.json")
    assert record["finished"] and record["config"]["direction"] == "forward"
    assert record["columns"]["split_on"] == "line" and "data_dir" not in record["columns"]


def test_a_file_wins_over_a_data_set_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").write_text("a film\n")
    assert [d.text for d in Sources().read("imdb", labelled=False)] == ["a film"]
    assert "not the public data set" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\nWhy ?,DESC\n")
    (tmp_path / "trec-6").write_text("another\n")
    columns = Sources(data_dir="data")  # then the name wins
    assert [d.label for d in columns.read("trec-6")] == ["DESC"]
    assert [d.text for d in columns.read_all(["trec-6"])] == ["Why ?"]
    with pytest.raises(ValueError, match="no data set of that name"):
        columns.read("trec")


def test_a_pattern_in_a_folder_named_like_a_data_set_is_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").mkdir()
    for name in ("a", "b"):
        (tmp_path / "imdb" / f"{name}.csv").write_text(f"text,label\n{name},x\n")
    assert [d.text for d in Sources().read("imdb/*.csv")] == ["a", "b"]
    assert "not the public data set" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"imdb has no part '\*\.tsv'"):
        Sources().read("imdb/*.tsv")


@pytest.mark.parametrize(
    "command",
    [
        "fit r.csv --test t.csv --out o",
        "train-classifier r.csv --lm wikipedia-small --out o",
        "pretrain-lm r.csv more.txt --out o",
        "finetune-lm r.csv --out o",
        "find-lr r.csv",
        "evaluate wikipedia-small r.csv",
    ],
)
def test_a_data_dir_wants_a_name(command: str) -> None:
    with pytest.raises(SystemExit, match=r"--data-dir /nope .* none was named \(given: r\.csv"):
        main([*command.split(), "--data-dir", "/nope"])
    Sources(data_dir="/nope").check("r.csv", None, "imdb/test")
    Sources().check("r.csv")
