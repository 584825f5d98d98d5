"""A dozen of the kills of `make soak`: in another process, since this one has threads, and forks must not."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import soak_resume
from benchmarks.killed import Events

ROOT = Path(__file__).parents[1]


def test_killed_a_dozen_times_it_ends_with_the_same_bytes() -> None:
    told = ["--kills", "12", "--fresh", "0", "--cases", "fit"]
    command = [sys.executable, "-m", "benchmarks.soak_resume", *told]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(", 0 differences") == 1


def test_what_differs_is_found(tmp_path: Path) -> None:
    """The proof itself: another number, a missing file; and measured times don't count."""
    for name, accuracy, seconds in (("a", 0.5, 1), ("b", 0.5, 2), ("c", 0.75, 1)):
        folder = tmp_path / name
        folder.mkdir()
        told = f'{{"accuracy": {accuracy}, "stages": [{{"seconds": {seconds}}}]}}'
        (folder / "config.json").write_text(told)
        (folder / "metrics.jsonl").write_text(f"{told}\n{told}\n")
        page = f'<td class="clock">{seconds} s</td><td>{accuracy}</td>'
        (folder / "report.html").write_text(page)
    a, b, c = (tmp_path / name for name in "abc")
    assert list(soak_resume.differences(a, b)) == []
    wrong = ["config.json differs", "metrics.jsonl differs", "report.html differs"]
    assert list(soak_resume.differences(a, c)) == wrong
    (b / "model.safetensors").touch()
    assert list(soak_resume.differences(a, b)) == ["model.safetensors is in one only"]


@pytest.mark.parametrize("case", soak_resume.CASES)
def test_every_command_parses(case: str) -> None:
    from ulmfit.cli import parse

    verb, *rest = soak_resume.command(case)
    assert parse(verb, rest).out == "run"


def test_events_are_counted_to_the_last() -> None:
    events = Events(3)
    assert [events.last() for _ in range(4)] == [False, False, True, False]
