import bz2
from pathlib import Path

import pytest

from ulmfit.text.document import Document
from ulmfit.text.readers import DataError, SplitOn, read_documents, read_table

WIKITEXT = """ \n = First = \n \n It is 5 = 5 . \n = 3 = \n \n = = Section = = \n \n More . \n \n \
= Second one = \n \n Text . \n"""


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("label\tsentence\nx\tgood\ny\tbad\n")
    said: list[str] = []
    assert list(read_documents(path, say=said.append)) == [
        Document("good", "x"),
        Document("bad", "y"),
    ]
    assert said == ["a.tsv: text is column 'sentence'", "a.tsv: label is column 'label'"]
    assert list(read_documents(path, labelled=False)) == [Document("good"), Document("bad")]
    with pytest.raises(DataError, match="--split-on is for plain text"):
        read_documents(path, split_on="line")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As aclImdb/train."""
    for name in ("neg/1.txt", "neg/0.txt", "pos/0.txt", "unsup/0.txt"):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}\nis here")
    (tmp_path / "train" / "urls_pos.txt").write_text("http://x")
    (tmp_path / "train" / ".DS_Store").write_bytes(b"\0")
    return tmp_path / "train"


def test_a_folder_by_label(folder: Path) -> None:
    said: list[str] = []
    documents = list(read_documents(folder, say=said.append))
    assert [d.label for d in documents] == ["neg", "neg", "pos", None]
    assert documents[0].text == "text of neg/0.txt\nis here"
    assert len(said) == 1 and "urls_pos.txt" in said[0]
    unlabelled = list(read_documents(folder, labelled=False))
    assert [(d.text.strip(), d.label) for d in unlabelled] == [(d.text, None) for d in documents]


def test_hidden_files_change_nothing(folder: Path) -> None:
    """Such as those of macOS and Jupyter."""
    before = list(read_documents(folder))
    for name in ("pos/._0.txt", "neg/.ipynb_checkpoints/0-checkpoint.txt", ".cache/0.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    assert list(read_documents(folder)) == before
    assert len(list(read_documents(folder / "neg", labelled=False))) == 2


def test_bad_texts_in_a_folder(folder: Path) -> None:
    (folder / "pos" / "9.txt").write_text(" ")
    (folder / "neg" / "8.txt").write_bytes("über".encode() + b"\xe9")
    (folder / "neg" / "7.txt").write_bytes(b"some text\0")
    (folder / "neg" / "6.txt").write_bytes(b"a fine caf\xe9")
    with pytest.raises(
        DataError, match=r"3 of 8 files can't be used.*no text in 1 file \(file pos/9\.txt\)"
    ):
        read_documents(folder)
    said: list[str] = []
    made = list(read_documents(folder, on_bad="skip", say=said.append))
    assert Document("a fine café", "neg") in made and len(made) == 5
    assert "1 files are not UTF-8" in said[1] and "read as cp1252" in said[1]
    assert "3 of 8 files skipped" in said[2] and "a zero byte in 1 file (file neg/7.txt)" in said[2]
    assert len(list(read_documents(folder, labelled=False, on_bad="skip"))) == 5


def test_a_folder_too_high_up(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds train; expected tables, or one sub-folder per label"
    ):
        read_documents(folder.parent)
    with pytest.raises(DataError, match="further down"):
        read_documents(folder / "pos")  # texts without labels
    assert len(list(read_documents(folder / "pos", labelled=False))) == 1


# ---- several files ----


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "b.csv").write_text("label,text\ny,b\n")
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    (tmp_path / "c.jsonl").write_text('{"text": "c", "label": "x"}\n')
    return tmp_path


def test_tables_of_a_pattern_or_folder_are_one(shards: Path) -> None:
    said: list[str] = []
    wanted = [Document("a", "x"), Document("b", "y")]
    assert read_documents(f"{shards}/*.csv", say=said.append) == wanted
    assert "2 tables read as one: a.csv, b.csv" in said[0]
    assert said[1:] == ["*.csv: text is column 'text'", "*.csv: label is column 'label'"]
    assert read_documents(shards) == [*wanted, Document("c", "x")]
    (shards / "notes.txt").write_text("a note")
    said.clear()
    assert len(list(read_documents(shards, say=said.append))) == 3
    assert "next to the tables, not read: notes.txt" in said[0]
    with pytest.raises(
        DataError, match=r"tables \(a.csv, b.csv, c.jsonl\) and other files \(notes.txt\)"
    ):
        read_documents(f"{shards}/*")


def test_bad_rows_of_several_tables_are_told_with_their_files(shards: Path) -> None:
    (shards / "b.csv").write_text("label,text\ny,b\n,b\ny\n")
    (shards / "c.jsonl").write_text('{"text": "c"}\n{"text": "d", "label": "x"}\n')
    missing = r"no label in 2 rows \(b.csv line 3, c.jsonl line 1\)"
    with pytest.raises(DataError, match=rf"3 of 6 rows .*{missing}"):
        read_documents(shards, label_column="label")


def test_tables_that_do_not_belong_together_are_refused(shards: Path) -> None:
    (shards / "d.csv").write_text("text,stars\na,1\n")
    with pytest.raises(
        DataError, match=r"d.csv has the columns 'text', 'stars', a.csv has 'text', 'label'"
    ):
        read_documents(f"{shards}/*.csv")
    (shards / "d.csv").write_text("text,label\na,1\n")
    (shards / "e.jsonl").write_text('{"text": "c", "label": 0.5}\n')
    with pytest.raises(DataError, match="both numbers and other labels"):
        read_documents(f"{shards}/*")


def test_plain_texts_of_a_pattern(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / f"{name}[1].txt").write_text(f"{name}\n")
    made = read_documents(f"{tmp_path}/*.txt", labelled=False)
    assert [d.text for d in made] == ["a", "b"]
    exact = read_documents(tmp_path / "b[1].txt", labelled=False)  # a name may look like a pattern
    assert [d.text for d in exact] == ["b"]
    with pytest.raises(DataError, match="There is no file or folder"):
        read_documents(f"{tmp_path}/*.csv")
    (tmp_path / "c.txt").write_text(" ")
    with pytest.raises(DataError, match=r"c\.txt is empty"):
        list(read_documents(f"{tmp_path}/*.txt", labelled=False))
    said: list[str] = []
    made = read_documents(tmp_path, labelled=False, on_bad="skip", say=said.append)
    assert [d.text for d in made] == [
        "a",
        "b",
    ] and f"{tmp_path / 'c.txt'} is empty: skipped" in said


def test_several_text_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,body,label\nA,b,x\n")
    made = read_documents(tmp_path / "a.csv", text_column=("title", "body"))
    assert made == [Document("xxfld 1 A xxfld 2 b", "x")]


@pytest.mark.parametrize("name", ["wiki.valid.tokens", "wiki.txt", "wiki", "wiki.txt.bz2"])
def test_wikitext_is_cut_at_titles_and_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = WIKITEXT.encode()
    path.write_bytes(bz2.compress(content) if name.endswith("bz2") else content)
    said: list[str] = []
    first, second = read_documents(path, labelled=False, say=said.append)
    assert first.text.startswith("= First =") and first.text.endswith("More .")
    assert second.text == "= Second one = \n \n Text ."
    assert len(said) == 1 and "--split-on title" in said[0]


@pytest.mark.parametrize(
    ("split_on", "texts"),
    [
        (None, ["one\n\ntwo\n = three = \n\n \nfour"]),
        ("file", ["one\n\ntwo\n = three = \n\n \nfour"]),
        ("line", ["one", "two", " = three = ", "four"]),
        ("blank-line", ["one", "two\n = three =", "four"]),
    ],
)
def test_plain_text(tmp_path: Path, split_on: SplitOn | None, texts: list[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n = three = \n\n \nfour")
    assert [d.text for d in read_documents(path, labelled=False, split_on=split_on)] == texts


def test_a_large_text_as_one_document_is_questioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.text.plain.LARGE", 3)
    (tmp_path / "a.txt").write_text("one document")
    said: list[str] = []
    read_documents(tmp_path / "a.txt", labelled=False, say=said.append)
    assert "is large for one document" in said[-1]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"\n \n", "is empty"),
        ("a.txt", b"\x7fELF\0\0", r"a zero byte in 1 line \(line 1\)"),
        ("a.txt", b"\xff\xfea\0b", "begins as UTF-16-LE|damaged"),
        ("a.txt.zst", b"not zstd", "can't be read as a .zst"),
        ("a.pdf", b"%PDF", "neither a readable table .* save it as CSV"),
        ("a.txt.gz", b"not gzip", "can't be read as a .gz"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read_documents(tmp_path / name, labelled=False)


@pytest.mark.parametrize("name", ["a.xlsx", "A.XLS"])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_workbook_is_named_wherever_it_is_given(
    tmp_path: Path, name: str, labelled: bool
) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    for given in (tmp_path / name, tmp_path / "[aA].*", tmp_path):
        with pytest.raises(DataError, match=f"{name} is an Excel workbook; save the sheet as CSV"):
            read_documents(given, labelled=labelled)
    with pytest.raises(DataError, match="is an Excel workbook"):
        read_table(tmp_path / name)


def test_missing_is_never_taken_for_a_text(tmp_path: Path) -> None:
    for name in ("no.csv", "no.txt", "no"):
        with pytest.raises(DataError, match="There is no file or folder"):
            read_documents(tmp_path / name)


def test_plain_text_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good")
    with pytest.raises(DataError, match="plain text and has no labels"):
        read_documents(tmp_path / "a.txt")
