"""`ulmfit compare`: what it prints, and where the page goes. What is compared is in tests/insight/test_compare.py."""

import json
from pathlib import Path

import pytest

from ulmfit.cli import main
from ulmfit.files.checkpoint import save_json


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    for name, accuracy in (("one", 0.5), ("two", 0.75)):
        record = {"kind": "run", "finished": True, "command": "ulmfit fit", "data": "d"}
        record |= {"results": {"test": {"accuracy": accuracy, "documents": 20}}}
        save_json(tmp_path / name / "config.json", record | {"config": {"lr": accuracy}})
    return [str(tmp_path / name) for name in ("one", "two")]


def test_tables(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", *runs])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["scores", "one", "two"]
    assert "50.0 % (29.9 % to 70.1 %)" in lines[2].replace("\u202f", " ")
    assert lines[-1].split() == ["lr", "0.5", "0.75"]


def test_json_and_page(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", *runs, "--json", "--out", str(tmp_path / "compare.html")])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["runs"] == ["one", "two"] and found["settings"] == [["lr", ["0.5", "0.75"]]]
    assert "compare.html" in err and (tmp_path / "compare.html").exists()


def test_the_page_replaces_nothing_but_pages(runs: list[str], tmp_path: Path) -> None:
    (tmp_path / "vic.csv").write_text("text\n")
    (tmp_path / "folder.html").mkdir()
    for name in ("vic.csv", "page", "folder.html"):
        with pytest.raises(SystemExit, match=r"expected a file's name that ends in \.html"):
            main(["compare", *runs, "--out", str(tmp_path / name)])
    assert (tmp_path / "vic.csv").read_text() == "text\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.html", "one", "two", "vic.csv"]


def test_one_run_is_one_line(runs: list[str]) -> None:
    with pytest.raises(SystemExit, match="give two runs or more"):
        main(["compare", runs[0]])
