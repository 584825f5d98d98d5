"""The examples run, here with tiny models and files."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import polars
import pytest
from tiny import TINY_FIT

import ulmfit
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(p.stem for p in EXAMPLES.glob("*.py")))
def test_help_and_length(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        example(name).main(["--help"])
    assert ended.value.code == 0
    assert f"examples/{name}.py" in capsys.readouterr().out
    assert (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").count("\n") <= 60


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that a script starts from are those of tiny trainings."""
    monkeypatch.setattr(ulmfit, "FitConfig", lambda **values: replace(TINY_FIT, **values))


@pytest.mark.usefixtures("quick")
def test_inference(
    lm_directory: Path,
    reviews: list[Document],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(table).write_csv(tmp_path / "reviews.csv")
    model, out = lm_directory / "forward" / "language_model", tmp_path / "run"
    told = ["--model", str(model), "--data", str(tmp_path / "reviews.csv"), "--out", str(out)]
    inference = example("inference")
    inference.main([*told, "--prompt", "the film"])
    shown = capsys.readouterr().out.splitlines()
    lm = LanguageModel.load(model)
    assert shown[0].startswith("the film")
    for line, text in ((1, inference.WORDS), (2, inference.SHUFFLED)):
        assert shown[line].endswith(f" {lm.perplexity([text]):,.0f}")
    assert "validation set: accuracy" in "\n".join(shown)
    for line, text in zip(shown[-2:], inference.REVIEWS, strict=True):
        assert line.split()[0] in ("good", "bad") and line.endswith(text)


@pytest.mark.usefixtures("quick")
def test_inference_knows_data_sets_by_name(
    lm_directory: Path,
    reviews: list[Document],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str, object]] = []

    def load(name: str, part: str, **others: object) -> list[Document]:
        asked.append((name, part, others["data_dir"]))
        return reviews

    monkeypatch.setattr("ulmfit.datasets.load", load)
    model = str(lm_directory / "backward" / "language_model")
    example("inference").main(["--model", model, "--out", str(tmp_path / "run")])
    given = ["--model", model, "--out", str(tmp_path / "run"), "--data", "imdb-sample/valid"]
    example("inference").main([*given, "--data-dir", "somewhere"])
    assert asked == [("imdb-sample", "train", None), ("imdb-sample", "valid", "somewhere")]
    assert (tmp_path / "run" / "backward" / "classifier").is_dir()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--data", "nosuch.csv"), r"nosuch\.csv"),
        (("--data", "imdb-sample/nosuch"), "no part 'nosuch'"),
        (("--data-dir", "nosuch"), "no file or folder nosuch"),
        (("--model", "nosuch"), "nosuch does not exist"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    flags: tuple[str, str], reason: str, lm_directory: Path
) -> None:
    model = str(lm_directory / "forward" / "language_model")
    with pytest.raises(SystemExit, match=rf"^examples/inference\.py: .*{reason}.*"):
        example("inference").main(["--model", model, *flags])
