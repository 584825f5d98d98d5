"""The verbs that list models and bring them in. What they do from the command line is in test_cli.py."""

import json

import pytest

from ulmfit.commands.models import Models


def test_models_are_listed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Models(json=True).run()
    cards = json.loads(capsys.readouterr().out)
    Models().run()
    shown = capsys.readouterr().out
    assert cards and all(name in shown for name in cards)
