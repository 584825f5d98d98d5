"""A saved model as a pip package, so that it has a name wherever it is installed, as spaCy's models have.

    python recipes/package_model.py runs/imdb/forward/classifier --name imdb --storage int8 --out models/imdb
    pip install ./models/imdb                    # where there is no network: --no-build-isolation, or a wheel of it
    ulmfit predict imdb --text "One of the best films of the year."

The package holds the model's files and no code. `ulmfit models` lists it by an entry point. The weights stay as they are
stored; `--storage int8` makes the embedding's rows int8 and all else fp16, a quarter to a third of fp32.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import get_args

from ulmfit.card import write_card
from ulmfit.files.checkpoint import Storage, load_tensors, save_tensors
from ulmfit.saved import load, models_in

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
{package} = ["*"]
"""


def main() -> None:
    """Errors of the user's making end with one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a saved model, or a run that holds one")
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
    model: Path, name: str, version: str, out: Path, storage: Storage | None = None
) -> None:
    """Write the package. ValueError: a name that no package can have, no single model, or a directory that is there."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(
            f"{name!r} is no name for a package: use small letters, digits and hyphens"
        )
    if out.exists():
        raise ValueError(f"{out} exists; name a new directory for the package")
    kind, found = models_in(model)
    if len(found) != 1:
        raise ValueError(
            f"{model} holds {len(found)} models of kind {kind}; name the one to package"
        )
    load(found[0])  # what can't be loaded is not shipped
    called = "ulmfit_" + name.replace("-", "_")
    folder = out / called
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copyfile(found[0] / file, folder / file)
    if storage:
        save_tensors(folder / WEIGHTS, load_tensors(found[0] / WEIGHTS), storage=storage)
    if (found[0] / CARD).exists():  # perhaps changed by hand
        shutil.copyfile(found[0] / CARD, folder / CARD)
    else:
        write_card(folder)
    said = f"A {kind.replace('_', ' ')} for ulmfit"
    told = {"name": name, "version": version, "said": said, "package": called}
    (out / "pyproject.toml").write_text(PYPROJECT.format(**told), encoding="utf-8")
    doc = f'"""{said}; its files lie beside this one."""\n'
    (folder / "__init__.py").write_text(doc, encoding="utf-8")
    print(f"written; pip install {out.resolve()}")


if __name__ == "__main__":
    main()
