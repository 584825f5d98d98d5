"""Named language models: shipped with the package, or a directory on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ulmfit.checkpoint import load_json
from ulmfit.config import SMALL, Direction
from ulmfit.language_model import LanguageModel
from ulmfit.text.tokenizer import Tokenizer

SHIPPED = Path(__file__).parent / "weights"
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
NONE = "none"  # no pretraining: random weights


def models() -> dict[str, dict[str, Any]]:
    """The shipped models by name, with their cards."""
    return {p.parent.name: load_json(p)["card"] for p in sorted(SHIPPED.glob("*/config.json"))}


def shipped(name: str | Path, direction: Direction | None = None) -> Path | None:
    """Directory of the shipped model of that name, with or without its direction; None where there is none."""
    names = {p.parent.name: p.parent for p in SHIPPED.glob("*/config.json")}
    wanted = (direction,) if direction else DIRECTIONS
    return next(
        (names[n] for n in (str(name), *(f"{name}-{d}" for d in wanted)) if n in names), None
    )


def find(name: str, direction: Direction | None = None) -> Path:
    """Directory of a language model; of the one that reads in `direction`, where that is given.

    `name` is a shipped model with or without its direction ("wikipedia-small", "wikipedia-small-forward"), a saved
    language model's directory, or a run that holds one.
    """
    wanted = (direction,) if direction else DIRECTIONS
    below = [Path(name) / d / "language_model" for d in wanted]
    for candidate in (shipped(name, direction), *below, Path(name)):
        if candidate and (candidate / "config.json").exists():
            found = load_json(candidate / "config.json").get("model", {}).get("direction")
            if found in wanted:
                return candidate
            if found is not None:
                raise ValueError(
                    f"{candidate} reads {found}, but a {direction} model is needed; use --directions {found}"
                )
    known = ", ".join(models()) or "none"
    raise ValueError(
        f"no {direction or ''} language model {name!r}: neither shipped ({known}) nor a directory that holds one; "
        f'use one of these, or "{NONE}" to start from random weights'
    )


def load(name: str, direction: Direction) -> LanguageModel | None:
    """The language model, or None for "none": then the vocabulary has to come from the texts."""
    return None if name == NONE else LanguageModel.load(find(name, direction))


def blank(tokenizer: Tokenizer, direction: Direction) -> LanguageModel:
    """A SMALL model with random weights over `tokenizer`'s vocabulary."""
    return LanguageModel.create(tokenizer, replace(SMALL, direction=direction))
