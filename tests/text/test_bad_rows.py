import pytest

from ulmfit.progress import silent
from ulmfit.text.bad_rows import Bad, settle
from ulmfit.text.files import DataError

EMPTY = [Bad("a.csv", "line", n, "no text") for n in (3, 4, 7, 8, 9, 11)]
SENTENCE = "a.csv: 7 of 1,000 rows {}: no text in 6 rows (lines 3, 4, 7, 8, 9, …); no label in 1 row (line 5)"


def test_all_kinds_are_listed_with_number_and_places() -> None:
    bad = [*EMPTY, Bad("a.csv", "line", 5, "no label")]
    with pytest.raises(DataError) as raised:
        settle(bad, 1000, "error", silent, "a.csv")
    assert str(raised.value).startswith(SENTENCE.format("can't be used"))
    assert "--on-bad skip" in str(raised.value)
    heard = list[str]()
    settle(bad, 1000, "skip", heard.append, "a.csv")
    assert heard == [SENTENCE.format("skipped")]


def test_places_in_several_files_name_them() -> None:
    heard = list[str]()
    bad = [EMPTY[0], Bad("b.parquet", "row", 1, "no text")]
    settle(bad, 9, "skip", heard.append, "*")
    assert heard == ["*: 2 of 9 rows skipped: no text in 2 rows (a.csv line 3, b.parquet row 1)"]


def test_nothing_is_said_of_nothing() -> None:
    settle([], 9, "error", pytest.fail, "f")
