"""Plain data comes out of a pickle as Python would read it; whatever else it asks for is named, and not done."""

import pickle
import struct
from collections import OrderedDict
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from gadgets import gadgets, live
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.files import pickled
from ulmfit.files.pickled import Call, Name, PickleError, Reference, read_pickle

KEYS = st.text() | st.integers()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner) | st.dictionaries(KEYS, inner) | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


def read(content: bytes, *names: Name) -> Any:
    return read_pickle(BytesIO(content), names, "plain data does")


@given(TREES, st.integers(0, 5))
def test_plain_data_is_read_as_python_does(tree: Any, protocol: int) -> None:
    assert read(pickle.dumps(tree, protocol)) == tree


def test_what_stands_twice_is_one_object() -> None:
    inner = ["a"]
    found = read(pickle.dumps([inner, inner]))
    assert found == [["a"], ["a"]] and found[0] is found[1]


def test_calls_and_references_are_records() -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("beside", 1) if value == "far" else None

    file = BytesIO()
    Pickler(file, 2).dump(OrderedDict(a="far"))
    found = read(file.getvalue(), Name("collections", "OrderedDict"))
    assert isinstance(found, Call) and (found.what.name, found.arguments) == ("OrderedDict", ())
    assert isinstance(found.items["a"], Reference) and found.items["a"].to == ("beside", 1)


def test_a_call_is_filled_in_place() -> None:
    """Were its list made anew by each of a million opcodes, a file of 3 MB would take hours."""
    ordered = Name("collections", "OrderedDict")
    reader = pickled._Reader([ordered], "x does")
    reader.stack += [Call(ordered, ())]
    lists = list[Any]()
    for number in range(3):
        reader.stack.append(number)
        reader.step("APPEND", None)
        lists.append(reader.stack[-1].items)
    assert lists[0] == [0, 1, 2] and lists[0] is lists[2]


def test_several_pickles_in_one_file() -> None:
    file = BytesIO(pickle.dumps(1) + pickle.dumps(["b"]) + b"rest")
    assert read_pickle(file, (), "x does") == 1 and read_pickle(file, (), "x does") == ["b"]
    assert file.read() == b"rest"


def test_the_gadgets_are_real(tmp_path: Path) -> None:
    """Python's own unpickler does run them, so the tests below could fail."""
    ran = 0
    for content in live(tmp_path / "ran").values():
        with suppress(Exception):  # some end in an error, when it is too late
            pickle.loads(content)
        ran += (tmp_path / "ran").exists()
        (tmp_path / "ran").unlink(missing_ok=True)
    assert ran >= 20


def test_no_gadget_runs(tmp_path: Path) -> None:
    tried = gadgets(tmp_path / "ran")
    for name, content in tried.items():
        with pytest.raises(PickleError, match=r"not run|plain data|damaged"):
            pytest.fail(f"{name}: {read(content)!r}")
    assert len(tried) >= 80
    assert not (tmp_path / "ran").exists()


def test_what_it_asks_for_is_named(tmp_path: Path) -> None:
    found = gadgets(tmp_path / "ran")
    for name in ("GLOBAL", "INST", "OBJ", "STACK_GLOBAL"):
        with pytest.raises(PickleError, match=r"asks for posix\.system, which plain data does not"):
            read(found[name])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"N",
        b"(.",
        b"]]a",
        b"h\x07.",
        b"a.",
        b"K\x01K\x02a.",  # append to a number
        b"}]s.",
        b"](K\x01u.",  # items into a list
        b"}](K\x01K\x02u.",
        b"}(K\x01u.",  # a key without a value
        b"})K\x01s.",  # a tuple as key
        b"L" + b"9" * 5000 + b"L\n.",
        b"\x8a\xff.",
        b"X\xff\xff\xff\x7f.",
        b"\x8d" + struct.pack("<Q", 2**62) + b".",
        b"\x8d" + struct.pack("<Q", 2**63) + b".",
        b"U\x02\xff\xfe.",
        b"S'\\xff'\n.",
        b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b".",  # a bytearray of a petabyte
        b"<html>",
    ],
)
def test_damaged_pickles(content: bytes) -> None:
    with pytest.raises(PickleError, match=r"damaged|plain data"):
        read(content)


def test_a_large_number_in_a_small_file_takes_no_memory() -> None:
    """Python's own unpickler would take 64 GB for this place in its memo."""
    assert read(b"Nr" + struct.pack("<I", 2**32 - 1) + b".") is None


def test_there_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MOST_OPCODES", 100)
    assert read(b"(" + b"N" * 97 + b"l.") == [None] * 97
    with pytest.raises(PickleError, match="more than 100 parts"):
        read(b"(" + b"N" * 98 + b"l.")


@given(st.binary(max_size=200) | st.lists(st.sampled_from(b"()].}]NaesutqhKXc0tR\x81\x93\x94b\n"), max_size=60).map(bytes))  # fmt: skip
def test_any_bytes_are_data_or_refused(content: bytes) -> None:
    with suppress(PickleError):
        read(content)
