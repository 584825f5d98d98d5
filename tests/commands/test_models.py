"""The verbs that list models and bring them in. What they do from the command line is in test_cli.py."""

import json
import pickle
from pathlib import Path

import pytest

import ulmfit
from ulmfit.cli import main
from ulmfit.commands.models import ImportFastai, Models
from ulmfit.text.rules import SPECIAL_TOKENS


def test_models_are_listed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Models(json=True).run()
    cards = json.loads(capsys.readouterr().out)
    Models().run()
    shown = capsys.readouterr().out
    assert cards and all(name in shown for name in cards)
    assert {"wikipedia-small-forward", "wt103-forward", "wt103-backward"} <= cards.keys()
    assert "size: 105 MB" in shown and "state: downloaded when used" in shown


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "itos.pkl"
    path.write_bytes(pickle.dumps([*SPECIAL_TOKENS, *(f"w{i}" for i in range(9, 100))]))
    return path


def test_a_model_of_fastais_is_imported(
    goldens: Path, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pth, out = goldens / "fastai_files" / "tiny_lm.pth", tmp_path / "runs" / "mine"
    main(["import-fastai", str(pth), str(vocab), "--out", str(out), "--direction", "backward"])
    assert "assumed to read en, backward" in capsys.readouterr().err
    lm = ulmfit.load(out)
    assert isinstance(lm, ulmfit.LanguageModel) and lm.config.direction == "backward"
    with pytest.raises(SystemExit, match="already exists; give another --out"):
        main(["import-fastai", str(pth), str(vocab), "--out", str(out), "--direction", "forward"])


def test_what_can_not_be_imported_leaves_nothing(
    goldens: Path, vocab: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="lang='xy'"):
        pth = str(goldens / "fastai_files" / "tiny_lm.pth")
        ImportFastai(pth, str(vocab), str(tmp_path / "out"), "forward", lang="xy").run()
    assert not (tmp_path / "out").exists()


def test_the_direction_has_to_be_told(
    goldens: Path, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pth = goldens / "fastai_files" / "tiny_lm.pth"
    with pytest.raises(SystemExit):
        main(["import-fastai", str(pth), str(vocab), "--out", str(tmp_path / "out")])
    assert "--direction" in capsys.readouterr().err


def test_a_directory_that_can_not_be_made_is_said_before_the_work(
    vocab: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/out"):
        ImportFastai("nosuch.pth", str(vocab), str(tmp_path / "file" / "out"), "forward").run()
