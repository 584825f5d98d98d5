from collections.abc import Iterable
from pathlib import Path

import pytest

from ulmfit.progress import silent
from ulmfit.text import plain
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.plain import plain_documents
from ulmfit.text.readers import read_documents
from ulmfit.text.shards import TooLong


def read(path: Path, content: bytes, **options: object) -> Iterable[Document]:
    path.write_bytes(content)
    return read_documents(path, labelled=False, split_on="line", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    heard = list[str]()
    content = "one\ncafé\r\nschön\u2028so\n" if encoding != "cp1252" else "one\ncafé\r\nschön so\n"
    made = read(tmp_path / "a.txt", content.encode(encoding), say=heard.append)
    assert [d.text for d in made] == content.replace("\r", "").split("\n")[:3]
    assert len(heard) == (0 if encoding.startswith("utf-8") else 1)
    if encoding == "cp1252":
        assert "(byte 0xe9 in line 2): read as cp1252, which gives 'café'" in heard[0]


def test_a_stream_is_judged_line_by_line(tmp_path: Path) -> None:
    """The end of a long file is not known when its beginning is read."""
    heard = list[str]()
    made = iter(read(tmp_path / "a.txt", b"good\n" * 1000 + b"caf\xe9\n", say=heard.append))
    assert next(made) == Document("good") and not heard
    assert [*made][-1] == Document("café") and "line 1001" in heard[0]


@pytest.mark.parametrize(
    ("line", "why"), [(b"caf\xe9\n", "bytes that are not UTF-8"), (b"a\0b\n", "a zero byte")]
)
def test_bad_lines_are_listed_or_skipped(tmp_path: Path, line: bytes, why: str) -> None:
    content = "über\n".encode() + line + b"end\n"
    with pytest.raises(DataError, match=rf"{why} in 1 line \(line 2\)"):
        list(read(tmp_path / "a.txt", content))
    heard = list[str]()
    made = list(read(tmp_path / "a.txt", content, on_bad="skip", say=heard.append))
    assert [d.text for d in made] == ["über", "end"]
    assert [sentence for sentence in heard if f"1 of 3 lines skipped: {why}" in sentence]


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not Western European") as refused:
        read(tmp_path / "a.txt", ("Очень хороший фильм\n" * 3).encode("cp1251"))
    assert str(refused.value).count("a.txt") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_line_that_is_too_long_is_not_read_to_its_end(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "LONGEST_LINE", 10)
    text = "just fits\nfits, too!"
    assert len(list(read(tmp_path / "a.txt", text.encode(encoding)))) == 2
    reason = r"a\.txt: line 2 is longer than 10 characters; split it"
    with pytest.raises(DataError, match=reason):
        list(read(tmp_path / "a.txt", f"{text}!\nend\n".encode(encoding)))


def test_a_document_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"short\n\n" + b"many words\n" * 100 + b"\xff\xfe\n")
    made = iter(plain_documents(path, "blank-line", "error", silent, longest=500))
    assert next(made).text == "short"
    with pytest.raises(TooLong, match=r"a\.txt, document 2 has more than .* begins 'many words"):
        next(made)
