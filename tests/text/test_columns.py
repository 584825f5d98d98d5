"""Which columns are read, and what their values mean."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ulmfit.text.columns import documents_of
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.readers import read_documents
from ulmfit.text.tokenizer import Tokenizer


def test_obvious_columns_are_chosen_and_said() -> None:
    said: list[str] = []
    frame = pl.DataFrame({"id": ["1"], "Review": ["good"], "SENTIMENT": ["pos"]})
    assert documents_of(frame, say=said.append, source="f") == [Document("good", "pos")]
    assert said == ["f: text is column 'Review'", "f: label is column 'SENTIMENT'"]
    assert documents_of(frame, labelled=False) == [Document("good")]
    named = documents_of(frame, text_column="id", label_column="Review")
    assert named == [Document("1", "good")]


@pytest.mark.parametrize(
    ("columns", "options", "complaint"),
    [
        (
            ["a", "b"],
            {},
            r"columns 'a', 'b'; none .* text\. Is the header .* --text-column; usual are text, .* post\.",
        ),
        (["x" * 430, "pos"], {}, rf"has the columns '{'x' * 40}…', 'pos'; none"),
        (
            ["a", "b"],
            {"source": "a.jsonl"},
            r"the text\. Name it with --text-column; usual are text",
        ),
        (["a"], {"text_column": "x" * 430}, f"no column '{'x' * 40}…'"),
        (["text", "review"], {}, "several could be the text"),
        (
            ["text", "b"],
            {},
            "none has a usual name for the label.* --label-column; usual are label, ",
        ),
        (["text", "label"], {"text_column": "Text"}, "no column 'Text'; there are 'text', 'label'"),
        (["text", "label"], {"label_column": "y"}, "no column 'y'"),
        (["text", "label"], {"text_column": ("text", "b")}, "no column 'b'"),
        (["text", "label"], {"text_column": ("text", "text")}, "each once; found .text., .text."),
        (["text", "label"], {"text_column": ()}, "one or more columns.* found none"),
    ],
)
def test_columns_are_never_guessed(columns: list[str], options: dict, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        documents_of(pl.DataFrame({name: ["x"] for name in columns}), **options)


# ---- several text columns ----


def test_fields_are_marked_as_fastai_marks_them(goldens: Path, tokenizer: Tokenizer) -> None:
    golden = json.loads((goldens / "vocab.json").read_text(encoding="utf-8"))["mark_fields"]
    frame = pl.DataFrame(golden["rows"])
    marked = documents_of(frame, text_column=["title", "body"], labelled=False)
    assert [tokenizer.tokenize(d.text) for d in marked] == golden["default_two_columns"]
    alone = documents_of(frame, text_column=["title"], labelled=False)  # one column is not marked
    assert [d.text for d in alone] == golden["rows"]["title"]


def test_a_missing_field_is_empty_and_said_and_a_row_without_any_is_bad() -> None:
    said: list[str] = []
    frame = pl.DataFrame({"a": ["x", None, "y"], "b": ["1", " ", None]})
    made = documents_of(
        frame, text_column=("a", "b"), labelled=False, on_bad="skip", say=said.append, source="f"
    )
    assert [d.text for d in made] == ["xxfld 1 x xxfld 2 1", "xxfld 1 y xxfld 2 "]
    assert said[0] == "f: 1 rows lack one of 'a', 'b'; the missing fields are read as empty"
    assert "no text in 1 row (row 2)" in said[1]


# ---- bytes ----


def test_bytes_are_the_text_they_hold() -> None:
    """Parquet of programs that have no strings: the same documents, of several labels, too."""
    for labels in (["schön", "schlecht", None], [["schön", "neu"], [], ["neu"]]):
        texts = ["Größe", "x", "y"]
        columns = {"text": pl.Series(texts), "label": pl.Series(labels)}
        kinds = {"text": pl.Binary, "label": pl.Binary}
        if isinstance(labels[0], list):
            kinds["label"] = pl.List(pl.Binary)  # type: ignore[assignment]
        frame = pl.DataFrame(columns)
        made = documents_of(frame.cast(kinds), on_bad="skip")  # type: ignore[arg-type]
        assert made == documents_of(frame, on_bad="skip")


@pytest.mark.parametrize(
    ("text", "label", "place"),
    [
        ([b"a", None, b"\xff"], ["x", "y", "z"], "'text' holds bytes that are not UTF-8 in row 3"),
        (["a", "b", "c"], [b"x", b"\xe9", b"z"], "'label' holds .* in row 2; store it as text"),
        (["a", "b", "c"], [[b"x"], [], [b"y", b"\xe9"]], "'label' holds .* in row 3"),
    ],
)
def test_bytes_that_are_no_text_are_refused(text: list, label: list, place: str) -> None:
    with pytest.raises(DataError, match=f"^f: column {place}"):
        documents_of(pl.DataFrame({"text": text, "label": label}), source="f", on_bad="skip")


# ---- labels ----


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1], ["0", "1"]),
        ([True, False], ["true", "false"]),
        ([1.0, 2.0], ["1", "2"]),  # integers, where a value is missing elsewhere
        ([1.0, 2.5], [1.0, 2.5]),
        (["pos", " neg "], ["pos", "neg"]),  # typed, not meant
        (["01", "1.5"], ["01", "1.5"]),
        ([["a", "b"], []], [("a", "b"), ()]),
        ([[1], [2, 3]], [("1",), ("2", "3")]),
    ],
)
def test_labels_of_every_kind(values: list[Any], labels: list[Any]) -> None:
    made = documents_of(pl.DataFrame({"text": ["a", "b"], "label": values}))
    assert [d.label for d in made] == labels
    assert [type(d.label) for d in made] == [type(label) for label in labels]


def test_objects_are_no_labels_and_lists_no_texts() -> None:
    with pytest.raises(DataError, match="expected labels of one kind"):
        documents_of(pl.DataFrame({"text": ["a"], "label": [{"x": 1}]}))
    with pytest.raises(DataError, match="expected one value a row"):
        documents_of(pl.DataFrame({"text": [["a"]]}), labelled=False)


# ---- bad rows ----


def test_json_that_is_no_lines_is_said_so(tmp_path: Path) -> None:
    """As pandas writes it unless told otherwise."""
    (tmp_path / "a.jsonl").write_text('[{"text": "a", "label": "x"}]')
    for on_bad in ("error", "skip"):
        with pytest.raises(
            DataError, match=r"none of 1 lines is a JSON object \(line 1\); .*lines=True"
        ):
            list(read_documents(tmp_path / "a.jsonl", on_bad=on_bad))


def test_rows_without_text_or_label() -> None:
    frame = pl.DataFrame(
        {"text": ["a", None, " \n", "b", "c\0", "d"], "label": ["x", "y", None, "z", "x", " "]}
    )
    kinds = r"no text in 2 rows \(rows 2, 3\); a zero byte in 1 row \(row 5\); no label in 1 row \(row 6\)"  # fmt: skip
    with pytest.raises(DataError, match=f"4 of 6 rows can't be used: {kinds}"):
        documents_of(frame)
    said: list[str] = []
    made = documents_of(frame, on_bad="skip", say=said.append)
    assert made == [Document("a", "x"), Document("b", "z")]
    assert "4 of 6 rows skipped: no text in 2 rows (rows 2, 3)" in said[-1]
    assert len(documents_of(frame, labelled=False, on_bad="skip")) == 3  # labels are not looked at
    with pytest.raises(DataError, match="no row can be used"):
        documents_of(pl.DataFrame({"text": [""]}), labelled=False, on_bad="skip")
    frame = pl.DataFrame({"text": ["a"] * 9, "label": [1.0, None, float("nan"), *[None] * 6]})
    with pytest.raises(DataError, match=r"no label in 8 rows \(rows 2, 3, 4, 5, 6, …\)"):
        documents_of(frame)
    frame = pl.DataFrame({"text": ["a", "b"], "label": [["x"], ["x", None]]})
    with pytest.raises(DataError, match=r"no label in 1 row \(row 2\)"):
        documents_of(frame)
