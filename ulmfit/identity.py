"""When two runs are the same: equal settings and data, on whatever machine; and how two of them differ."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ulmfit.files.checkpoint import load_json
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document

# fields of RuntimeConfig that do not change which run it is
MACHINE = {"device", "precision", "threads", "max_minutes", "on_bad_loss"}
# measured values in a run's JSON files: equal runs differ in nothing else
WALL_CLOCK = {"began", "seconds", "peak_memory"}
SHOWN = 4  # differences named in a refusal


def fingerprint(*parts: Iterable[Document] | Corpus) -> str:
    """One hash over the texts and labels of all parts, in order; a corpus counts by its own fingerprint."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"\x00part")
        if isinstance(part, Corpus):
            digest.update(part.fingerprint.encode())
            continue
        for document in part:
            name = document.label
            label = name if isinstance(name, str) else f"\x02{name!r}"  # 1.5 is not "1.5"
            digest.update(f"{label}\x00{document.text}\x01".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def trained_on(run: str | Path, documents: Iterable[Document]) -> bool:
    """Whether these are the labelled documents that a run was given; False if it has not recorded them."""
    record = Path(run) / "config.json"
    known = load_json(record).get("labelled") if record.exists() else None
    return known is not None and known == fingerprint(documents)


def identity(config: dict[str, Any], data: str) -> str:
    """One hash over settings and data, the same on any machine and with any number of threads."""
    content = json.dumps([_portable(config), data], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def differences(old: dict[str, Any], config: dict[str, Any], data: str) -> str:
    """How a run's record `old` differs from the present settings and data, for people; empty if no difference is recorded."""
    new = json.loads(json.dumps(_portable(config), default=str))  # as it would be loaded
    lines = list(_differences(_portable(old.get("config", {})), new, ""))
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"{len(lines) - SHOWN} more"]
    if old.get("data") not in (None, data):
        lines.append("the texts or their labels have changed")
    return "; ".join(lines)


def _differences(old: Any, new: Any, name: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif old != new:
        yield f"{name} was {old}, now {new}"


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """The settings without those of the machine."""
    if "runtime" not in config:
        return config
    return config | {"runtime": {k: v for k, v in config["runtime"].items() if k not in MACHINE}}
