"""The command as people type it: what it prints, and what it says when something is wrong."""

import io
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from unittest.mock import Mock

import polars
import pytest
from tiny import TINY

import ulmfit
from ulmfit.classifier import TextClassifier
from ulmfit.cli import BY_HAND, COMMANDS, GO_ON, main, parse
from ulmfit.commands.flags import Sources
from ulmfit.config import ClassifierConfig, OutOfTime
from ulmfit.files.checkpoint import load_json
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(
    tmp_path: Path,
    lm: LanguageModel,
    lm_directory: Path,
    reviews: list[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with train.csv, test.csv, a classifier in `c`, language models in `pretrained`."""
    monkeypatch.chdir(tmp_path)
    for name, part in (("train", reviews[:48]), ("test", reviews[48:])):
        table = {"text": [d.text for d in part], "label": [d.label for d in part]}
        polars.DataFrame(table).write_csv(f"{name}.csv")
    TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(tmp_path / "c")
    return tmp_path


def fit(*more: str, data: str = "train.csv") -> None:
    tiny = "--pretrained pretrained --lm.epochs 1 --lm.batch-size 8 --lm.bptt 10 --lm.min-steps 4"
    tiny += " --classifier.min-steps 4 --no-report"
    main(["fit", data, "--out", "run", *tiny.split(), "--device", "cpu", *more])


def error(*arguments: str) -> str:
    """The one line that a mistake ends with."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    message = str(ended.value.code)
    assert message.startswith("ulmfit: ") and message.count("\n") == 0, message
    return message


# ---- every verb ----


@pytest.mark.parametrize("verb", COMMANDS)
def test_help(verb: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert not re.search(r"│ +\(default|--[\w.-]+ [A-Z{][^ ]* +\(default", shown)  # all explained
    assert ("--config FILE" in shown) == any(f.name == "config" for f in fields(COMMANDS[verb]))
    assert "pyright" not in shown and "ruff" not in shown  # comments of tools are no help
    assert f"ulmfit {verb}" in shown and str(COMMANDS[verb].__doc__).split(",")[0][:30] in shown


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_the_overview_names_every_verb(arguments: list[str], capsys: Captured) -> None:
    main(arguments)
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in COMMANDS)


def test_version(capsys: Captured) -> None:
    main(["--version"])
    assert capsys.readouterr().out.strip() == "0.1.0"


def test_unknown_verbs_and_flags(capsys: Captured) -> None:
    assert "predict" in error("predcit")
    with pytest.raises(SystemExit) as ended:
        main(["predict", "c", "--txt", "x"])
    assert ended.value.code == 2
    assert "--txt" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_fit_evaluate_predict_replay(capsys: Captured) -> None:
    fit("--test", "test.csv")
    shown = capsys.readouterr()
    assert shown.out == "" and "test set: accuracy" in shown.err and "saved in run" in shown.err

    main(["evaluate", "run", "test.csv", "--json", "--device", "cpu"])
    measured = json.loads(capsys.readouterr().out)
    assert measured == pytest.approx(load_json(Path("run/config.json"))["results"]["test"])

    main(["evaluate", "run", "test.csv", "--device", "cpu"])
    assert capsys.readouterr().out.split()[0] == "accuracy"

    main(["generate", "run", "--prompt", "the film", "--tokens", "4"])
    assert capsys.readouterr().out.startswith("the film")

    fit_again = ["fit", "train.csv", "--config", "run/config.json", "--out", "again", "--seed", "5"]
    main([*fit_again, "--no-report"])
    old, new = (load_json(Path(p) / "config.json")["config"] for p in ("run", "again"))
    assert new["runtime"].pop("seed") == 5 and old["runtime"].pop("seed") == 0
    assert new == old
    assert error(*fit_again, "--no-report").endswith("--overwrite to replace it")


@pytest.mark.usefixtures("here")
def test_a_replay_reads_files_as_the_run_did() -> None:
    """Also into the same kind of classifier; a flag still wins, and None stands for what was left out."""
    rows = polars.read_csv("train.csv").rows()
    lines = [
        f'"{text}",{label};{("new", "old")[i // 2 % 2]}' for i, (text, label) in enumerate(rows)
    ]
    Path("tags.csv").write_text("\n".join(["body,tags", *lines, ",no text\n"]))
    told = "--text-column body --label-column tags --label-separator ; --on-bad skip --no-finetune"
    fit(*told.split(), data="tags.csv")
    again = ["fit", "tags.csv", "--config", "run/config.json", "--out", "again"]
    main([*again, "--no-report"])
    old, new = (load_json(Path(p) / "config.json") for p in ("run", "again"))
    assert all(new[name] == old[name] for name in ("identity", "config", "data", "columns"))
    assert ulmfit.load("again").labels == ("bad", "good", "new", "old")
    columns = parse("fit", [*again[1:], "--label-separator", "None", "--on-bad", "error"]).columns
    assert columns == Sources(text_column=("body",), label_column="tags")


@pytest.mark.usefixtures("here")
def test_dry_run(capsys: Captured) -> None:
    fit("--dry-run")
    shown = capsys.readouterr()
    assert "frozen" in shown.err and "training would take less than a minute here" in shown.err
    assert not Path("run").exists()


@pytest.mark.usefixtures("here")
def test_dry_run_of_a_classifier_and_plain_text_beside_it(capsys: Captured) -> None:
    Path("all.txt").write_text("the film was great .\n\nthe plot was awful .\n" * 9)
    fit("--unlabelled", "all.txt", "--split-on", "line", "--dry-run")
    main(
        [
            "train-classifier",
            "train.csv",
            "--lm",
            "pretrained",
            "--out",
            "run",
            "--dry-run",
            "--device",
            "cpu",
        ]
    )
    of_fit, of_classifier = capsys.readouterr().err.split("training would take")[:2]
    assert "for the language model" in of_fit and "language model" not in of_classifier
    assert not Path("run").exists()
    main(
        ["evaluate", "pretrained/forward/language_model", "all.txt", "--split-on", "line", "--json"]
    )
    assert json.loads(capsys.readouterr().out)["documents"] == 18


@pytest.mark.usefixtures("here")
def test_language_models_are_trained_and_measured(capsys: Captured) -> None:
    Path("texts.txt").write_text("\n".join(f"the film number {i} was great ." for i in range(40)))
    small = [
        "--split-on",
        "line",
        "--batch-size",
        "4",
        "--bptt",
        "5",
        "--device",
        "cpu",
        "--epochs",
        "1",
    ]
    main(["finetune-lm", "texts.txt", "--out", "ft", "--pretrained", "pretrained", *small])
    replay = parse("finetune-lm", ["more.txt", "--out", "x", "--config", "ft/config.json"])
    assert replay.columns == Sources(split_on="line") and replay.config.epochs == 1
    main(["evaluate", "ft", "texts.txt", "--json"])
    assert json.loads(capsys.readouterr().out)["perplexity"] > 1
    train = "train-classifier train.csv --lm ft --out run --min-steps 4 --device cpu"
    main(train.split())
    assert isinstance(ulmfit.load("run"), TextClassifier)
    replay = "train-classifier train.csv --config run/config.json --out again --lr 0.01"
    main(replay.split())
    old, new = (load_json(Path(p) / "config.json")["config"] for p in ("run", "again"))
    assert new["config"]["classifier"].pop("lr") == 0.01 != old["config"]["classifier"].pop("lr")
    assert new == old
    assert "another command" in error(
        "train-classifier", "train.csv", "--config", "ft/config.json", "--out", "third"
    )
    lm = ulmfit.load("ft")
    assert lm.tokenizer == ulmfit.load("run").tokenizer
    assert "give another --out" in error(
        "train-classifier", "train.csv", "--lm", "ft", "--out", "ft", "--overwrite"
    )


def test_pretraining_from_the_command_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.commands.train.SMALL", TINY)
    Path("a.txt").write_text("".join(f" = {i} = \n\n the film was great .\n\n" for i in range(20)))
    (here / "b").mkdir()
    Path("b/b.txt").write_text(
        "".join(f" = {i} = \n\n the plot was awful .\n\n" for i in range(20))
    )
    pretrain = "pretrain-lm a.txt b --out lm --batch-size 2 --bptt 10 --negatives 4 --device cpu"
    main([*pretrain.split(), "--direction", "backward"])
    made = ulmfit.load("lm")
    assert made.config.direction == "backward" and {"great", "plot"} <= set(made.tokenizer.vocab)


@pytest.mark.usefixtures("here")
def test_shipped_models_are_measured_by_name(capsys: Captured) -> None:
    Path("texts.txt").write_text("The film was great .\n")
    main(["evaluate", "wikipedia-small-forward", "texts.txt"])
    assert "perplexity" in capsys.readouterr().out


def test_generate_and_models_need_no_files(capsys: Captured) -> None:
    main(["models"])
    assert "wikipedia-small-forward" in capsys.readouterr().out
    main(["models", "--json"])
    assert "wikipedia-small-forward" in json.loads(capsys.readouterr().out)
    for _ in range(2):
        main(["generate", "--prompt", "the", "--tokens", "3", "--samples", "2", "--json"])
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and len(json.loads(first)) == 2


# ---- predict ----


@pytest.mark.usefixtures("here")
def test_predict_one_text(capsys: Captured) -> None:
    main(["predict", "c", "--text", "a superb film", "--device", "cpu"])
    label, probability = capsys.readouterr().out.split()
    main(["predict", "c", "--text", "a superb film", "--device", "cpu", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["label"] == label in ("bad", "good")
    assert found["probability"] == pytest.approx(float(probability), abs=1e-3)


@pytest.mark.usefixtures("here")
def test_predict_tables(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["predict", "c", "test.csv"])
    plain = capsys.readouterr().out
    assert plain.splitlines()[0] == "text,label,prediction,probability"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("test.csv").read_bytes())))
    main(["predict", "c", "-"])
    assert capsys.readouterr().out == plain
    for suffix, read in (
        ("csv", polars.read_csv),
        ("jsonl", polars.read_ndjson),
        ("parquet", polars.read_parquet),
    ):
        main(["predict", "c", "test.csv", "--out", f"scored.{suffix}"])
        assert read(f"scored.{suffix}").columns == ["text", "label", "prediction", "probability"]
    assert capsys.readouterr().out == ""


# ---- bad input: one line, what to do, and nothing lost ----


def write(content: str | bytes) -> None:
    Path("bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,mark\na,b\n", "--label-column"),
        ("a,b\nx,y\n", "--text-column"),
        ("", "is empty"),
        ("text,label\n", "no rows"),
        ("text,label\na,x\n,y\n", "no text in 1 row (line 3)"),
        ("text,label\na,x\nb,\n", "no label in 1 row (line 3)"),
        ("text,label\na,x\nb,x\n", "at least two labels"),
        ("text,label\na,x\nb,x\nc,y\n", "give each at least two, or remove them"),
        (b"text,label\n" + "хороший фильм,x\n".encode("cp1251"), "Save the file as UTF-8"),
        ('text,label\n"a,x\nb,y\n', "bad.csv"),
    ],
)
@pytest.mark.usefixtures("here")
def test_bad_tables(content: str | bytes, reason: str) -> None:
    write(content)
    assert reason in error("fit", "bad.csv", "--out", "run", "--pretrained", "pretrained")
    assert not Path("run").exists()


@pytest.mark.usefixtures("here")
def test_bad_arguments() -> None:
    train, out = ["fit", "train.csv"], ["--out", "run", "--pretrained", "pretrained"]
    write("text\n\n  \n")
    Path("edited.json").write_text(json.dumps({"config": {"config": 3}}))
    for arguments, reason in (
        (["fit", "nosuch.csv", *out], "no file or folder nosuch.csv"),
        ([*train, *out, "--label-column", "mark"], "no column 'mark'; there are 'text', 'label'"),
        ([*train, *out, "--text-column", "body"], "no column 'body'"),
        ([*train, *out, "--unlabelled", "bad.csv"], "bad.csv"),
        ([*train, *out, "--valid", "nosuch.csv"], "nosuch.csv"),
        ([*train, *out, "--tokenizer.lang", "de"], "--pretrained none"),
        ([*train, *out, "--tokenizer.rules", "clean"], "made with fastai"),
        ([*train, "--out", "run", "--pretrained", "huge"], "wikipedia-small-forward"),
        ([*train, *out, "--device", "tpu"], "auto, cpu, cuda"),
        ([*train, *out, "--classifier.keep", "best"], "keep=last"),
        ([*train, *out, "--config", "nosuch.json"], "nosuch.json"),
        ([*train, *out, "--config"], "--config"),
        ([*train, *out, "--config", "c/config.json"], "run directory"),
        ([*train, *out, "--config", "edited.json"], "FitConfig must be a JSON object, not 3"),
        (["predict", "c", "great film"], "great film"),  # never taken for a text
        (["predict", "c"], "--text"),
        (["predict", "c", "test.csv", "--text", "a"], "not both"),
        (["predict", "nosuch", "test.csv"], "nosuch does not exist"),
        (["predict", "test.csv", "c"], "test.csv is a file"),
        (["predict", "pretrained/forward/language_model", "test.csv"], "train-classifier"),
        (["evaluate", "c", "nosuch.csv"], "nosuch.csv"),
        (["generate", "pretrained", "--top-k", "0"], "top_k"),
        (["generate", "pretrained", "--samples", "0"], "--samples must be at least 1, not 0"),
        (["report", "nosuch"], "nosuch does not exist; give the directory of a run"),
        (["report", "train.csv"], "train.csv is a file; give the directory of a run"),
        (["push", "c", "bare"], "'bare' names no owner; give owner/name, such as your-name/bare"),
        (["pretrain-lm", "nosuch.txt", "--out", "lm"], "nosuch.txt"),
    ):
        assert reason in error(*arguments), arguments
        assert not Path("run").exists()


@pytest.mark.usefixtures("here")
def test_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only trainings have several processes, and each says which it is."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert "evaluate runs in one process" in error("evaluate", "c", "test.csv")
    assert "ulmfit: process 1: there is no file" in error("fit", "nosuch.csv", "--out", "run")


@pytest.mark.parametrize("verb", ["pretrain-lm", "finetune-lm"])
def test_texts_are_required(verb: str, here: Path) -> None:
    assert "at least one file or folder" in error(verb, "--out", "lm")
    assert not (here / "lm").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_damaged_models(name: str, here: Path) -> None:
    file = here / "c" / name
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x00" * 50):
        file.write_bytes(content)
        assert name in error("predict", "c", "--text", "a")
    file.unlink()
    assert name in error("predict", "c", "--text", "a")


@pytest.mark.usefixtures("here")
def test_where_nothing_can_be_written() -> None:
    """A file where a folder is needed, since the administrator may write everywhere."""
    Path("taken").write_text("mine")
    assert "taken" in error("fit", "train.csv", "--out", "taken", "--pretrained", "pretrained")
    assert "taken" in error("fit", "train.csv", "--out", "taken/x", "--pretrained", "pretrained")
    assert "taken" in error("predict", "c", "test.csv", "--out", "taken/x.csv")
    assert Path("taken").read_text() == "mine"


@pytest.mark.usefixtures("here")
def test_stopped_by_hand_it_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def stop(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ulmfit.prepare_classifier.classifier_loss", stop)
        with pytest.raises(SystemExit) as ended:
            fit()
    assert ended.value.code == BY_HAND
    assert "repeat the command to go on" in capsys.readouterr().err
    assert "not finished" in error("predict", "run", "--text", "a")
    fit()
    assert "language_model is finished" in capsys.readouterr().err
    assert isinstance(ulmfit.load("run"), TextClassifier)


@pytest.mark.usefixtures("here")
def test_what_keeps_nothing_promises_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for raised, code, told in (
        (KeyboardInterrupt, BY_HAND, "\nulmfit: stopped\n"),
        (OutOfTime("SIGTERM received"), GO_ON, "ulmfit: SIGTERM received\n"),
    ):
        monkeypatch.setattr(COMMANDS["explain"], "run", Mock(side_effect=raised))
        with pytest.raises(SystemExit) as ended:
            main(["explain", "c", "--text", "a"])
        assert ended.value.code == code and capsys.readouterr().err == told


@pytest.mark.usefixtures("here")
def test_out_of_time_it_goes_on_later(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        fit("--max-minutes", "0")
    assert ended.value.code == GO_ON
    assert "repeat the command to go on" in capsys.readouterr().err
    fit()
    assert "going on with it" in capsys.readouterr().err
    assert isinstance(ulmfit.load("run"), TextClassifier)
