"""Makes a pip package of a saved model, so that it is known by name wherever it is installed, like spaCy's models.

    python recipes/package_model.py runs/imdb --name imdb --storage int8 --out models/imdb
    pip install ./models/imdb                    # where there is no network: --no-build-isolation, or a wheel of it
    ulmfit predict imdb --text "One of the best films of the year."

The package holds the model's files and no code; `ulmfit models` finds it by an entry point. A run with classifiers of both
directions, or two classifiers given by name, become one package that predicts their average, with the temperature that it has in
their run. The weights stay as they are stored; `--storage int8` makes all matrices int8, a quarter of fp32's size.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from ulmfit.card import write_card
from ulmfit.classifier import KIND as CLASSIFIER
from ulmfit.classifier import TextClassifier
from ulmfit.deploy.onnx import KIND as EXPORTED
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import Storage, load_json, load_tensors, save_json, save_tensors
from ulmfit.language_model import LanguageModel
from ulmfit.saved import CALIBRATION, models_in

WEIGHTS, CARD = "model.safetensors", "README.md"
FILES = ("config.json", "tokenizer.json", WEIGHTS)
PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "ulmfit-{name}"
version = "{version}"
description = "{description}"
readme = "{package}/README.md"
requires-python = ">=3.11"
# It needs ulmfit, which no index holds yet: named here, pip would take it from whoever registers the name.
dependencies = []

[project.entry-points."ulmfit.models"]
{name} = "{package}"

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["*", "*/*/*"]
"""
BOTH = """# {name}

Two classifiers, one that reads forward and one backward; their probabilities are averaged. Their cards:
[forward](forward/classifier/README.md), [backward](backward/classifier/README.md).
"""


def main() -> None:
    """An error that the user can mend ends with one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="+",
        help="a saved model, a run, or a classifier of each direction",
    )
    parser.add_argument("--name", required=True, help="the model's name once it is installed")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--storage", choices=get_args(Storage), help="number format of the weights")
    parser.add_argument("--out", type=Path, required=True, help="a new directory")
    args = parser.parse_args()
    try:
        package(args.model, args.name, args.version, args.out, args.storage)
    except (ValueError, OSError) as error:
        sys.exit("recipes/package_model.py: " + str(error).strip().replace("\n", " "))


def package(
    given: Sequence[Path], name: str, version: str, out: Path, storage: Storage | None = None
) -> None:
    """Write the package. ValueError: an invalid name, models that do not make one, or a directory that exists."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(
            f"{name!r} is no name for a package: use small letters, digits and hyphens"
        )
    if out.exists():
        raise ValueError(f"{out} exists; name a new directory for the package")
    kind, models = chosen(given)
    module = "ulmfit_" + name.replace("-", "_")
    folder = out / module
    if len(models) == 1:
        (model,) = models.values()
        copy(model, folder, storage)
    else:
        for direction, model in models.items():
            copy(model, folder / direction / CLASSIFIER, storage)
        unite(folder, name, models)
    description = f"A {kind.replace('_', ' ')} for ulmfit"
    values = {"name": name, "version": version, "description": description, "package": module}
    (out / "pyproject.toml").write_text(PYPROJECT.format(**values), encoding="utf-8")
    doc = f'"""{description}; its files lie beside this one."""\n'
    (folder / "__init__.py").write_text(doc, encoding="utf-8")
    print(f"written; pip install {out.resolve()}")


def chosen(given: Sequence[Path]) -> tuple[str, dict[str, Path]]:
    """(kind, directories by direction) of the given models: one, or a classifier of each direction. Each is test-loaded."""
    kinds, found = set[str](), list[Path]()
    for path in given:
        kind, models = models_in(path)
        if kind == EXPORTED:
            raise ValueError(f"{path} is an export; name the classifier that it was made of")
        kinds.add(kind)
        found += models
    # refuses what can't be loaded
    classifiers = [TextClassifier.load(model) for model in found] if kinds == {CLASSIFIER} else []
    loaded = classifiers or [LanguageModel.load(model) for model in found]
    directions = [model.config.direction for model in loaded]
    pair = len(classifiers) == 2 == len(set(directions))
    if len(found) != 1 and not pair:
        raise ValueError(
            f"{', '.join(map(str, given))}: {len(found)} models of kind {', '.join(kinds)}; name one of them, or a classifier"
            " of each direction"
        )
    if pair:
        Ensemble(classifiers)  # ValueError: they have different labels
    return kinds.pop(), dict(zip(directions, found, strict=True))


def copy(model: Path, folder: Path, storage: Storage | None) -> None:
    """Copy the files of one model, its weights converted to `storage` if given, and its card."""
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copyfile(model / file, folder / file)
    if storage:
        save_tensors(folder / WEIGHTS, load_tensors(model / WEIGHTS), storage=storage)
    if (model / CARD).exists():  # may have been edited by hand
        shutil.copyfile(model / CARD, folder / CARD)
    else:
        write_card(folder)


def unite(folder: Path, name: str, models: Mapping[str, Path]) -> None:
    """Write what makes the classifiers below `folder` one: a record, a card, and the temperature of their average if their run
    has one; prints a note if it has none, for classifiers of one class per text."""
    record = load_json(folder / "forward" / CLASSIFIER / "config.json")
    save_json(folder / "config.json", {"kind": "classifiers", "format": 1, "card": record["card"]})
    (folder / CARD).write_text(BOTH.format(name=name), encoding="utf-8")
    run = models["forward"].resolve().parent.parent
    of_one_run = all(model.resolve() == run / d / CLASSIFIER for d, model in models.items())
    if of_one_run and (run / CALIBRATION).exists():
        shutil.copyfile(run / CALIBRATION, folder / CALIBRATION)
    elif record.get("label_kind", "single") == "single":
        print(f"their average is not calibrated: no run that both are of has a {CALIBRATION}; see ulmfit calibrate {folder}")  # fmt: skip


if __name__ == "__main__":
    main()
