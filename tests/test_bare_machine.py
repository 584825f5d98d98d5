"""Training where there is nothing but torch, NumPy and safetensors, from corpora carried there in volumes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ulmfit.classifier import TextClassifier
from ulmfit.files.checkpoint import load_json
from ulmfit.files.volumes import cut, join
from ulmfit.language_model import LanguageModel
from ulmfit.text.corpus import Corpus, chained
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
# what pip installs with them: torch's own needs, and libraries beside the packages
PACKAGES = (
    "torch",
    "torchgen",
    "functorch",
    "numpy",
    "numpy.libs",
    "safetensors",
    "typing_extensions.py",
    "sympy",
    "mpmath",
)
PACKAGES += ("networkx", "jinja2", "markupsafe", "filelock", "fsspec")
RECIPES = """
import json, runpy, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
for told in json.loads(sys.argv[2]):
    sys.argv, code = told, 0
    try:
        runpy.run_path(told[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    print(f"ended with {code}", flush=True)
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A directory with nothing but these packages to import; not even `ulmfit` is installed."""
    folder, installed = tmp_path / "packages", Path(np.__file__).parents[1]
    folder.mkdir()
    versions = [
        p.name
        for name in ("torch", "numpy", "safetensors")
        for p in installed.glob(f"{name}-*.dist-info")
    ]
    for name in (*PACKAGES, *versions):
        if (installed / name).exists():
            (folder / name).symlink_to(installed / name)
    return folder


@pytest.fixture
def corpora(reviews: list[Document], tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """What recipes/imdb_corpora.py --encode writes, tiny."""
    parts = {"train": reviews[:30], "unlabelled": reviews[30:40], "test": reviews[40:]}
    for name, documents in parts.items():
        Corpus.build(documents, tokenizer, path=tmp_path / "corpora" / name)
    return tmp_path / "corpora"


def test_corpora_are_chained(corpora: Path, reviews: list[Document], tokenizer: Tokenizer) -> None:
    parts = [Corpus.load(corpora / name) for name in ("train", "unlabelled")]
    both = chained(parts)
    assert [ids.tolist() for ids in both] == [
        tokenizer.encode(d.text).tolist() for d in reviews[:40]
    ]
    assert both.fingerprint != chained(parts[::-1]).fingerprint and both.labels is None
    other = Corpus.build(reviews[:3], Tokenizer(tokenizer.config, tokenizer.vocab[:-1]))
    with pytest.raises(ValueError, match="different vocabularies"):
        chained([parts[0], other])


def test_both_recipes_run_on_a_bare_machine(
    corpora: Path, lm_directory: Path, bare: Path, tmp_path: Path
) -> None:
    """The way of docs/gpu.md from packed corpora to weights that load here: stopped, gone on with, scored, joined."""
    carry, weights = tmp_path / "carry", tmp_path / "weights"
    for part in ("train", "unlabelled", "test"):
        cut(corpora / part, carry / part, 0.001)
    wikipedia = ["wikipedia.py", "--smoke", "--corpus", carry / "unlabelled", "--epochs", "1"]
    trained = [
        *wikipedia,
        "--score",
        carry / "test",
        "--out",
        tmp_path / "lm",
        "--weights",
        weights / "lm",
    ]
    told = ["imdb_corpora.py", "--corpora", carry, "--pretrained", lm_directory]
    forward = [*told, "--out", tmp_path / "imdb", "--weights", weights / "imdb"]
    quick = [*told, "--variant", "quick", "--protocol", "fastai", "--out", tmp_path / "quick"]
    stopped = ["--max-minutes", 0]
    calls = [
        [*wikipedia, "--dry-run", "--max-minutes", 1],
        [*trained, *stopped],
        trained,
        [*forward, *stopped],
        [*quick, *stopped, "--weights", weights / "quick"],
        forward,
        quick,
        [*forward, "--dry-run"],
        ["imdb_corpora.py", "--average", tmp_path / "imdb", tmp_path / "quick"],
        [*forward, "--direction", "backward"],
    ]
    recipes = ROOT / "recipes"
    given = json.dumps([[str(recipes / call[0]), *map(str, call[1:])] for call in calls])
    done = subprocess.run(  # -S: without site-packages
        [sys.executable, "-S", "-W", "error", "-c", RECIPES, str(recipes), given],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": f"{bare}:{ROOT}"},
    )  # fmt: skip
    codes = [
        line.removeprefix("ended with ")
        for line in done.stdout.splitlines()
        if line.startswith("ended")
    ]
    assert codes[:9] == ["0", "75", "0", "75", "75", *"0000"], done.stdout + done.stderr
    assert "give --direction forward" in codes[9]
    for said in (
        "fit: --epochs",
        "test: perplexity",
        "averaged: ",
        "minutes here, without scoring",
    ):
        assert said in done.stdout
    assert done.stdout.count("measured ") == 2
    lm = LanguageModel.load(join(weights / "lm", tmp_path / "wikipedia-base-forward"))
    assert lm.tokenizer == Corpus.load(corpora / "train").tokenizer
    saved = LanguageModel.load(tmp_path / "lm" / "forward" / "language_model").net.state_dict()
    assert all(
        t.allclose(saved[n], rtol=0, atol=float(saved[n].abs().max()) / 250)
        for n, t in lm.net.state_dict().items()
    )
    classifier = TextClassifier.load(join(weights / "imdb", tmp_path / "imdb-classifier"))
    assert classifier.labels == ("bad", "good")
    for stage in ("pre-training", "language model", "classifier"):
        assert f"{stage}, forward, UNFINISHED: stopped after 1 of " in done.stdout
    card = load_json(join(weights / "quick", tmp_path / "quick-classifier") / "config.json")["card"]
    assert "UNFINISHED" in card["made_by"] and "UNFINISHED" in card["data"]
    assert TextClassifier.load(tmp_path / "quick-classifier").labels == ("bad", "good")
    finished = load_json(tmp_path / "imdb-classifier" / "config.json")["card"]
    assert finished["made_by"] == "train_classifier"
