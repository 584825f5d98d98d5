"""A hostile file takes no more memory than SECURITY.md promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MOST = 1000  # megabytes more than before; the promise of SECURITY.md


@pytest.mark.parametrize(
    ("which", "cases"), [("short", 30), pytest.param("long", 2, marks=pytest.mark.soak)]
)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_each_hostile_file_is_refused_within_a_gigabyte(
    tmp_path: Path, which: str, cases: int
) -> None:
    """One process for all, so that the peak of each is seen; a file it does not refuse is a failure, too."""
    path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("memory.py"), tmp_path, which],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (found[-1:], done.stderr[-1500:])
    assert len(found) >= cases
    for name, megabytes, seconds, raised in found:
        told = (name, megabytes, seconds, raised)
        assert megabytes < MOST and not raised.startswith("nothing"), told
