"""`ulmfit push` and `ulmfit pull`: flags, what they print. The rest is in tests/deploy/test_hub.py."""

from pathlib import Path
from typing import Any

import pytest

from ulmfit.cli import main
from ulmfit.deploy import hub


def test_push_prints_the_commit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []

    def push(*args: Any, say: Any, **flags: Any) -> str:
        told.extend([args, flags])
        say("sending")
        return "0" * 40

    monkeypatch.setattr(hub, "push", push)
    main(["push", "runs/x", "me/x", "--private", "--revision", "tried"])
    assert told == [("runs/x", "me/x"), {"private": True, "revision": "tried"}]
    out, err = capsys.readouterr()
    assert out == "0" * 40 + "\n" and err == "sending\n"


def test_pull_prints_the_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told: list[Any] = []

    def pull(repo: str, *, say: Any, **flags: Any) -> Path:
        told.extend([repo, flags])
        return tmp_path

    monkeypatch.setattr(hub, "pull", pull)
    main(["pull", "me/x", "--revision", "abc", "--out", "here"])
    assert told == ["me/x", {"revision": "abc", "out": "here"}]
    assert capsys.readouterr().out == f"{tmp_path}\n"


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(*args: Any, **flags: Any) -> Path:
        raise hub.HubError("the Hub can't be reached")

    monkeypatch.setattr(hub, "pull", pull)
    with pytest.raises(SystemExit, match="ulmfit: the Hub can't be reached"):
        main(["pull", "me/x"])
