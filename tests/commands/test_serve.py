"""`ulmfit serve`, as people type it; that it answers is tested with the server."""

from pathlib import Path
from typing import Any

import pytest
from served import classifier_of

from ulmfit.cli import main, parse
from ulmfit.config import ServeConfig
from ulmfit.deploy import server
from ulmfit.text.tokenizer import Tokenizer


@pytest.fixture
def calls(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """What `serve` was called with; a classifier `reviews` lies in the working directory."""
    classifier_of(tokenizer).save(tmp_path / "reviews")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ULMFIT_TOKEN", raising=False)
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "serve", lambda *a, **more: found.append({"limits": a[2], **more}))
    return found


def test_flags_reach_the_server(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["serve", "reviews"])
    monkeypatch.setenv("ULMFIT_TOKEN", "from the environment")
    main(["serve", "reviews", "--port", "0", "--max-batch", "4", "--timeout-s", "2.5"])
    main(["serve", "reviews/", "--token", "from-the-flag"])
    assert [call["token"] for call in calls] == [None, "from the environment", "from-the-flag"]
    assert calls[0]["limits"] == calls[2]["limits"] == ServeConfig()
    assert calls[1]["limits"] == ServeConfig(port=0, max_batch=4, timeout_s=2.5)
    assert {call["name"] for call in calls} == {"reviews"}


def test_what_can_not_be_is_said_in_a_line(calls: list[dict[str, Any]]) -> None:
    for arguments, problem in (
        (["nosuch"], "nosuch does not exist"),
        (["reviews", "--max-batch", "0"], "max_batch must be 1 or more"),
        (["reviews", "--timeout-s", "nan"], "timeout_s must be"),
        (["reviews", "--port", "-1"], "port must be 0 or more, not -1"),
        (["reviews", "--port", "99999"], "port must be 65535 or less, not 99999"),
        (["reviews", "--timeout-s", "inf"], "must be finite"),
        (["reviews", "--max-wait-ms", "inf"], "must be finite"),
    ):
        with pytest.raises(SystemExit, match=problem):
            main(["serve", *arguments])
    assert calls == []


def test_localhost_unless_told() -> None:
    assert parse("serve", ["reviews"]).limits.host == "127.0.0.1"
