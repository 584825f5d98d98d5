import random

import numpy as np
import pytest

from ulmfit.text.joined import Joined

DTYPE = np.dtype(np.uint16)


def test_it_reads_as_one_array() -> None:
    draw = random.Random(0)
    for _ in range(50):
        parts = [
            np.arange(draw.randrange(5), dtype=DTYPE) + 10 * i for i in range(draw.randrange(6))
        ]
        joined, whole = Joined(parts, DTYPE), np.concatenate([np.empty(0, DTYPE), *parts])
        assert len(joined) == len(whole) and joined.dtype == whole.dtype
        np.testing.assert_array_equal(np.asarray(joined), whole)
        for _ in range(20):
            a, b = draw.randrange(-12, 12), draw.randrange(-12, 12)
            step = draw.choice([None, 1, 2])
            np.testing.assert_array_equal(joined[a:b:step], whole[a:b:step])
            assert joined[a:b].dtype == DTYPE
        np.testing.assert_array_equal(np.bincount(joined), np.bincount(whole))


def test_a_slice_within_a_part_is_no_copy() -> None:
    parts = [np.arange(4, dtype=DTYPE), np.arange(6, dtype=DTYPE)]
    joined = Joined(parts, DTYPE)
    assert np.shares_memory(joined[4:10], parts[1]) and np.shares_memory(joined[1:3], parts[0])
    views = list(joined.between(2, 7))
    assert [view.tolist() for view in views] == [[2, 3], [0, 1, 2]]
    assert all(np.shares_memory(*pair) for pair in zip(views, parts, strict=True))
    with pytest.raises(ValueError, match="without a copy"):
        joined.__array__(copy=False)
