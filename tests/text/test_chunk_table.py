import numpy as np

from ulmfit.text.chunk_table import NO_HEAD, NO_TAIL, ChunkTable, Row


def test_what_is_added_can_be_gathered() -> None:
    table = ChunkTable()
    assert [table.add("ab", ["a", "b"]), table.add("", [])] == [0, 1]
    table.store()
    assert table.add("b\n ", ["b", "\n "], Row(1, 2, 3, 4, 5)) == 2
    table.store()
    numbers, offsets, names = table.gather(np.array([0, 1, 2, 1, 0], np.int32), np.array([0, 2, 3]))
    assert [names[i] for i in numbers] == ["a", "b", "b", "\n▁", "a", "b"]
    assert offsets.tolist() == [0, 2, 4, 6]
    assert names == ["a", "b", "\n▁"]
    assert table.rows.T.tolist() == [[0, 0, NO_HEAD, NO_TAIL, 0]] * 2 + [[1, 2, 3, 4, 5]]
    assert (table.tokens(2), table.row(2), table.chunks[2]) == (
        ["b", "\n▁"],
        [1, 2, 3, 4, 5],
        "b\n ",
    )


def test_it_grows() -> None:
    table = ChunkTable()
    for i in range(5000):
        table.add(f"w{i}", [f"w{i}", "x"])
        if i % 700 == 0:
            table.store()
    table.store()
    numbers, _, names = table.gather(np.arange(5000, dtype=np.int32), np.array([0]))
    assert [names[i] for i in numbers[::2]] == [f"w{i}" for i in range(5000)]
    assert len(table.uses) == 5000 and not table.uses.any()


def test_no_word_is_never_a_word() -> None:
    assert NO_HEAD != NO_TAIL and NO_HEAD < 0 and NO_TAIL < 0
