"""Progress: on standard error, now and then, and never in the way."""

import pytest

from ulmfit import progress
from ulmfit.progress import bar, track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_items_pass_through_and_standard_output_stays_data(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for on_terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda value=on_terminal: value)
        assert list(track([1, 2, 3], "reading")) == [1, 2, 3]
        assert list(track(iter("ab"), "reading")) == ["a", "b"]
        assert capsys.readouterr().out == ""


def test_a_plain_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with bar("training", total=2000, unit="steps", done=1000) as advance:
        for _ in range(4):
            clock[0] += progress.LINE_EVERY_S / 2
            advance(125, "loss 3.2")
    first, second = capsys.readouterr().err.splitlines()
    # 1,000 were done before: 250 in 15 s, so the other 750 take 45 s
    assert first == "training: 1,250/2,000 (62%, about 0.8 min left) steps loss 3.2"
    assert second == "training: 1,500/2,000 (75%, about 0.5 min left) steps loss 3.2"


def test_the_time_left_follows_what_items_cost(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten quick ones, then ten that take three times as long."""

    def work(items: int) -> float:
        return items + 2 * max(0, items - 10)

    for done, said in (
        (0, "5/20 (25%, about 1.8 min left)"),
        (10, "15/20 (75%, about 0.2 min left)"),
    ):
        with bar("training", total=20, done=done, work=work) as advance:
            clock[0] += progress.LINE_EVERY_S
            advance(5, "")
        assert capsys.readouterr().err == f"training: {said} it\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with bar("training", total=20, work=work) as advance:
        advance(10, "")
    assert "10/20 it" in capsys.readouterr().err


def test_without_a_total_it_counts(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with bar("reading", total=None) as advance:
        clock[0] += progress.LINE_EVERY_S
        advance(1234, "")
    assert capsys.readouterr().err == "reading: 1,234 it\n"


def test_no_description_is_silence(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with bar("", total=3) as advance:
        clock[0] += 100 * progress.LINE_EVERY_S
        advance(1, "")
    assert capsys.readouterr() == ("", "")


def test_of_several_processes_the_first_speaks(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert progress.speaks()
    monkeypatch.setenv("RANK", "1")
    with bar("reading", total=3) as advance:
        clock[0] += 100 * progress.LINE_EVERY_S
        advance(1, "")
    assert capsys.readouterr() == ("", "") and not progress.speaks()


def test_without_rich_lines_are_plain(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setitem(__import__("sys").modules, "rich", None)
    with bar("reading", total=10) as advance:
        clock[0] += progress.LINE_EVERY_S
        advance(5, "")
    assert capsys.readouterr().err == "reading: 5/10 (50%, about 0.2 min left) it\n"
