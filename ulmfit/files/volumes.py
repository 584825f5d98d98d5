"""A directory as one archive in volumes, for machines that only small files reach: cut here, carried, joined there.

A tar archive, compressed with lzma, cut every so many bytes. `volumes.json` names each volume with its SHA-256 and is
written last. Nothing but the standard library.
"""

import hashlib
import lzma
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

from ulmfit.files.checkpoint import load_json, save_json

INDEX = "volumes.json"
NAME = re.compile(r"\d{3,}\.xz")
MEGABYTE = 1_000_000


def cut(folder: Path, out: Path, megabytes: float, *, preset: int = 6) -> list[Path]:
    """All files of `folder` as volumes of at most `megabytes` each in `out`, a new or empty directory; equal files give
    equal volumes. `preset`: 0 is fast, 9 small. ValueError: nothing to cut, or no room for it."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a directory; name the one to split into volumes")
    if (size := int(megabytes * MEGABYTE)) < 1:
        raise ValueError(f"volumes of {megabytes:g} MB hold nothing; give a larger size")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{out} lies inside {folder}, the directory to split; name one outside of it"
        )
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; name a new directory for the volumes")
    out.mkdir(parents=True, exist_ok=True)
    whole, digests = out / ".whole", dict[str, str]()
    # ids have two bytes each: repetitions are aligned to two bytes
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "lc": 0, "lp": 1, "pb": 1}]
    with (
        lzma.open(whole, "w", filters=filters) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.add(file, file.relative_to(folder).as_posix(), filter=_anonymous)
    with open(whole, "rb") as file:
        while data := file.read(size):
            name = f"{len(digests):03}.xz"
            (out / name).write_bytes(data)
            digests[name] = hashlib.sha256(data).hexdigest()
    whole.unlink()
    save_json(out / INDEX, {"volumes": digests})
    return [out / name for name in digests]


def join(volumes: Path, out: Path) -> Path:
    """The directory that was cut, as `out`. ValueError: `out` is there, or volumes are missing or damaged; all are named."""
    if out.exists():
        raise ValueError(f"{out} exists; name a new directory for the joined files")
    digests = _index(volumes / INDEX)
    problems = dict[str, list[str]]()
    for name, digest in digests.items():
        file = volumes / name
        if not file.is_file():
            problems.setdefault("missing", []).append(name)
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            problems.setdefault("damaged", []).append(name)
    if problems:
        listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items())
        raise ValueError(f"of {len(digests)} volumes in {volumes}, {listed}; copy these again")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
    part.mkdir(parents=True)
    with open(whole := part / ".whole", "wb") as file:
        for name in digests:
            file.write((volumes / name).read_bytes())
    with lzma.open(whole) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        archive.extractall(part, filter="data")
    whole.unlink()
    return part.rename(out)


def joined(path: Path, out: Path) -> Path:
    """`path` itself, or, where it holds volumes, `out`, to which they are joined now or were by an earlier call."""
    if not (path / INDEX).is_file():
        return path
    return out if out.exists() else join(path, out)


def _index(path: Path) -> dict[str, str]:
    """Volume → SHA-256. ValueError: no such record, or one that names files elsewhere."""
    digests = load_json(path).get("volumes")
    if not isinstance(digests, dict) or not all(map(NAME.fullmatch, digests)):
        raise ValueError(f"{path} does not name the volumes of a directory; split it again")
    return digests


def _anonymous(member: tarfile.TarInfo) -> Any:
    """The same without owner and time."""
    member.uid = member.gid = 0
    member.uname, member.gname, member.mtime = "", "", 0
    return member
