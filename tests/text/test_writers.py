"""What each format can hold, and what it can't."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars
import pytest

from ulmfit.text.files import DataError
from ulmfit.text.writers import check_fits, write_table


def columns() -> "dict[str, polars.Series]":
    """One of each type that a table may bring, and those that make trouble inside of others, too."""
    hour, day = timedelta(hours=1), date(2020, 2, 29)
    made = [
        polars.Series("bytes", [b"\xff"]),
        polars.Series("time span", [hour]),
        polars.Series("python", [object()], polars.Object),
        polars.Series("no keys", [{}], polars.Struct([])),
        polars.Series("list", [[1, 2]]),
        polars.Series("array", [[1, 2]], polars.Array(polars.Int64, 2)),
        polars.Series("object", [{"a": 1}]),
        polars.Series("list of bytes", [[b"\xff"]]),
        polars.Series("object with bytes", [{"a": b"\xff"}]),
        polars.Series("list of no keys", [[{}]], polars.List(polars.Struct([]))),
        polars.Series("list of time spans", [[hour]]),
        polars.Series("nothing", [None]),
        polars.Series("yes", [True]),
        polars.Series("whole", [2**63], polars.UInt64),
        polars.Series("number", [0.5]),
        polars.Series("decimal", [Decimal("0.5")]),
        polars.Series("day", [day]),
        polars.Series("moment", [datetime(2020, 2, 29)]),
        polars.Series("time", [time(1)]),
        polars.Series("category", ["a"], polars.Categorical),
        polars.Series("enum", ["a"], polars.Enum(["a"])),
        polars.Series("string", ["a"]),
    ]
    return {series.name: series for series in made}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
@pytest.mark.parametrize("name", columns())
def test_what_a_format_cannot_hold_is_known_before(name: str, suffix: str, tmp_path: Path) -> None:
    """`check_fits` refuses just what can't be written, and both name what they are about."""
    frame = columns()[name].to_frame()
    try:
        write_table(frame, tmp_path / f"out{suffix}")
        written = True
    except DataError as error:
        assert re.search(rf"out{suffix} can't be written: [^\n]+$", str(error))
        assert not list(tmp_path.iterdir())
        written = False
    try:
        check_fits(frame, suffix, "in.parquet")
        assert written
    except DataError as error:
        assert not written
        assert re.match(rf"in.parquet: column '{name}' holds .*, which {suffix} can't hold; ", str(error))  # fmt: skip
        for other in re.findall(r"\.\w+", str(error).split("; ")[1]):  # what it advises helps
            check_fits(frame, other, "in.parquet")
