"""The layouts that public data sets are published in, and tables instead. Whole sets: test_datasets.py."""

from collections.abc import Mapping
from pathlib import Path

import polars
import published
import pytest

from ulmfit.progress import silent
from ulmfit.text import layouts
from ulmfit.text.document import Document
from ulmfit.text.files import DataError

AG = ("World", "Sports", "Business", "Sci/Tech")
STARS = ("1", "2", "3", "4", "5")


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("files", [published.IMDB, published.STANFORD])
def test_reviews_by_folder(files: Mapping[str, str], tmp_path: Path) -> None:
    write(tmp_path, files)
    write(tmp_path, {"train/pos/._0_9.txt": b"\0\5\x16\7"})  # what macOS adds
    for part in ("train", "test"):
        found = layouts.review_folders(tmp_path, part, silent)
        assert found == [Document(f"{part} {text}", label) for text, label in published.REVIEWS]
    unlabelled = layouts.review_folders(tmp_path, "unlabelled", silent)
    assert unlabelled == [Document(text) for text in published.UNLABELLED]


def test_the_sample_is_divided_by_a_column(tmp_path: Path) -> None:
    write(tmp_path, published.SAMPLE)
    train = layouts.sample_csv(tmp_path, "train", silent)
    assert train == [Document("Bad, very bad", "negative"), Document("Good", "positive")]
    assert layouts.sample_csv(tmp_path, "valid", silent) == [Document("Fine", "positive")]
    write(tmp_path, {"texts.csv": "label,text\nnegative,Bad\n"})
    with pytest.raises(DataError, match="expected label, text, is_valid"):
        layouts.sample_csv(tmp_path, "train", silent)


def test_articles_keep_their_lines(tmp_path: Path) -> None:
    write(tmp_path, published.WIKITEXT)
    found = layouts.articles_csv(tmp_path, "train", silent)
    assert found == [Document(' \n = One = \n \n A "b" , c . '), Document(" \n = Two = \n \n D . ")]
    write(tmp_path, {"test.csv": '""\n" = Two = \n"\n'})
    assert layouts.articles_csv(tmp_path, "test", silent) == [Document(" = Two = \n")]
    write(tmp_path, {"test.csv": "a,b\n"})
    with pytest.raises(DataError, match="one column"):
        layouts.articles_csv(tmp_path, "test", silent)


def test_title_and_description_become_one_text(tmp_path: Path) -> None:
    said = list[str]()
    read = layouts.class_csv(AG, 3)
    assert read(write(tmp_path, published.AG_NEWS), "train", said.append) == [
        Document('Oil up Prices\\rise, says "X"', "Business"),  # a backslash is no escape here
        Document("Talks", "World"),
    ]
    assert "joined by a space" in said[0]


def test_escaped_lines_of_yelp(tmp_path: Path) -> None:
    read = layouts.class_csv(("negative", "positive"), 2, escaped=True)
    assert read(write(tmp_path, published.YELP_POLARITY), "train", silent) == [
        Document('Never again.\n\nA "joke".', "negative"),
        Document(" Nice ", "positive"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1,a,b\n5,c,d\n", "row 2: class '5'; expected 1 to 4"),
        ("1,a\n", "expected 3 columns; found 2"),
        ("1,a,b\n1,c,d,e\n", "not well-formed"),
    ],
)
def test_other_tables_of_classes_are_refused(content: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        layouts.class_csv(AG, 3)(write(tmp_path, {"train.csv": content}), "train", silent)


def test_questions_in_latin_1(tmp_path: Path) -> None:
    write(tmp_path, published.TREC)
    found = layouts.question_lines(tmp_path, "train", silent)
    assert found == [Document("How did it end ?", "DESC"), Document("What is a crêpe ?", "ENTY")]
    write(tmp_path, {"TREC_10.label": "NUM:dist How far ?\nHow far ?\n"})
    with pytest.raises(DataError, match=r"TREC_10.label, line 2: expected COARSE:fine text"):
        layouts.question_lines(tmp_path, "test", silent)


# ---- tables ----


def as_table(folder: Path, labels: list[int] | list[str], name: str = "train.parquet") -> Path:
    frame = polars.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels})
    write = frame.write_parquet if name.endswith("parquet") else frame.write_csv
    write(folder / name)
    return folder


@pytest.mark.parametrize("name", ["train.parquet", "train.csv"])
@pytest.mark.parametrize("labels", [[0, 3, 1], [1, 4, 2], ["World", "Sci/Tech", "Sports"]])
def test_numbers_are_counted_from_where_they_must_be(
    name: str, labels: list[int] | list[str], tmp_path: Path
) -> None:
    found = layouts.table(AG)(as_table(tmp_path, labels, name), "train", silent)
    assert [d.label for d in found or ()] == ["World", "Sci/Tech", "Sports"]


@pytest.mark.parametrize("labels", [[1, 2], [0, 4], [-1, 0], [0, 9], ["world", "Sports"]])
def test_labels_that_could_mean_anything_are_refused(
    labels: list[int] | list[str], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="numbers 0 to 3 or 1 to 4"):
        layouts.table(AG)(as_table(tmp_path, labels), "train", silent)


def test_stars_counted_from_0(tmp_path: Path) -> None:
    found = layouts.table(STARS)(as_table(tmp_path, [0, 4]), "train", silent)
    assert [d.label for d in found or ()] == ["1", "5"]
    found = layouts.table(STARS)(as_table(tmp_path, [1, 5]), "train", silent)
    assert [d.label for d in found or ()] == ["1", "5"]
    with pytest.raises(DataError, match="numbers 0 to 4 or 1 to 5"):  # counted from where?
        layouts.table(STARS)(as_table(tmp_path, [1, 2, 3, 4]), "train", silent)


def test_numbers_without_an_order_stay_numbers_and_unlabelled_texts_need_none(
    tmp_path: Path,
) -> None:
    said = list[str]()
    read = layouts.table(("ABBR", "DESC"), numbered=False)
    found = read(as_table(tmp_path, [1, 0]), "train", said.append)
    assert [d.label for d in found or ()] == ["1", "0"] and "labels stay numbers" in said[0]
    for labels in ([0, 0], [0, 3], [-1, 0]):
        with pytest.raises(DataError, match="expected ABBR, DESC, or their numbers 0 to 1"):
            read(as_table(tmp_path, labels), "train", silent)
    found = read(as_table(tmp_path, [0, 0], "test.parquet"), "test", silent)
    assert [d.label for d in found or ()] == ["0", "0"]  # a small part may lack a class
    found = read(as_table(tmp_path, [-1, -1], "unsup.parquet"), "unlabelled", silent)
    assert found == [Document("text 0"), Document("text 1")]


def test_tables_of_other_columns_and_texts_without_text(tmp_path: Path) -> None:
    write(tmp_path, {"train.csv": "title,label\na,World\n", "test.csv": 'text,label\n" ",World\nb,World\n'})  # fmt: skip
    with pytest.raises(DataError, match="has the columns title, label; expected text, label"):
        layouts.table(AG)(tmp_path, "train", silent)
    said = list[str]()
    assert layouts.table(AG)(tmp_path, "test", said.append) == [Document("b", "World")]
    assert "skipped" in said[-1]


def test_nothing_is_read_where_nothing_fits(tmp_path: Path) -> None:
    readers = (
        layouts.review_folders,
        layouts.sample_csv,
        layouts.articles_csv,
        layouts.class_csv(AG, 3),
        layouts.question_lines,
        layouts.table(AG),
    )
    assert [read(tmp_path, "train", silent) for read in readers] == [None] * 6
    write(tmp_path, {"train.csv": "text,label\na,World\n"})  # a header: for `table` alone
    assert layouts.class_csv(AG, 3)(tmp_path, "train", silent) is None
    assert layouts.table(AG)(tmp_path, "train", silent) == [Document("a", "World")]
    write(tmp_path, {"train.csv": "text\na\n"})
    assert layouts.articles_csv(tmp_path, "train", silent) is None
