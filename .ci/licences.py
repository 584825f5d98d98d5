"""The licences of everything in constraints.txt, out of the packages' own metadata, as the table of docs/licences.md.

.venv/bin/python .ci/licences.py > docs/licences.md
"""

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# Licences of what ulmfit stands on

ulmfit itself is MIT; its weights are CC BY-SA 4.0, being made from Wikipedia. This lists every package that the tests ran with
(`constraints.txt`), with what it says of itself: `.ci/licences.py` writes this page. In bold: what ulmfit asks for, with its
extras; the others come with these. None is copied into this repository; spaCy's patterns are saved in models, with its notice.

| package | licence |
|---|---|
"""
OPEN_SOURCE = "License :: OSI Approved :: "


def licence(name: str) -> str:
    """What a package says: an SPDX expression, a classifier, or the first line of a field."""
    found = metadata.metadata(name)
    if expression := found.get("License-Expression"):
        return expression
    classifiers = found.get_all("Classifier") or []
    named = [c.removeprefix(OPEN_SOURCE) for c in classifiers if c.startswith(OPEN_SOURCE)]
    if named:
        return ", ".join(named)
    lines = (found.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else "not said; see its files"


def asked_for() -> set[str]:
    """The packages that pyproject.toml names."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, project = text.split("\n[project]\n")
    listed = re.findall(
        r'"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?(?:[><=]=?[^"]*)"', project.split("[tool.")[0]
    )
    return {normal(name) for name in listed}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    rows = []
    for name in (pin.split("==")[0] for pin in pins):
        shown = f"**{name}**" if normal(name) in asked_for() else name
        rows.append(f"| {shown} | {licence(name)} |")
    print(HEAD + "\n".join(rows))


if __name__ == "__main__":
    main()
