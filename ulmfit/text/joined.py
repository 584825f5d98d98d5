"""Several arrays as one."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class Joined:
    """Arrays of one kind, one after the other, read as one array without a copy.

    A slice within one of them is a view; other slices, and NumPy's functions, get a copy.
    """

    def __init__(self, parts: Iterable[NDArray], dtype: np.dtype) -> None:
        self.parts, self.dtype = [part for part in parts if len(part)], dtype
        self._ends = np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.parts else 0

    def __getitem__(self, place: slice) -> NDArray:
        start, stop, step = place.indices(len(self))
        views = list(self.between(start, stop))
        part = views[0] if len(views) == 1 else np.concatenate([np.empty(0, self.dtype), *views])
        return part if step == 1 else part[::step]

    def between(self, start: int, stop: int) -> Iterator[NDArray]:
        """Views that are, one after the other, the slice from `start` to `stop`."""
        number = int(np.searchsorted(self._ends, start, "right"))
        while start < stop:
            part, end = self.parts[number], int(self._ends[number])
            begin = end - len(part)
            yield part[start - begin : min(stop, end) - begin]
            start, number = end, number + 1

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("several arrays can't become one without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)
