"""What the verbs that train may be told. What they do is in test_cli.py."""

import sys
from dataclasses import fields
from pathlib import Path

import polars
import pytest

from ulmfit.cli import COMMANDS, main
from ulmfit.commands.train import Fit, write_report
from ulmfit.config import ClassifierConfig, FinetuneConfig, FitConfig, PretrainConfig
from ulmfit.files.checkpoint import save_json
from ulmfit.text.document import Document

CONFIGS = {
    "fit": FitConfig,
    "pretrain-lm": PretrainConfig,
    "finetune-lm": FinetuneConfig,
    "train-classifier": ClassifierConfig,
    "label-curve": FitConfig,
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_that_trains_has_its_config_a_seed_and_a_directory(verb: str) -> None:
    names = {field.name: field.default for field in fields(COMMANDS[verb])}
    trains = verb in CONFIGS
    assert ("config" in names) == trains or verb == "label-curve"  # many trainings
    if trains:
        assert isinstance(names["config"], CONFIGS[verb])
        assert {"out", "overwrite", "runtime"} <= names.keys()
        assert "tensorboard" in names or verb == "label-curve"  # of many short trainings


def test_a_missing_file_is_said_before_any_work() -> None:
    with pytest.raises((ValueError, OSError), match=r"nosuch\.csv"):
        Fit("nosuch.csv", "out").run()


@pytest.mark.parametrize("verb", ["pretrain-lm", "finetune-lm"])
def test_numbers_that_train_nothing_are_refused_before_a_run_is_replaced(
    verb: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"kind": "run", "finished": true}')
    flags = ["--epochs", "0"] + (["--frozen-epochs", "0"] if verb == "finetune-lm" else [])
    with pytest.raises(SystemExit, match="nothing would be trained"):
        main([verb, str(tmp_path / "a.txt"), "--out", str(tmp_path / "run"), "--overwrite", *flags])
    assert (tmp_path / "run" / "config.json").read_text() == '{"kind": "run", "finished": true}'


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--vocab-of", "MODEL", "--tokenizer.lang", "de"), "leave out --tokenizer"),
        (("--init-embeddings", "MODEL", "--tokenizer.kind", "sentencepiece"), "kind words, this"),
        (("--init-embeddings", "MODEL", "--vocab-of", "MODEL"), "8 numbers, this model's 256"),
        (("--tokenizer.max-vocab", "5"), "leaves no room"),
    ],
)
def test_tokenizers_that_contradict_are_refused_before_a_run_is_begun(
    flags: tuple[str, ...], reason: str, lm_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a text\n")
    given = [flag.replace("MODEL", str(lm_directory)) for flag in flags]
    with pytest.raises(SystemExit, match=reason):
        main(["pretrain-lm", str(tmp_path / "a.txt"), "--out", str(tmp_path / "run"), *given])
    assert not (tmp_path / "run").exists()


@pytest.fixture
def table(reviews: list[Document], tmp_path: Path) -> str:
    rows = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(rows).write_csv(tmp_path / "reviews.csv")
    return str(tmp_path / "reviews.csv")


@pytest.mark.parametrize("verb", [v for v in CONFIGS if v != "label-curve"])
def test_a_missing_tensorboard_is_said_before_any_training(
    verb: str, table: str, lm_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    start = {"pretrain-lm": [], "train-classifier": ["--lm", str(lm_directory)]}
    more = start.get(verb, ["--pretrained", str(lm_directory)])
    with pytest.raises(SystemExit, match="pip install tensorboard"):
        main([verb, table, "--out", str(tmp_path / "run"), "--tensorboard", *more])
    assert not (tmp_path / "run").exists()


# ---- the report behind a fit ----


def test_a_fit_ends_with_its_report(
    table: str, lm_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tiny = tmp_path / "run", "--lm.epochs 1 --lm.min-steps 4 --classifier.min-steps 4"
    command = ["fit", table, "--out", str(out), "--pretrained", str(lm_directory), *tiny.split()]
    main(command)
    assert f"report: {out / 'report.html'}" in capsys.readouterr().err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Validation set" not in page and "<b>validation set</b>" in page  # the only one
    assert 'class="missing"' not in page and "60" in page.split('id="lengths"')[1]
    (out / "report.html").unlink()  # killed just before it was written
    main(command)
    assert f"{out} is finished except for its report" in capsys.readouterr().err
    assert (out / "report.html").read_text(encoding="utf-8") == page
    for more in ([], ["--no-report"]):
        with pytest.raises(SystemExit, match="holds a finished run"):
            main([*command, *more])


@pytest.fixture
def finished(tmp_path: Path) -> str:
    record = {"kind": "run", "finished": True, "command": "ulmfit fit", "identity": "x"}
    save_json(tmp_path / "config.json", record | {"config": {}, "versions": {"ulmfit": "0.0"}})
    return str(tmp_path)


def test_a_report_that_fails_is_said_and_the_run_stands(
    finished: str, reviews: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(finished) / "report.html").mkdir()  # in the way
    write_report(finished, {"labelled": reviews}, FitConfig(pretrained="none"))
    said = capsys.readouterr().err
    assert "no report: " in said and f"`ulmfit report {finished}` retries" in said


def test_very_many_texts_are_not_examined(
    finished: str,
    reviews: list[Document],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ulmfit.commands.train.EXAMINED", 59)
    write_report(finished, {"labelled": reviews}, FitConfig(pretrained="none"))
    assert "60 texts are too many" in capsys.readouterr().err
    assert "were not examined" in (Path(finished) / "report.html").read_text(encoding="utf-8")
