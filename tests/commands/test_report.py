"""`ulmfit report`: which run, and what it prints. The page is in tests/insight/test_report.py."""

from pathlib import Path

import pytest

from ulmfit.cli import main
from ulmfit.files.checkpoint import save_json


def test_the_path_of_the_page_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"kind": "run", "finished": True, "command": "ulmfit fit", "identity": "x"}
    save_json(tmp_path / "config.json", record | {"config": {}, "versions": {"ulmfit": "0.0"}})
    main(["report", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_no_run_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"config\.json is missing"):
        main(["report", str(tmp_path)])
