"""The verb that lists data sets, and names of data sets where files are asked for."""

import json
from pathlib import Path

import published
import pytest

from ulmfit import cli, stages
from ulmfit.commands.data import Datasets
from ulmfit.text.document import Document

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def imdb(tmp_path: Path) -> str:
    for name, text in published.IMDB.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(text)
    return str(tmp_path / "data")


def test_data_sets_are_listed_for_people_and_for_programs(capsys: Captured) -> None:
    Datasets(json=True).run()
    cards = json.loads(capsys.readouterr().out)
    assert cards["imdb"]["parts"] == {"train": 25_000, "test": 25_000, "unlabelled": 50_000}
    assert cards["trec-6"]["bytes"] is None and not any(c["cached"] for c in cards.values())
    Datasets().run()
    shown = capsys.readouterr().out
    assert all(name in shown and card["licence"] in shown for name, card in cards.items())
    assert "144.4 MB" in shown and "size not published" in shown


def test_fit_reads_the_part_that_each_flag_means(
    imdb: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    told = dict[str, list[Document]]()

    def dry_run(labelled: list[Document], **more: list[Document]) -> None:
        told.update(more, labelled=labelled)

    monkeypatch.setattr(stages, "dry_run", dry_run)
    line = "fit imdb --unlabelled imdb --test imdb --out run --dry-run --data-dir"
    cli.main([*line.split(), imdb])
    assert [d.text for d in told["labelled"]] == [f"train {text}" for text, _ in published.REVIEWS]
    assert [d.text for d in told["unlabelled"]] == published.UNLABELLED
    assert {d.text.split()[0] for d in told["test"]} == {"test"} and told["valid"] is None
    cli.main([*line.split(), imdb, "--valid", "imdb/test"])
    assert told["valid"] == told["test"]
    assert "25,000 were published" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="imdb has no valid part"):
        cli.main([*line.split(), imdb, "--valid", "imdb"])


def test_the_test_part_stays_out_of_a_language_models_corpus(
    imdb: str, lm_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    line = f"finetune-lm imdb --pretrained {lm_directory} --out {tmp_path / 'lm'} --epochs 1"
    cli.main(
        [*line.split(), "--batch-size", "2", "--bptt", "4", "--min-steps", "2", "--data-dir", imdb]
    )
    said = capsys.readouterr().err
    assert "imdb means imdb/train and imdb/unlabelled here; not read: imdb/test" in said
    cli.main(["evaluate", str(tmp_path / "lm"), "imdb", "--data-dir", imdb, "--json"])
    shown = capsys.readouterr()
    assert json.loads(shown.out)["documents"] == 4 and "imdb means imdb/test" in shown.err
