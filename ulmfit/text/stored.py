"""A corpus on disk: one directory, written atomically, or the shards of many machines."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ulmfit.text.joined import Joined
from ulmfit.text.tokenizer import Ids, Tokenizer


class Stored(NamedTuple):
    """What is read: the fields of a `Corpus`."""

    ids: Ids | Joined
    offsets: NDArray[np.int64]
    labels: NDArray | None
    label_names: tuple[str, ...]
    fingerprint: str
    tokenizer: Tokenizer


def is_corpus(path: Path) -> bool:
    """Whether a directory was written as a corpus, or as a part of one."""
    return (
        any(path.glob("corpus.json"))
        or any(path.glob("shard-*/corpus.json"))
        or any(path.glob("counts-*.json"))
    )


def read(path: Path) -> Stored:
    """A corpus directory, or a folder with all its shards; ids are memory-mapped.

    ValueError: no corpus, damaged, or incomplete.
    """
    if (path / "corpus.json").exists() or not (shards := sorted(path.glob("shard-*"))):
        return _read(path)[0]
    first, content = _read(shards[0])
    if "shard" not in content:  # 1/1, which is the whole
        return first
    of = content["shard"][1]
    names = [f"shard-{number}" for number in range(1, of + 1)]
    if missing := sorted({*names} - {shard.name for shard in shards}):
        raise ValueError(
            f"{path} lacks {len(missing)} of {of} shards: {', '.join(missing[:5])}. Encode"
            f" them: ulmfit tokenize FILES --shard {missing[0][6:]}/{of} --out {path}"
        )
    return _in_turn(path, [_read(path / name) for name in names])


def _read(path: Path) -> tuple[Stored, dict[str, Any]]:
    """One directory with ids, and the content of its corpus.json."""
    try:
        content = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
        dtype = np.dtype(content["dtype"])
        file = path / "ids.bin"  # a shard without documents has an empty one, which can't be mapped
        ids = np.memmap(file, dtype, "r") if file.stat().st_size else np.empty(0, dtype)
        offsets = np.load(path / "offsets.npy")
        labels = np.load(path / "labels.npy") if (path / "labels.npy").exists() else None
        names, fingerprint = tuple(content["label_names"]), content["fingerprint"]
        tokenizer = Tokenizer.load(path / "tokenizer.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not an encoded corpus: {error}. Encode it again.") from error
    if offsets[-1] != len(ids):
        raise ValueError(
            f"{path} is damaged: expected {offsets[-1]:,} ids, found {len(ids):,}. Delete it"
            " and encode again."
        )
    return Stored(ids, offsets, labels, names, fingerprint, tokenizer), content


def _in_turn(path: Path, shards: list[tuple[Stored, dict[str, Any]]]) -> Stored:
    """The documents of all shards in the order of the stream: block by block, a block of each shard in turn."""
    first, expected = shards[0]
    for number, (shard, content) in enumerate(shards, 1):
        same = content.get("shard") == [number, len(shards)]
        same = same and content["seen"] == expected["seen"]
        if not same or shard.tokenizer != first.tokenizer:
            raise ValueError(
                f"{path}/shard-{number} does not match shard-1: its texts, its vocabulary or the number of shards"
                " differ. Delete it and encode it again from the same files."
            )
    blocks = [np.append(0, np.cumsum(content["blocks"], dtype=np.int64)) for _, content in shards]
    parts, lengths = list[Ids](), list[NDArray[np.int64]]()
    for number in range(sum(len(ends) - 1 for ends in blocks)):
        which, k = number % len(shards), number // len(shards)
        shard, (a, b) = shards[which][0], blocks[which][k : k + 2]
        parts.append(np.asarray(shard.ids)[shard.offsets[a] : shard.offsets[b]])
        lengths.append(np.diff(shard.offsets[a : b + 1]))
    offsets = np.concatenate([[0], *lengths]).cumsum()
    fingerprint = short(json.dumps([shard.fingerprint for shard, _ in shards]).encode())
    ids = Joined(parts, first.ids.dtype)
    return Stored(ids, offsets, None, (), fingerprint, first.tokenizer)


def write_index(
    folder: Path,
    tokenizer: Tokenizer,
    offsets: NDArray[np.int64],
    labels: NDArray | None,
    names: Sequence[str],
    fingerprint: str,
    more: dict[str, Any] | None = None,
) -> None:
    """Writes all of a corpus but its ids.bin; corpus.json comes last and holds `more`, too."""
    np.save(folder / "offsets.npy", offsets)
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    tokenizer.save(folder / "tokenizer.json")
    content = {
        "dtype": np.dtype(tokenizer.dtype).name,
        "label_names": names,
        "fingerprint": fingerprint,
    }
    text = json.dumps(content | (more or {}), indent=1)
    (folder / "corpus.json").write_text(text, encoding="utf-8")


def digest_of(tokenizer: Tokenizer, names: Sequence[str]) -> "hashlib._Hash":
    """The hash that becomes a corpus's fingerprint when ids, offsets and labels (b"-": none) are added."""
    return hashlib.sha256(json.dumps([tokenizer.fingerprint, names]).encode())


def short(base: bytes, *arrays: NDArray) -> str:
    """16 hex digits of `base` and the arrays' bytes."""
    digest = hashlib.sha256(base)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A folder to fill; it replaces `path` if the block succeeds, and is deleted otherwise. ValueError: `path` is there and
    no corpus."""
    if path.exists() and not (path / "corpus.json").exists():
        raise ValueError(f"{path} exists and is not an encoded corpus; choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside `path`, so that renaming is one step; a new name each time, whatever a killed encoding left.
    with TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as temporary:
        folder = Path(temporary) / path.name
        folder.mkdir()  # inside, since other users can't read the temporary one
        yield folder
        if path.exists():  # a directory can't be renamed over another
            shutil.rmtree(path)
        folder.rename(path)
