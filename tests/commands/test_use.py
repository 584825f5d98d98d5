"""What the verbs that use a model may be told. What they do is in test_cli.py."""

from dataclasses import fields

import pytest

from ulmfit.commands.use import Evaluate, Predict


def test_scoring_asks_for_neither_seed_nor_what_it_does_not_use() -> None:
    assert {f.name for f in fields(Predict)} == {
        "model", "data", "text", "out", "json", "text_column", "machine",
    }  # fmt: skip
    assert "runtime" not in {f.name for f in fields(Evaluate)}


def test_the_reason_for_an_error_comes_before_any_work() -> None:
    for verb in (Predict("nosuch"), Predict("nosuch", "a.csv", text="a")):
        with pytest.raises(ValueError, match="not both"):
            verb.run()
    for text in ("", " \n"):
        with pytest.raises(ValueError, match="blank"):
            Predict("nosuch", text=text).run()
