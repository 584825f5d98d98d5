import bz2
from pathlib import Path

import pytest

from ulmfit.text.corpus import Document
from ulmfit.text.readers import DataError, SplitOn, read_documents

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


def test_empty_texts_in_a_folder(folder: Path) -> None:
    (folder / "pos" / "9.txt").write_text(" ")
    with pytest.raises(DataError, match=r"1 texts are empty: 9\.txt"):
        read_documents(folder)
    said: list[str] = []
    assert len(list(read_documents(folder, on_empty="skip", say=said.append))) == 4
    assert "1 empty texts skipped: 9.txt" in said


def test_a_folder_too_high_up(folder: Path) -> None:
    with pytest.raises(DataError, match=r"holds train; expected one sub-folder per label"):
        read_documents(folder.parent)
    with pytest.raises(DataError, match="further down"):
        read_documents(folder / "pos")  # texts without labels
    assert len(list(read_documents(folder / "pos", labelled=False))) == 1


def test_a_folder_of_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\na\n")
    with pytest.raises(DataError, match="give one table"):
        read_documents(tmp_path, labelled=False)


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


def test_plain_text_streams(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\n" * 1000 + b"caf\xe9\n")
    documents = iter(read_documents(path, labelled=False, split_on="line"))
    assert next(documents) == Document("good")
    with pytest.raises(DataError, match="byte 0xe9 in line 1001"):
        list(documents)


def test_a_large_text_as_one_document_is_questioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.text.readers.LARGE", 3)
    (tmp_path / "a.txt").write_text("one document")
    said: list[str] = []
    read_documents(tmp_path / "a.txt", labelled=False, say=said.append)
    assert "is large for one document" in said[-1]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"\n \n", "is empty"),
        ("a.txt", b"\x7fELF\0\0", "zero byte in line 1"),
        ("a.txt", b"\xff\xfea\0", "looks like UTF-16"),
        ("a.xlsx", b"PK", "not plain text. Save it as CSV"),
        ("a.txt.gz", b"not gzip", "can't be read as a .gz"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read_documents(tmp_path / name, labelled=False)


def test_missing_is_never_taken_for_a_text(tmp_path: Path) -> None:
    for name in ("no.csv", "no.txt", "no"):
        with pytest.raises(DataError, match="There is no file or folder"):
            read_documents(tmp_path / name)


def test_plain_text_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good")
    with pytest.raises(DataError, match="plain text and has no labels"):
        read_documents(tmp_path / "a.txt")
