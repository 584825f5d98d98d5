"""`ulmfit bench` prints what `ulmfit.bench` measures."""

import json

import pytest

from ulmfit import bench
from ulmfit.cli import main


@pytest.fixture(autouse=True)
def _figures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        bench.Figure("tokenizing", "tokens/s", (1e6, 3e6, 2e6)),
        bench.Figure("start", "s", (0.25,)),
    ]
    monkeypatch.setattr(bench, "figures", lambda runtime, seconds: iter(found))


def test_a_line_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--device", "cpu"])
    shown = capsys.readouterr()
    first, second = map(str.split, shown.out.splitlines())
    assert first == ["tokenizing", "2,000,000", "tokens/s", "(1,000,000", "to", "3,000,000)"]
    assert second == ["start", "0.25", "s", "(0.25", "to", "0.25)"]
    assert "device cpu" in shown.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--json"])
    row, _ = json.loads(capsys.readouterr().out)["figures"]
    assert row["median"] == 2e6 and row["unit"] == "tokens/s"


def test_negative_seconds_are_refused() -> None:
    with pytest.raises(SystemExit, match="--seconds is -1"):
        main(["bench", "--seconds", "-1"])
