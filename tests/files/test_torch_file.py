"""Tensors come back as PyTorch saved them; a file that asks for more is refused within the bound."""

import os
import zipfile
from collections import OrderedDict
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from gadgets import hostile_weights, in_legacy, in_zip
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.files import torch_file
from ulmfit.files.pickled import Name, PickleError, Reference
from ulmfit.files.torch_file import read_tensors

FORMATS = [True, False]  # zip, and the one before PyTorch 1.6
BASE = torch.arange(24.0)
TENSORS = {
    "matrix": BASE.view(4, 6),
    "shared": BASE[2:8],
    "transposed": torch.randn(3, 5).t(),
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "number": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    **{
        str(kind): torch.tensor([0, 1, 2, 100]).to(kind)
        for kind in (
            torch.float64,
            torch.float16,
            torch.bfloat16,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.uint8,
            torch.bool,
        )
    },
}


def saved(content: Any, zipped: bool) -> bytes:
    file = BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def read(tmp_path: Path, content: bytes) -> dict[str, Any]:
    (tmp_path / "a.pth").write_bytes(content)
    return read_tensors(tmp_path / "a.pth")


def refused(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(PickleError, match=problem):
        read(tmp_path, content)


@pytest.mark.parametrize("zipped", FORMATS)
def test_tensors_come_back(tmp_path: Path, zipped: bool) -> None:
    for content in (TENSORS, OrderedDict(TENSORS)):
        found = read(tmp_path, saved({"model": content, "opt": {"lr": [1]}}, zipped))
        assert found["opt"] == {"lr": [1]} and found["model"].keys() == TENSORS.keys()
        for name, tensor in found["model"].items():
            assert tensor.dtype == TENSORS[name].dtype, name
            assert torch.equal(tensor, TENSORS[name]), name
    state = torch.nn.LSTM(2, 3).state_dict()  # with attributes
    assert all(torch.equal(t, state[n]) for n, t in read(tmp_path, saved(state, zipped)).items())


def test_no_gadget_runs(tmp_path: Path) -> None:
    tried = list(hostile_weights(tmp_path / "ran"))
    for name, content in tried:
        with pytest.raises(PickleError, match=r"not run|plain data|no tensors|expected tensors"):
            pytest.fail(f"{name}: {read(tmp_path, content)!r}")
    assert len(tried) >= 320
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", FORMATS)
def test_shapes_that_the_numbers_do_not_fill_are_refused(tmp_path: Path, zipped: bool) -> None:
    one = torch.zeros(1)
    for tensor in (one.expand(10**5, 10**5), torch.zeros(300).as_strided((100, 100, 100), (1, 1, 1))):  # fmt: skip
        refused(tmp_path, saved({"a": tensor}, zipped), "more than 4 times its size")
    many = {str(i): torch.zeros(5_000) for i in range(3)}
    refused(tmp_path, saved({str(i): many["0"] for i in range(9)}, zipped), "more than 4 times")
    whole = saved(many, zipped)
    assert len(read(tmp_path, whole)) == 3
    offset = whole.replace(b"M\x88\x13\x85", b"M\x89\x13\x85")  # 5,000 → 5,001 in a shape
    assert offset != whole
    if zipped:  # the same change in the file's table of checksums would be the forger's next step
        offset = in_zip(inner(offset))
    with pytest.raises((PickleError, KeyError, ValueError)):
        read(tmp_path, offset)


def test_what_a_file_names_many_times_is_read_once(tmp_path: Path) -> None:
    """Forty lists, each of which holds the next one twice, have a million million ends; a list in itself has none."""
    number = Reference(("storage", Name("torch", "FloatStorage"), "0", "cpu", 1))
    tree: list[Any] = [number]
    for _ in range(40):
        tree = [tree, tree]
    endless: list[Any] = [number]
    endless += [endless, endless]
    for tangled in (tree, endless):
        assert list(islice(torch_file._storages(tangled), 2)) == [("0", "<f4")]
    refused(tmp_path, in_legacy(b"]q\x00(h\x00h\x00e."), "holds a list")
    for zipped in FORMATS:
        shared = {"lr": 1}
        found = read(tmp_path, saved({"a": shared, "b": shared}, zipped))
        assert found == {"a": shared, "b": shared} and found["a"] is found["b"]


@pytest.mark.parametrize("zipped", FORMATS)
def test_numbers_are_not_read_again_and_again(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = torch.zeros(5_000)
    content = saved({str(i): storage[i] for i in range(9)}, zipped)
    assert len(read(tmp_path, content)) == 9
    monkeypatch.setattr(torch_file, "MOST_READS", 4)
    refused(tmp_path, content, "read more than 4 times")


def inner(content: bytes) -> bytes:
    """data.pkl of a zip file whose checksums are not looked at."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entry = archive.infolist()[0]
        start = entry.header_offset + 30 + int.from_bytes(
            content[entry.header_offset + 28 : entry.header_offset + 30], "little"
        ) + len(entry.filename)  # fmt: skip
    return content[start : start + entry.file_size]


def test_zip_bombs_are_refused(tmp_path: Path) -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"N." + bytes(10**7))
    assert len(file.getvalue()) < 20_000
    refused(tmp_path, file.getvalue(), "compressed, or claims to unpack")
    twice = BytesIO()  # two entries that are the same bytes
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(10**5))
        copy = zipfile.ZipInfo("archive/data/0")
        for name in ("header_offset", "file_size", "compress_size", "CRC"):
            setattr(copy, name, getattr(archive.infolist()[0], name))
        archive.filelist.append(copy)
    refused(tmp_path, twice.getvalue(), "compressed, or claims to unpack")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (in_legacy(b"]."), "holds a list"),
        (in_zip(b"]."), "holds a list"),
        (in_zip(b"}K\x01K\x02s."), "tensors by name"),
        (b"<html>", "no tensors"),
        (b"", "no tensors"),
        (b"I1\n.", "no tensors that PyTorch can read"),
        (in_zip(b"}.").replace(b"data.pkl", b"data.pkx"), "without tensors"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, problem: str) -> None:
    refused(tmp_path, content, problem)


@pytest.mark.parametrize("zipped", FORMATS)
def test_damaged_files_are_refused_or_read(tmp_path_factory: Any, zipped: bool) -> None:
    """Whatever bytes are changed: tensors, or an error of a damaged file; never anything else."""
    whole = saved({"a": torch.arange(6.0), "b": torch.ones(2, 2)}, zipped)
    path = tmp_path_factory.mktemp("damaged") / "a.pth"

    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4))
    def check(changes: list[tuple[int, int]]) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        path.write_bytes(content)
        try:
            found = read_tensors(path)
        except Exception as error:
            assert not isinstance(error, MemoryError)
        else:
            tensors = [t for t in found.values() if isinstance(t, torch.Tensor)]
            assert sum(t.nbytes for t in tensors) <= 4 * os.path.getsize(path)

    check()
