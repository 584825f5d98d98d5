"""Saved files: safetensors + JSON, written atomically, tensors with a checksum. No pickle, no code in files."""

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ulmfit.files.json_file import JsonError, read_object

Storage = Literal["fp32", "fp16", "int8"]
Net = TypeVar("Net", bound=torch.nn.Module)
SCALE = ".scale"  # suffix of the tensor that holds the row scales of an int8 matrix
PART = ".part"  # suffix of what is still being written
ABOUT = "ulmfit"  # the only key in a file's metadata: safetensors writes several in random order
# the disk's fault, not the path's
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
MOST_HEADER = 1_000_000  # bytes; a net of ours takes some thousand


class CheckpointError(ValueError):
    """A saved file is missing, damaged or of another kind; the message says which and what to do."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary sibling to write to; it becomes `path` only if the block succeeds (fsync, rename, fsync of the
    directory). OSError with advice where the disk is full or can't be written."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def rename(old: Path, new: Path) -> None:
    """`old` takes the place of `new`, durably (where directories can be synced)."""
    os.replace(old, new)
    if hasattr(os, "O_DIRECTORY"):  # not on Windows
        directory = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the OSError of a disk that is full or can't be written into one with advice about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise OSError(
            f"{path} can't be written: {os.strerror(error.errno).lower()}. What was saved before is intact; "
            "make room, or make it writable, and repeat the command"
        ) from error


def sweep(directory: Path) -> None:
    """Delete what a killed process was writing below `directory`; no other process may be writing there."""
    for part in list(directory.rglob(f".*{PART}")):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)  # it may have gone with its folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_json(path: Path, content: Any) -> None:
    """Readable JSON, written atomically."""
    with atomic(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or a `CheckpointError` that names it."""
    try:
        return read_object(path)
    except (FileNotFoundError, NotADirectoryError):
        if not path.parent.is_dir():
            problem = "is a file" if path.parent.exists() else "does not exist"
            raise CheckpointError(
                f"{path.parent} {problem}; give the directory of a run or of a saved model"
            ) from None
        raise CheckpointError(
            f"{path} is missing: {path.parent} is not a complete saved directory"
        ) from None
    except JsonError as error:
        raise CheckpointError(str(error)) from None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], *, storage: Storage = "fp32") -> None:
    """Write a state dict. `fp16` halves all floats; `int8` also stores matrices as int8 rows with an fp32 scale each
    (largest absolute value / 127)."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if storage == "int8" and tensor.is_floating_point() and tensor.dim() == 2:
            scale = tensor.float().abs().amax(dim=1).clamp_min(1e-12) / 127
            packed[name] = (tensor / scale[:, None]).round().to(torch.int8)
            packed[name + SCALE] = scale
        elif storage != "fp32" and tensor.is_floating_point():
            packed[name] = tensor.half()
        else:
            packed[name] = tensor.clone()
    write_tensors(path, packed)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], about: Mapping[str, Any] | None = None
) -> None:
    """A safetensors file with a checksum over tensors and `about` (JSON), written atomically. OSError names it where it
    can't be written."""
    metadata = dict(about or {})
    metadata["crc32"] = _checksum(tensors, metadata)
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, {ABOUT: json.dumps(metadata)})
        except SafetensorError as error:  # I/O errors come as this, too
            raise OSError(
                f"{path} can't be written ({error}); the disk may be full. What was saved before is intact; make room"
                " and repeat the command"
            ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors as stored, and `about`. The checksum is verified where `write_tensors` wrote the file.
    `CheckpointError`: missing or damaged."""
    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            about = dict(json.loads(metadata.get(ABOUT, "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: {path.parent} is not a complete saved directory"
        ) from None
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({error}); save or copy it again"
        ) from None
    if ABOUT in metadata and about.pop("crc32", None) != _checksum(tensors, about):
        raise CheckpointError(
            f"{path} is damaged (its checksum does not match); save or copy it again"
        )
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> int:
    """CRC-32 of names, types, shapes, bytes and `about`: against damage, not against forgery."""
    shapes = {name: [str(t.dtype), *t.shape] for name, t in tensors.items()}
    total = zlib.crc32(json.dumps([shapes, about], sort_keys=True).encode())
    for name in sorted(tensors):
        flat = tensors[name].contiguous().reshape(-1)
        total = zlib.crc32(flat.view(torch.uint8).numpy().data, total)
    return total


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The saved tensors, floats as fp32 however they were stored."""
    packed, _ = read_tensors(path)
    tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in packed.items()}
    for name in [n for n in tensors if n.endswith(SCALE)]:
        scale, scaled = tensors.pop(name), name.removesuffix(SCALE)
        if scaled not in tensors:
            raise CheckpointError(f"{path} holds {name} without {scaled}; save or copy it again")
        rows = tensors[scaled].shape[:1]
        if not rows or scale.shape != rows:  # broadcasting could make the product larger than both
            raise CheckpointError(
                f"{path}: {name} does not hold one scale per row; save or copy it again"
            )
        tensors[scaled] = tensors[scaled].float() * scale[:, None]
    return tensors


def _check_header(path: Path) -> None:
    """A `CheckpointError` for a safetensors header longer than any of ours: parsing takes many times its size."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError:  # `safe_open` says which
        return
    if length > MOST_HEADER:
        raise CheckpointError(
            f"{path} is damaged: its header claims {length:,} bytes, at most {MOST_HEADER:,} are read"
        )


class _WithoutDraws(TorchFunctionMode):
    """Skips random initialisation, which on "meta" would import torch's compiler and take a second and a half."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_net(path: Path, build: Callable[[], Net]) -> Net:
    """The net that `build` makes, with the weights in the file; every name and shape must agree. It is built without
    storage, so sizes that a config claims take no memory until the file proves them."""
    with torch.device("meta"), _WithoutDraws():
        net = build()
    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not name.endswith(SCALE)]  # noqa: SIM118
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError):
        load_tensors(path)  # raises an error that says what is wrong
        raise
    _compare(found, net.state_dict(), path)
    net.to_empty(device="cpu").load_state_dict(load_tensors(path))
    return net


def load_into(net: torch.nn.Module, path: Path) -> None:
    """Fill `net` from a file; every name and shape must agree."""
    tensors = load_tensors(path)
    _compare({name: tuple(t.shape) for name, t in tensors.items()}, net.state_dict(), path)
    net.load_state_dict(tensors)


def _compare(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, Tensor], path: Path
) -> None:
    for problem, names in (
        ("lacks", expected.keys() - found.keys()),
        ("has unknown", found.keys() - expected.keys()),
    ):
        if names:
            raise CheckpointError(
                f"{path} {problem} tensors: {', '.join(sorted(names)[:4])}; it was saved by another kind of model"
            )
    for name, shape in found.items():
        if shape != tuple(expected[name].shape):
            raise CheckpointError(
                f"{path}: {name} has shape {shape}, but config.json and tokenizer.json ask for "
                f"{tuple(expected[name].shape)}; these files do not belong together"
            )
