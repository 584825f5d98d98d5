"""What is shipped loads; what is asked for is found, downloaded once, or the way out is named."""

import hashlib
import io
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from local_server import LocalServer
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit import pretrained
from ulmfit.classifier import TextClassifier
from ulmfit.config import SMALL, ClassifierConfig, FitConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.files.download import DownloadError, Remote
from ulmfit.language_model import LanguageModel
from ulmfit.run_directory import Run
from ulmfit.text.document import Document
from ulmfit.text.rules import SPECIAL_TOKENS
from ulmfit.text.tokenizer import Tokenizer

MOST_BYTES = 15_000_000
ROOT = Path(__file__).parents[1]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run that must not be lost."""
    Run.open(tmp_path / "old").finish({})
    return tmp_path / "old"


def test_shipped_models_load_and_have_cards() -> None:
    cards = pretrained.models()
    assert f"{FitConfig().pretrained}-forward" in cards
    for name in (folder.parent.name for folder in pretrained.SHIPPED.glob("*/config.json")):
        card = cards[name]
        lm = LanguageModel.load(pretrained.find(name))
        assert name.endswith(lm.config.direction)
        assert (lm.config.embedding_size, lm.config.layers) == (SMALL.embedding_size, SMALL.layers)
        assert {"data", "licence"} <= card.keys()
        assert all(torch.isfinite(t).all() for t in lm.net.state_dict().values())
        for file in pretrained.find(name).iterdir():
            assert file.stat().st_size <= MOST_BYTES, file


def test_the_film_review_classifier_is_small_and_tells_praise_from_blame() -> None:
    package = ROOT / "models" / "imdb" / "ulmfit_imdb"
    classifier = ulmfit.load(package)
    assert isinstance(classifier, Ensemble)
    assert classifier.labels == ("negative", "positive")
    said = classifier.predict(
        [
            "One of the best films of the year: funny, moving, and beautifully acted.",
            "Dull, badly acted, and far too long. A waste of two hours.",
        ]
    )
    assert [p.label for p in said] == ["positive", "negative"]
    assert sum(file.stat().st_size for file in package.rglob("*")) <= 2 * MOST_BYTES


def test_shipped_models_are_found_with_and_without_their_direction() -> None:
    full = pretrained.find("wikipedia-small-forward")
    assert pretrained.find("wikipedia-small", "forward") == full
    assert pretrained.find("wikipedia-small-forward", "forward") == full


def test_directories_are_found(lm: LanguageModel, lm_directory: Path) -> None:
    below = lm_directory / "backward" / "language_model"
    assert pretrained.find(str(lm_directory), "backward") == below
    assert pretrained.find(str(below), "backward") == below
    assert pretrained.find(str(below)) == below
    found = pretrained.load(str(lm_directory), "backward")
    assert found is not None and found.config.direction == "backward"


def test_a_model_of_the_other_direction_is_no_substitute(lm_directory: Path) -> None:
    with pytest.raises(
        ValueError, match=r"reads backward.*--direction backward \(fit .*--directions backward\)"
    ):
        pretrained.find(str(lm_directory / "backward" / "language_model"), "forward")


@pytest.mark.parametrize("directions", ["backward", "both"])
def test_nor_is_an_installed_one(directions: Any, finished: Path, reviews: list[Document]) -> None:
    """`both` would average a model with itself."""
    config = replace(TINY_FIT, pretrained="wikipedia-small-forward", directions=directions)
    with pytest.raises(ValueError, match=r"^wikipedia-small-forward reads .*the name wikipedia-small, "):  # fmt: skip
        ulmfit.fit(reviews, config=config, out=finished, overwrite=True)
    assert load_json(finished / "config.json")["finished"]


@pytest.mark.parametrize("both", [False, True])
def test_an_installed_classifier_is_no_language_model(
    both: bool,
    lm: LanguageModel,
    reviews: list[Document],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = tmp_path / "ulmfit_films"
    for direction in ("forward", "backward") if both else ("forward",):
        twin = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction=direction))
        place = package / direction / "classifier" if both else package
        TextClassifier.create(twin, ("a", "b"), ClassifierConfig()).save(place)
    if both:
        save_json(package / "config.json", {"kind": "classifiers", "format": 1, "card": {}})
    monkeypatch.setattr(pretrained, "installed", lambda: {"films": package})
    held = "holds a forward and a backward classifier" if both else "is a forward classifier"
    with pytest.raises(ValueError, match=rf"'films': the installed model {held}; give .*\(\)"):
        ulmfit.fit(
            reviews, config=replace(TINY_FIT, pretrained="films"), out=finished, overwrite=True
        )
    assert load_json(finished / "config.json")["finished"]


def test_the_unknown_is_answered_with_the_known(lm: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'wikipedia-huge'.*wikipedia-small-forward.*\"none\""):
        pretrained.find("wikipedia-huge", "forward")
    classifier = TextClassifier.create(lm, ("a", "b"), ClassifierConfig())
    classifier.save(tmp_path / "run" / "forward" / "classifier")
    with pytest.raises(ValueError, match=r"^no language model .*holds a forward classifier; give"):
        pretrained.find(str(tmp_path / "run"))
    lm.save(tmp_path / "run" / "forward" / "language_model")
    reason = (
        "^no backward language model .*holds a forward language model, and a forward classifier"
    )
    with pytest.raises(ValueError, match=reason):
        pretrained.find(str(tmp_path / "run"), "backward")
    with pytest.raises(ValueError, match="holds no model"):
        pretrained.find(str(tmp_path))
    classifier.save(tmp_path / "c")
    with pytest.raises(ValueError, match="the directory is a forward classifier; give"):
        pretrained.load(str(tmp_path / "c"), "forward")


def test_none_is_random_weights(tokenizer: Tokenizer) -> None:
    assert pretrained.load("none", "forward") is None
    lm = pretrained.blank(tokenizer, "backward")
    assert lm.config.direction == "backward" and lm.config.hidden_size == SMALL.hidden_size
    assert lm.config != TINY and lm.tokenizer == tokenizer


# Published by fastai: here the goldens' tiny model, in an archive of the published layout


def archive(goldens: Path, folder: str, *, words: int = 100) -> bytes:
    vocab = [*SPECIAL_TOKENS, "the", "film", "was", ".", *(f"w{i}" for i in range(13, words))]
    files = {
        "lstm.pth": (goldens / "fastai_files" / "tiny_lm.pth").read_bytes(),
        "itos_wt103.pkl": pickle.dumps(vocab),
        "._lstm.pth": b"what macOS adds",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"  # as conftest.py says


@pytest.fixture
def site(server: LocalServer, goldens: Path, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    for name, folder in (("wt103-forward", "wt103-fwd"), ("wt103-backward", "wt103-bwd")):
        content = archive(goldens, folder)
        url = server.put(f"{folder}.tgz", content)
        remote = Remote(url, hashlib.md5(content).hexdigest(), len(content))
        monkeypatch.setitem(pretrained.PUBLISHED, name, remote)
    return server


def test_published_models_are_downloaded_and_converted_once(
    site: LocalServer, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {card["state"] for card in pretrained.downloads().values()} == {"downloaded when used"}
    assert not cache.exists()  # listing fetches nothing
    said: list[str] = []
    place = pretrained.find("wt103", "backward", say=said.append)
    assert place == cache / "models" / "wt103-backward"
    assert pretrained.downloads()["wt103-backward"]["state"] == f"in {place}"
    assert "downloading http" in said[0] and "archive was deleted" in said[-1]
    lm = pretrained.load("wt103-backward", "backward")
    assert lm is not None and lm.config.direction == "backward" and len(lm.tokenizer) == 100
    assert isinstance(ulmfit.load("wt103-backward"), LanguageModel)
    assert len(site.asked) == 1 and not capsys.readouterr().err
    files = {p.name for p in cache.rglob("*") if p.is_file()}
    assert files == {"config.json", "tokenizer.json", "model.safetensors", "README.md"}


def test_a_download_is_never_silent(site: LocalServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(ulmfit.load("wt103"), LanguageModel)  # forward, as for shipped models
    shown = capsys.readouterr()
    assert "downloading http" in shown.err and "assumed to read en, forward" in shown.err
    assert not shown.out


def test_the_other_direction_is_not_downloaded(site: LocalServer) -> None:
    with pytest.raises(ValueError, match=r"wt103-forward reads forward.*--directions forward"):
        pretrained.find("wt103-forward", "backward")
    assert not site.asked


@pytest.mark.parametrize("name", ["wt103", "wt103-forward", "wikipedia-small"])
def test_what_lies_on_disk_under_a_known_name_wins_and_that_is_said(
    name: str,
    site: LocalServer,
    lm: LanguageModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    run = Path(name)
    lm.save(run / "forward" / "language_model")
    assert pretrained.find(name, "forward", say=said.append) == run / "forward" / "language_model"
    assert said == [f"{name}: the file or folder of that name is used, not the model of that name"]
    lm.save(run)
    assert pretrained.find(name, say=said.append) == run / "forward" / "language_model"
    loaded = ulmfit.load(name)
    assert isinstance(loaded, LanguageModel) and loaded.tokenizer == lm.tokenizer
    assert said[0] in capsys.readouterr().err and not site.asked
    lm.save(Path("other"))
    said.clear()
    assert pretrained.find("other", say=said.append) == Path("other") and not said
    shutil.rmtree(run)
    run.mkdir()
    with pytest.raises(ValueError, match="the directory holds no model"):
        pretrained.find(name)
    with pytest.raises(CheckpointError):
        ulmfit.load(name)


def test_a_classifier_is_trained_on_it(
    site: LocalServer, reviews: list[Document], tmp_path: Path
) -> None:
    config = replace(TINY_FIT, pretrained="wt103", directions="backward")
    classifier = ulmfit.fit(reviews[:20], config=config, out=tmp_path / "run")
    assert classifier.predict(reviews[0].text).label in ("good", "bad")
    assert [name for name, _ in site.asked] == ["wt103-bwd.tgz"]


def test_what_is_not_there_leaves_nothing(site: LocalServer, cache: Path) -> None:
    site.files.clear()
    with pytest.raises(DownloadError, match=r"404.*by hand and save it as .*wt103-fwd\.tgz"):
        pretrained.find("wt103", "forward")
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_an_archive_that_is_not_understood_is_kept(
    server: LocalServer, goldens: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive(goldens, "wt103-fwd", words=50)
    url = server.put("wt103-fwd.tgz", content)
    remote = Remote(url, hashlib.md5(content).hexdigest())
    monkeypatch.setitem(pretrained.PUBLISHED, "wt103-forward", remote)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="50 words, but the weights have 100 rows"):
            pretrained.find("wt103", "forward")
    assert len(server.asked) == 1  # not downloaded again
    assert [p.name for p in cache.rglob("*") if p.is_file()] == ["wt103-fwd.tgz"]


def test_the_published_addresses_are_fastais() -> None:
    for name, remote in pretrained.PUBLISHED.items():
        assert remote.name in ("wt103-fwd.tgz", "wt103-bwd.tgz") and len(remote.md5) == 32
        assert remote.name[6] == name[6] and remote.size
