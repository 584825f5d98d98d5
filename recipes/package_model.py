"""A saved model as a pip package, so that it has a name wherever it is installed, as spaCy's models have.

    python recipes/package_model.py runs/imdb --name imdb --storage int8 --out models/imdb
    pip install ./models/imdb                    # where there is no network: --no-build-isolation, or a wheel of it
    ulmfit predict imdb --text "One of the best films of the year."

The package holds the model's files and no code. `ulmfit models` lists it by an entry point. A run with classifiers of both
directions, or two that are named, become one package, which predicts their average, with the temperature that it has in
their run. The weights stay as they are stored; `--storage int8` makes all matrices int8, a quarter of fp32.
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
description = "{said}"
readme = "{package}/README.md"
requires-python = ">=3.11"
# It wants ulmfit, which no index holds yet: named here, pip would take it from whoever registers the name.
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
    """Errors of the user's making end with one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="+",
        help="a saved model, a run, or a classifier of each direction",
    )
    parser.add_argument("--name", required=True, help="what people will call it")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--storage", choices=get_args(Storage), help="of the weights")
    parser.add_argument("--out", type=Path, required=True, help="a new directory")
    told = parser.parse_args()
    try:
        package(told.model, told.name, told.version, told.out, told.storage)
    except (ValueError, OSError) as error:
        sys.exit("recipes/package_model.py: " + str(error).strip().replace("\n", " "))


def package(
    given: Sequence[Path], name: str, version: str, out: Path, storage: Storage | None = None
) -> None:
    """Write the package. ValueError: a name that no package can have, models that are not one, or a directory that is there."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(
            f"{name!r} is no name for a package: use small letters, digits and hyphens"
        )
    if out.exists():
        raise ValueError(f"{out} exists; name a new directory for the package")
    kind, found = chosen(given)
    called = "ulmfit_" + name.replace("-", "_")
    folder = out / called
    if len(found) == 1:
        (model,) = found.values()
        copy(model, folder, storage)
    else:
        for direction, model in found.items():
            copy(model, folder / direction / CLASSIFIER, storage)
        unite(folder, name, found)
    said = f"A {kind.replace('_', ' ')} for ulmfit"
    told = {"name": name, "version": version, "said": said, "package": called}
    (out / "pyproject.toml").write_text(PYPROJECT.format(**told), encoding="utf-8")
    doc = f'"""{said}; its files lie beside this one."""\n'
    (folder / "__init__.py").write_text(doc, encoding="utf-8")
    print(f"written; pip install {out.resolve()}")


def chosen(given: Sequence[Path]) -> tuple[str, dict[str, Path]]:
    """The kind of what is named, and its directories by direction: one, or two classifiers. All can be loaded."""
    kinds, found = set[str](), list[Path]()
    for path in given:
        kind, models = models_in(path)
        if kind == EXPORTED:
            raise ValueError(f"{path} is an export; name the classifier that it was made of")
        kinds.add(kind)
        found += models
    # what can't be loaded is not shipped
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
        Ensemble(classifiers)  # they know the same labels
    return kinds.pop(), dict(zip(directions, found, strict=True))


def copy(model: Path, folder: Path, storage: Storage | None) -> None:
    """The files of one model, its weights perhaps stored smaller, and its card."""
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copyfile(model / file, folder / file)
    if storage:
        save_tensors(folder / WEIGHTS, load_tensors(model / WEIGHTS), storage=storage)
    if (model / CARD).exists():  # perhaps changed by hand
        shutil.copyfile(model / CARD, folder / CARD)
    else:
        write_card(folder)


def unite(folder: Path, name: str, found: Mapping[str, Path]) -> None:
    """What makes the classifiers below `folder` one: a record, a card, and the temperature of their average, if there is
    one; of classes, which want it, it is said if there is none."""
    record = load_json(folder / "forward" / CLASSIFIER / "config.json")
    save_json(folder / "config.json", {"kind": "classifiers", "format": 1, "card": record["card"]})
    (folder / CARD).write_text(BOTH.format(name=name), encoding="utf-8")
    run = found["forward"].resolve().parent.parent
    of_one_run = all(model.resolve() == run / d / CLASSIFIER for d, model in found.items())
    if of_one_run and (run / CALIBRATION).exists():
        shutil.copyfile(run / CALIBRATION, folder / CALIBRATION)
    elif record.get("label_kind", "single") == "single":
        print(f"their average is not calibrated: no run that both are of has a {CALIBRATION}; see ulmfit calibrate {folder}")  # fmt: skip


if __name__ == "__main__":
    main()
