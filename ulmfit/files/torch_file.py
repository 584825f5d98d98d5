"""Tensors from a file that `torch.save` wrote, in either of its formats; nothing in it is run, and they take no more
memory than `MOST_TIMES` its size."""

import math
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulmfit.files.pickled import Call, DamagedError, Name, PickleError, Reference, read_pickle

STORAGES = {  # PyTorch's name → NumPy's type; it has no bfloat16, whose bytes are read as int16
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<i2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
ORDERED = Name("collections", "OrderedDict")
TENSORS = (Name("torch._utils", "_rebuild_tensor_v2"), Name("torch._utils", "_rebuild_tensor"))
PARAMETER = Name("torch._utils", "_rebuild_parameter")
LEFT_OUT = (  # in the state of an optimizer, which is not used
    Name("fastcore.foundation", "L"),
    Name("torch", "device"),
    Name("torch", "Size"),
)
NAMES = frozenset(
    {ORDERED, *TENSORS, PARAMETER, *LEFT_OUT, *(Name("torch", name) for name in STORAGES)}
)
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how the format before PyTorch 1.6 begins
MOST_TIMES = 4  # tensors may share numbers, and each is copied
MOST_READS = 64  # a small tensor may be cut out of a large storage

Numbers = Callable[[str], bytes | memoryview]  # the bytes of a storage by its key


def read_tensors(path: Path) -> dict[str, Any]:
    """The dict in a file, and the dicts in it, with tensors as copies of their own; other values as `read_pickle` gives them.

    PickleError: it asks for anything but tensors, or holds no dict. OSError: there is no such file. A damaged file may
    raise nearly anything, such as BadZipFile or KeyError.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    with zipfile.ZipFile(path) if zipped else nullcontext() as archive:
        tree, numbers = _zipped(archive, size) if archive else _plain(path.read_bytes())
        content = _Builder(numbers, size).build(tree, depth=2)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise PickleError(f"holds a {type(content).__name__}; expected tensors by name")
    return content


def _zipped(archive: zipfile.ZipFile, size: int) -> tuple[Any, Numbers]:
    """PyTorch's format since 1.6: a zip file of `size` bytes, not compressed."""
    entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise PickleError(
            "is compressed, or claims to unpack to more than its size; PyTorch writes no such files"
        )
    folder = next((e.filename[:-8] for e in entries if e.filename.endswith("/data.pkl")), None)
    if folder is None:
        raise PickleError("is a zip file without tensors")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise PickleError("was written by a big-endian machine")
    tree = _read(BytesIO(archive.read(f"{folder}data.pkl")))
    return tree, lambda key: archive.read(f"{folder}data/{key}")


def _plain(content: bytes) -> tuple[Any, Numbers]:
    """The format before: five pickles, then the storages' numbers, each storage behind its length."""
    file = BytesIO(content)
    if _read(file) != MAGIC or _read(file) != PROTOCOL:
        raise PickleError("holds no tensors that PyTorch can read")
    if not _read(file).get("little_endian"):
        raise PickleError("was written by a big-endian machine")
    tree = _read(file)
    places, view = dict[str, slice](), memoryview(content)
    dtypes = dict(_storages(tree))
    for key in _read(file):
        start = file.tell() + 8
        length = int.from_bytes(file.read(8), "little")
        end = start + length * np.dtype(dtypes.get(key, "u1")).itemsize
        if end > len(content):
            raise PickleError("is cut short")
        places[key] = slice(start, end)
        file.seek(end)
    return tree, lambda key: view[places[key]]


def _read(file: BytesIO) -> Any:
    try:
        return read_pickle(file, NAMES, "weights do")
    except DamagedError:
        raise PickleError("holds no tensors that PyTorch can read") from None


def _storages(tree: Any) -> Any:
    """(key, NumPy's type) of every storage in a tree. What occurs in it more than once, or in itself, is read once."""
    waiting, seen = [tree], set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Reference):
            yield _storage(value)[:2]
        elif isinstance(value, Call):
            waiting += [value.arguments, value.items]
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple) and not isinstance(value, Name):
            waiting += value


def _storage(reference: Reference) -> tuple[str, str, bool]:
    """Key, NumPy's type, and whether it is bfloat16."""
    match reference.to:
        case ("storage", Name("torch", name), str() as key, str(), int()):
            pass
        case ("storage", Name("torch", name), str() as key, str(), int(), None):
            pass
        case _:
            raise PickleError("refers to something that is not the storage of a tensor")
    return key, STORAGES[name], name == "BFloat16Storage"


class _Builder:
    """Builds the tensors that a file of `size` bytes describes, within `MOST_TIMES` and `MOST_READS` of it."""

    def __init__(self, numbers: Numbers, size: int) -> None:
        self.numbers = numbers
        self.left, self.to_read = MOST_TIMES * size, MOST_READS * size
        self.built = dict[tuple[int, int], dict[Any, Any]]()  # by identity and depth

    def build(self, value: Any, depth: int) -> Any:
        if isinstance(value, Call) and value.what == PARAMETER:
            value = value.arguments[0] if value.arguments else None
        if isinstance(value, Call) and value.what in TENSORS:
            return self.tensor(value)
        if isinstance(value, Call) and value.what == ORDERED:
            value = value.items
        if not isinstance(value, dict) or not depth:
            return value
        if (once := (id(value), depth)) not in self.built:  # a dict may be named many times
            self.built[once] = {key: self.build(v, depth - 1) for key, v in value.items()}
        return self.built[once]

    def tensor(self, call: Call) -> Tensor:
        match call.arguments:
            case (Reference() as storage, int(offset), tuple(size), tuple(stride), *_):
                key, kind, is_bfloat16 = _storage(storage)
            case _:
                raise PickleError("holds something else in place of a tensor")
        lengths = (offset, *size, *stride)
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in lengths):
            raise PickleError("holds a tensor with an impossible shape")
        self.left -= math.prod(size) * np.dtype(kind).itemsize
        if self.left < 0:
            raise PickleError(f"holds tensors of more than {MOST_TIMES} times its size")
        content = self.numbers(key)
        self.to_read -= len(content)
        if self.to_read < 0:
            raise PickleError(f"needs its numbers read more than {MOST_READS} times")
        numbers = np.frombuffer(content, kind)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) and last >= len(numbers):
            raise PickleError("holds a tensor that is larger than its storage")
        strides = [step * numbers.itemsize for step in stride]
        view = np.lib.stride_tricks.as_strided(numbers[offset:], size, strides)
        tensor = torch.from_numpy(view.copy())
        return tensor.view(torch.bfloat16) if is_bfloat16 else tensor
