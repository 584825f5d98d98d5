"""A JSON file becomes an object, or one sentence says why not."""

from pathlib import Path

import pytest

from ulmfit.files import json_file
from ulmfit.files.json_file import JsonError, read_object


def test_an_object_comes_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"é": [1, {}]}', encoding="utf-8")
    assert read_object(tmp_path / "a") == {"é": [1, {}]}
    with pytest.raises(FileNotFoundError):
        read_object(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff{}", "damaged"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),  # more digits than Python converts
    ],
)
def test_other_content_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(JsonError, match=rf"a\.json .*{problem}"):
        read_object(tmp_path / "a.json")


def test_a_file_is_read_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MOST_BYTES", 20)
    (tmp_path / "a").write_text('{"a": "0123456789"}')
    assert read_object(tmp_path / "a") == {"a": "0123456789"}
    (tmp_path / "a").write_text('{"a": "0123456789+"} ')
    with pytest.raises(JsonError, match="more than 20 bytes"):
        read_object(tmp_path / "a")
