"""A stream in blocks, and its shards."""

import pytest

from ulmfit.text import shards
from ulmfit.text.shards import Seen, Shard, TooLong, blocks, limited

TEXTS = [f"{i} " * (i % 7) for i in range(100)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BATCH_CHARACTERS", 40)


@pytest.mark.parametrize("of", [1, 3, 8, 60])
def test_the_shards_together_are_the_stream(of: int) -> None:
    whole = list(blocks(iter(TEXTS), Shard(), Seen()))
    assert [text for _, block in whole for text in block] == TEXTS
    assert [number for number, _ in whole] == list(range(len(whole))) and 8 < len(whole) < 60
    parts = list[tuple[int, list[str]]]()
    for number in range(1, of + 1):
        seen = Seen()
        part = list(blocks(iter(TEXTS), Shard(number, of), seen))
        assert seen == Seen(len(TEXTS), sum(map(len, TEXTS)))
        assert len(part) in (len(whole) // of, len(whole) // of + 1)
        parts += part
    assert sorted(parts) == whole


def test_shards_are_written_as_people_write_them() -> None:
    assert Shard.parse("2/8") == Shard(2, 8) and str(Shard(2, 8)) == "2/8"
    for wrong in ("0/8", "9/8", "2", "2/", "a/b", "-1/3", "2/8/9"):
        with pytest.raises(ValueError, match="expected number/of"):
            Shard.parse(wrong)


def test_a_document_that_is_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LONGEST", 1000)
    assert list(limited(["a" * 1000, "ä" * 500], "a.txt")) == ["a" * 1000, "ä" * 500]
    for text in ("a" * 1001, "ä" * 501, "\ud800" * 334):
        with pytest.raises(TooLong, match=r"a\.txt, document 2 has .* MB.*--split-on"):
            list(limited(["short", text], "a.txt"))
