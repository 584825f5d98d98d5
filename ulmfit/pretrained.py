"""Models by name: installed by pip, published by fastai and downloaded once, or in a directory on disk."""

import os
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ulmfit.classifier import KIND as CLASSIFIER
from ulmfit.config import NONE, SMALL, Direction
from ulmfit.fastai_files import import_fastai
from ulmfit.files.archive import unpack
from ulmfit.files.checkpoint import CheckpointError, load_json
from ulmfit.files.download import Remote, alone, cache_dir, fetch
from ulmfit.language_model import KIND as LANGUAGE_MODEL
from ulmfit.language_model import LanguageModel
from ulmfit.progress import Say
from ulmfit.text.tokenizer import Tokenizer

SHIPPED = Path(__file__).parent / "weights"
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")

# Addresses, checksums and sizes as fastai publishes them; the contents have not been tested.
FASTAI = "https://s3.amazonaws.com/fast-ai-modelzoo"
PUBLISHED = {
    "wt103-forward": Remote(
        f"{FASTAI}/wt103-fwd.tgz", "7d1114cd9684bf9d1ca3c9f6a54da6f9", 105_067_061
    ),
    "wt103-backward": Remote(
        f"{FASTAI}/wt103-bwd.tgz", "20b06f5830fd5a891d21044c28d3097f", 105_205_312
    ),
}
PACKAGES = "ulmfit.models"  # group of the entry points
MOST_BYTES = 1_000_000_000  # of an unpacked archive; the weights alone take 180 MB


def tell(line: str) -> None:
    """Prints to standard error, as the progress bar does, so that no download goes unnoticed."""
    print(line, file=sys.stderr, flush=True)


def installed() -> dict[str, Path]:
    """The saved models that pip installed, by name: those in this package, and those of packages that declare an entry point
    (recipes/package_model.py). No code of those packages is run."""
    found = dict[str, Path]()
    for point in entry_points(group=PACKAGES):
        spec = find_spec(point.value.partition(".")[0])
        for folder in (spec and spec.submodule_search_locations) or ():
            if (Path(folder) / "config.json").exists():
                found[point.name] = Path(folder)
    own = {p.parent.name: p.parent for p in SHIPPED.glob("*/config.json")}
    return dict(sorted((found | own).items()))


def models() -> dict[str, dict[str, Any]]:
    """The installed models by name, with their cards."""
    return {name: load_json(at / "config.json")["card"] for name, at in installed().items()}


def downloads() -> dict[str, dict[str, str]]:
    """The published models by name: their address, size, and whether they are in the cache."""
    return {
        name: {
            "data": "WikiText-103, by fastai",
            "url": remote.url,
            "size": f"{(remote.size or 0) / 1e6:.0f} MB",
            "state": f"in {place}" if (place := _place(name)).exists() else "downloaded when used",
        }
        for name, remote in PUBLISHED.items()
    }


def shipped(name: str | Path, direction: Direction | None = None) -> Path | None:
    """The directory of the installed model of that name, with or without its direction; None if there is none."""
    folders = installed()
    known = _among(set(folders), name, direction)
    return folders[known] if known else None


def published(
    name: str | Path, direction: Direction | None = None, *, say: Say = tell
) -> Path | None:
    """The directory of the published model of that name, with or without its direction; None if there is none.

    It is downloaded and converted if it is not in the cache yet.
    """
    known = _among(set(PUBLISHED), name, direction)
    if known is None:
        return None
    _check_direction(known, "backward" if known.endswith("backward") else "forward", direction)
    place = _place(known)
    if not place.exists():
        with alone(place.parent):
            if not place.exists():  # another process may just have done it
                _convert(known, place, say)
    return place


def find(name: str, direction: Direction | None = None, *, say: Say = tell) -> Path:
    """The directory of a language model; of the one that reads in `direction`, if given.

    `name` is a saved language model's directory, a run that holds one, or a shipped or published model with or without
    its direction ("wikipedia-small", "wt103-forward"). A file or directory of a model's name wins, and `say` is told. A
    published model is downloaded when first asked for. ValueError: there is none, or it reads in the other direction.
    """
    here = on_disk(name, say)
    own = None if here else shipped(name, direction)
    if not (here or own) and (found := published(name, direction, say=say)):
        return found
    place, wanted = own or Path(name), (direction,) if direction else DIRECTIONS
    for candidate in (*(place / d / LANGUAGE_MODEL for d in wanted), place):
        if reads := _reads(candidate, LANGUAGE_MODEL):
            _check_direction(name if own else candidate, reads, direction)
            return candidate
    there = [n for n, at in installed().items() if _reads(at, LANGUAGE_MODEL)]
    instead = _instead(place, "the installed model" if own else "the directory")
    raise ValueError(
        f"no {direction + ' ' if direction else ''}language model {name!r}: {instead}; give the directory "
        f"of one, a shipped one ({', '.join(there)}), one that fastai has published ({', '.join(PUBLISHED)}), "
        f'or "{NONE}" to start from random weights'
    )


def on_disk(name: str | Path, say: Say = tell) -> bool:
    """Whether a path of that name exists; `say` is told if it hides a model known by that name."""
    exists = Path(name).exists()
    if exists and _among({*models(), *PUBLISHED}, name, None):
        say(f"{name}: the file or folder of that name is used, not the model of that name")
    return exists


def _reads(directory: Path, kind: str) -> str | None:
    """The direction of the model of that kind saved there; None if there is none."""
    saved = directory / "config.json"
    content = load_json(saved) if saved.exists() else {}
    return content.get("model", {}).get("direction") if content.get("kind") == kind else None


def _instead(path: Path, what: str) -> str:
    """For an error: what `path`, called `what`, holds instead of a language model."""
    if not path.is_dir():
        return "that is a file" if path.exists() else "no directory of that name"
    if itself := _reads(path, CLASSIFIER):
        return f"{what} is a {itself} classifier"
    found = {
        kind: [d for d in DIRECTIONS if _reads(path / d / kind, kind)]
        for kind in (LANGUAGE_MODEL, CLASSIFIER)
    }
    held = [f"a {' and a '.join(ds)} {kind.replace('_', ' ')}" for kind, ds in found.items() if ds]
    return f"{what} holds {', and '.join(held) or 'no model'}"


def load(name: str, direction: Direction, *, say: Say = tell) -> LanguageModel | None:
    """The language model; None for "none", since the vocabulary then has to come from the texts."""
    return None if name == NONE else LanguageModel.load(find(name, direction, say=say))


def blank(tokenizer: Tokenizer, direction: Direction) -> LanguageModel:
    """A SMALL model with random weights over `tokenizer`'s vocabulary."""
    return LanguageModel.create(tokenizer, replace(SMALL, direction=direction))


def _among(names: set[str], name: str | Path, direction: Direction | None) -> str | None:
    wanted = (direction,) if direction else DIRECTIONS
    return next((n for n in (str(name), *(f"{name}-{d}" for d in wanted)) if n in names), None)


def _check_direction(source: str | Path, reads: str, wanted: Direction | None) -> None:
    if wanted and reads != wanted:
        bare = str(source).removesuffix(f"-{reads}")
        both = f"{bare}-{wanted}" in {*installed(), *PUBLISHED}
        raise ValueError(
            f"{source} reads {reads}, but a {wanted} model is needed; use --direction {reads} "
            f"(fit and train-classifier: --directions {reads})"
            + (f", or the name {bare}, which is for both directions" if both else "")
        )


def _place(name: str) -> Path:
    return cache_dir() / "models" / name


def _convert(name: str, place: Path, say: Say) -> None:
    """Download fastai's archive, save its model as a `LanguageModel` in `place`, and delete the archive."""
    remote = PUBLISHED[name]
    archive = fetch(remote, cache_dir() / "downloads", say=say)
    card = {
        "data": "English Wikipedia (WikiText-103)",
        "made_by": f"fastai; {remote.url}, MD5 {remote.md5}",
        "licence": "fastai's weights; WikiText-103 is CC BY-SA",
    }
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=place.parent) as temporary:
        files, model = Path(temporary) / "files", Path(temporary) / name
        unpack(archive, files, max_bytes=MOST_BYTES)
        pth, pkl = (_only(files, kind, archive) for kind in (".pth", ".pkl"))
        direction = "backward" if name.endswith("backward") else "forward"
        import_fastai(pth, pkl, direction, say=say).save(model, card=card)
        os.replace(model, place)
    archive.unlink()
    say(f"saved in {place}; the archive was deleted")


def _only(folder: Path, suffix: str, archive: Path) -> Path:
    found = [p for p in sorted(folder.rglob(f"*{suffix}")) if not p.name.startswith(".")]
    if len(found) != 1:
        raise CheckpointError(
            f"{archive} holds {len(found)} {suffix} files, expected one; convert what is inside with "
            "`ulmfit import-fastai`"
        )
    return found[0]
