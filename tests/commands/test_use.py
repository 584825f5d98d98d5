"""What the verbs that use a model may be told. What they do is in test_cli.py."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.commands.explain import Explain
from ulmfit.commands.flags import Sources
from ulmfit.commands.next_labels import NextLabels
from ulmfit.commands.use import Evaluate, Generate, Predict
from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel


def test_scoring_asks_for_neither_seed_nor_what_it_does_not_use() -> None:
    assert {f.name for f in fields(Predict)} == {
        "model", "data", "text", "out", "json", "text_column", "on_bad", "machine",
    }  # fmt: skip
    for verb in (Evaluate, Generate):
        assert "machine" in {f.name for f in fields(verb)}
        assert "runtime" not in {f.name for f in fields(verb)}


def test_the_reason_for_an_error_comes_before_any_work() -> None:
    for verb in (Predict, Evaluate):
        with pytest.raises(ValueError, match=r"^give a file.*, or --text$"):
            verb("nosuch").run()
        with pytest.raises(ValueError, match="not both"):
            verb("nosuch", "a.csv", text="a").run()
    with pytest.raises(ValueError, match=r"no file imdb/test.*`ulmfit evaluate`"):
        Predict("nosuch", "imdb/test").run()
    for text in ("", " \n"):
        with pytest.raises(ValueError, match="blank"):
            Predict("nosuch", text=text).run()
        with pytest.raises(ValueError, match="blank"):
            Evaluate("nosuch", text=text).run()


def test_flags_that_one_text_has_no_use_for_are_refused() -> None:
    for command, flag in (
        (Predict("nosuch", text="a", out="a.csv"), "--out can't be used with --text"),
        (Predict("nosuch", text="a", on_bad="skip"), "--on-bad"),
        (Predict("nosuch", text="a", text_column=("b",)), "--text-column"),
        (Evaluate("nosuch", text="a", columns=Sources(label_column="b")), "--label-column"),
        (Explain("nosuch", text="a", columns=Sources(on_bad="skip")), "--on-bad"),
    ):
        with pytest.raises(ValueError, match=f"^{flag}"):
            command.run()


def test_json_is_for_what_is_printed() -> None:
    for command in (
        Predict("nosuch", "a.csv", out="b.csv", json=True),
        NextLabels("nosuch", "a.csv", out="b.csv", json=True),
    ):
        with pytest.raises(
            ValueError, match=r"^--json is only for printing; .*\(b\.csv\) end in \.jsonl"
        ):
            command.run()


def test_the_perplexity_of_one_text(
    lm: LanguageModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lm.save(tmp_path / "lm")
    Evaluate(str(tmp_path / "lm"), text="the film and the plot", json=True).run()
    wanted = lm.perplexity(["the film and the plot"])
    measured = json.loads(capsys.readouterr().out)
    assert measured == {"perplexity": pytest.approx(wanted), "documents": 1}


def test_one_text_has_no_accuracy(lm: LanguageModel, tmp_path: Path) -> None:
    TextClassifier.create(lm, ["bad", "good"], ClassifierConfig()).save(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"is a classifier.*`ulmfit predict`"):
        Evaluate(str(tmp_path / "classifier"), text="a film").run()
