"""Raw results: a JSON line per measurement, with all that is needed to judge and repeat it. Appended, never edited."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def append(file: str, content: dict[str, Any]) -> None:
    """Add a line to `results/FILE.jsonl`."""
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{file}.jsonl", "a", encoding="utf-8") as lines:
        lines.write(json.dumps(circumstances() | content) + "\n")


def read(file: str) -> list[dict[str, Any]]:
    """All lines of a file, oldest first."""
    path = RESULTS / f"{file}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line]


def circumstances() -> dict[str, Any]:
    """Time, commit, machine, and its load."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "ulmfit")),
        "machine": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(terse=True),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # git is not installed
        return ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())
