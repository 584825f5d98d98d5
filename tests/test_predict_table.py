"""Tables in, the same rows out with two columns more."""

import io
import json
import sys
from pathlib import Path

import polars
import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel
from ulmfit.predict_table import predict_table
from ulmfit.progress import silent
from ulmfit.runtime import Runtime
from ulmfit.text.files import DataError

CSV = 'id,text,"a, b"\n007,"great, ""so"" great",x\n1,awful,\n2,"two\nlines",z\n'


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    return TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())


@pytest.fixture
def unasked(classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> TextClassifier:
    """For what must be refused before anything is predicted."""
    monkeypatch.setattr(classifier, "predict", lambda *arguments, **more: pytest.fail("too late"))
    return classifier


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "in.csv").write_text(CSV)
    return str(tmp_path / "in.csv")


def predict(
    classifier: TextClassifier, source: str, out: Path | None, runtime: Runtime, **more: bool
) -> None:
    predict_table(classifier, source, out and str(out), None, runtime, say=silent, **more)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_columns_and_rows_stay_in_order(
    suffix: str, classifier: TextClassifier, table: str, runtime: Runtime, tmp_path: Path
) -> None:
    out = tmp_path / "new folder" / f"out{suffix}"
    predict(classifier, table, out, runtime)
    readers = {
        ".csv": lambda: polars.read_csv(out, infer_schema=False),
        ".tsv": lambda: polars.read_csv(out, separator="\t", infer_schema=False),
        ".parquet": lambda: polars.read_parquet(out),
    }
    frame = readers.get(suffix, lambda: polars.read_ndjson(out))()
    assert frame.columns == ["id", "text", "a, b", "prediction", "probability"]
    assert frame["id"].to_list() == ["007", "1", "2"]
    texts = ['great, "so" great', "awful", "two\nlines"]
    assert frame["text"].to_list() == texts
    wanted = classifier.predict(texts, runtime)
    assert frame["prediction"].to_list() == [p.label for p in wanted]
    found = [float(p) for p in frame["probability"]]
    assert found == pytest.approx([p.probability for p in wanted], abs=1e-5)


def test_standard_streams(
    classifier: TextClassifier,
    table: str,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    predict(classifier, table, None, runtime)
    plain = capsys.readouterr().out
    assert plain.startswith('id,text,"a, b",prediction,probability\n007,')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV.encode())))
    predict(classifier, "-", None, runtime)
    assert capsys.readouterr().out == plain
    predict(classifier, table, None, runtime, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == ["007", "1", "2"]
    assert rows[0].keys() == {"id", "text", "a, b", "prediction", "probability"}


@pytest.mark.parametrize(
    ("content", "out", "reason"),
    [
        ("text,prediction\na,b\n", None, "prediction"),
        ("id,words\n1,a\n", None, "--text-column"),
        ("text\na\n", "out.xlsx", r"out\.xlsx.*\.csv"),
        ("text\na\n", "out", r"\.csv"),
        ("id,text\n1,a\n2,\n", None, r"no text in 1 row \(line 3\)"),
        ("", None, "empty"),
    ],
)
def test_bad_tables_are_refused_and_nothing_is_written(
    content: str,
    out: str | None,
    reason: str,
    classifier: TextClassifier,
    runtime: Runtime,
    tmp_path: Path,
) -> None:
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        predict(classifier, str(tmp_path / "in.csv"), out and tmp_path / out, runtime)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("in.jsonl/out.jsonl", r"in\.jsonl is not a directory"),
        ("folder.csv", "is a directory"),
        ("out.csv.gz", "ends in"),
        ("out.csv", r"column 'tags'.*\.jsonl"),
        (None, r"column 'tags'.*--json"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(
    out: str | None, reason: str, unasked: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a", "tags": [1, 2]}\n')
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=reason):
        predict(unasked, str(tmp_path / "in.jsonl"), out and tmp_path / out, runtime)  # type: ignore[arg-type]


@pytest.mark.parametrize("out", [None, "out.csv", "out.jsonl"])
def test_bytes_beside_the_text_are_refused_before_the_work(
    out: str | None, unasked: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    polars.DataFrame({"text": ["a"], "picture": [b"\xff"]}).write_parquet(tmp_path / "in.parquet")
    reason = r"'picture' holds bytes.*ends in \.parquet, or drop or convert it$"
    with pytest.raises(DataError, match=reason):
        predict(unasked, str(tmp_path / "in.parquet"), out and tmp_path / out, runtime)  # type: ignore[arg-type]


def test_lists_go_where_they_can(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a", "tags": [1, 2]}\n')
    predict(classifier, str(tmp_path / "in.jsonl"), tmp_path / "out.parquet", runtime)
    assert polars.read_parquet(tmp_path / "out.parquet")["tags"].to_list() == [[1, 2]]


def test_errors_of_standard_input_call_it_so(
    classifier: TextClassifier, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"", b"id\n1\n", b"text\n" + b"\xff" * 9):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(DataError, match="standard input"):
            predict(classifier, "-", None, runtime)


def test_the_file_read_is_not_written(
    classifier: TextClassifier, table: str, runtime: Runtime, tmp_path: Path
) -> None:
    """By whatever name. A file from before that is not read is replaced."""
    (tmp_path / "link.csv").symlink_to(table)
    (tmp_path / "same.csv").hardlink_to(table)
    for out in (Path(table), tmp_path / "link.csv", tmp_path / "same.csv"):
        with pytest.raises(DataError, match="is the input file; give another name"):
            predict(classifier, table, out, runtime)
        assert out.read_text() == CSV
    (tmp_path / "out.csv").write_text(CSV)
    predict(classifier, table, tmp_path / "out.csv", runtime)
    assert "prediction" in (tmp_path / "out.csv").read_text()


def test_bad_rows_can_be_skipped(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    """Those without text stay, without a prediction; those that can't be read are left out. Both is said."""
    (tmp_path / "in.csv").write_text("id,text\n1,great\n2,\n3,a,b\n4,awful\n")
    said: list[str] = []
    out = str(tmp_path / "out.csv")
    predict_table(
        classifier, str(tmp_path / "in.csv"), out, None, runtime, on_bad="skip", say=said.append
    )
    rows = polars.read_csv(out).rows(named=True)
    assert [row["id"] for row in rows] == [1, 2, 4]
    assert [row["prediction"] is None for row in rows] == [False, True, False]
    assert rows[1]["probability"] is None
    assert "3 fields instead of 2 in 1 row (line 4); no text in 1 row (line 3)" in said[1]
