"""Bytes that once broke something, found by `python -m benchmarks.fuzz` or by hand: tried again for ever."""

from pathlib import Path

import pytest

from benchmarks.fuzz import attempt, targets

FINDINGS = sorted((Path(__file__).parents[1] / "findings").glob("*"))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: path.name)
def test_findings_stay_fixed(finding: Path, tmp_path: Path) -> None:
    target = targets(tmp_path)[finding.name.split("-")[0]]
    attempt(target, finding.read_bytes())


def test_there_are_findings() -> None:
    assert len(FINDINGS) >= 5
