"""What goes to the Hub and what comes back, with a stand-in for it; the real one was not reached."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, HubServer, hub_server

import ulmfit
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.deploy.hub import FILES, HubError, folder_of, pull, push
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import LanguageModel

constants = pytest.importorskip("huggingface_hub.constants")

# said by huggingface_hub to itself
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "somebody/reviews"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage has no stand-in
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield server


@pytest.fixture
def saved(lm: LanguageModel, tmp_path: Path) -> Path:
    TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(tmp_path / "model")
    return tmp_path / "model"


def test_pushed_and_pulled_is_the_same_model(hub: HubServer, saved: Path, tmp_path: Path) -> None:
    hub.needs_token = True
    said = list[str]()
    (saved / "notes.pkl").write_bytes(b"mine")
    commit = push(saved, REPO, private=True, say=said.append)
    _, files = hub.files(REPO, "main") or ("", {})
    assert set(files) == {*FILES, ".gitattributes"} and hub.private == {REPO}
    assert "not sent: notes.pkl" in said[0] and "model.safetensors (" in said[1]
    assert f"--revision {commit}" in said[-1]
    said.clear()
    path = pull(REPO, say=said.append)
    assert f"main is commit {commit}" in said[0] and "config.json (" in said[1]
    assert load_json(path / "hub.json") == {
        "repository": REPO,
        "revision": commit,
        "from": hub.address,
    }
    assert {p.name for p in path.iterdir()} == {*FILES, "hub.json"}
    ours, theirs = ulmfit.load(saved), ulmfit.load(path)
    assert isinstance(ours, TextClassifier) and isinstance(theirs, TextClassifier)
    texts = ["a great film", "so boring"]
    assert np.array_equal(ours.probabilities(texts), theirs.probabilities(texts))


def test_a_revision_is_pinned_and_fetched_once(hub: HubServer, saved: Path, tmp_path: Path) -> None:
    first = push(saved, REPO)
    save_json(saved / "config.json", load_json(saved / "config.json") | {"card": {"data": "more"}})
    second = push(saved, REPO, revision="tried")
    assert first != second and hub.branches[REPO].keys() == {"main", "tried"}
    said = list[str]()
    place = pull(REPO, revision=first, say=said.append)
    assert place.name == first and "is commit" not in said[0]  # it was named
    before = len(hub.asked)
    assert pull(REPO, say=said.append) == place and "was fetched before" in said[-1]
    assert not [asked for asked in hub.asked[before:] if "/resolve/" in asked]
    before = len(hub.asked)
    assert pull(REPO, revision=first, say=said.append) == place and "was fetched before" in said[-1]
    assert len(hub.asked) == before  # what a commit is does not change
    out = pull(REPO, revision="tried", out=tmp_path / "out")
    assert load_json(out / "config.json")["card"] == {"data": "more"}
    assert load_json(out / "hub.json")["revision"] == second
    with pytest.raises(ValueError, match="already exists; give another --out"):
        pull(REPO, out=out)


def test_a_language_model_goes_too_and_the_users_card_stays(
    hub: HubServer, lm: LanguageModel, tmp_path: Path
) -> None:
    lm.save(tmp_path / "lm")
    (tmp_path / "lm" / "README.md").write_text("---\ntags: []\n---\nMine.\n")
    push(tmp_path / "lm", REPO)
    path = pull(REPO)
    assert (path / "README.md").read_text().endswith("Mine.\n")
    assert isinstance(ulmfit.load(path), LanguageModel)


def test_what_else_lies_there_stays_there(hub: HubServer, saved: Path) -> None:
    push(saved, REPO)
    _, files = hub.files(REPO, "main") or ("", {})
    others = {"pytorch_model.bin": b"x" * 7, "run.py": b"y", "a/../../evil.json": b"{}"}
    hub.commit(REPO, files | others)
    said = list[str]()
    path = pull(REPO, say=said.append)
    left = [line for line in said if line.startswith("not fetched")]
    assert len(left) == 3 and "'pytorch_model.bin' (7 bytes)" in "".join(left)
    assert {p.name for p in path.iterdir()} == {*FILES, "hub.json"}
    assert not any(name in asked for asked in hub.asked for name in ("evil", ".bin", "run.py"))


def test_what_is_no_model_of_ours_gets_no_place(
    hub: HubServer, saved: Path, tmp_path: Path
) -> None:
    hub.commit(REPO, {"pytorch_model.bin": b"", "config.json": b"{}"})
    with pytest.raises(
        ValueError, match=r"tokenizer.json, model.safetensors missing; there are conf"
    ):
        pull(REPO)
    files = {p.name: p.read_bytes() for p in saved.iterdir()}
    for name, content, problem in (
        ("model.safetensors", b"\0" * 40, "cut short|damaged"),
        ("config.json", b'{"kind": "other"}', "holds no finished classifier"),
        ("tokenizer.json", b"[1]", "tokenizer"),
    ):
        hub.commit(REPO, files | {name: content})
        with pytest.raises(ValueError, match=problem):
            pull(REPO, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".pull*"))


def test_other_bytes_than_promised_are_refused(hub: HubServer, saved: Path, tmp_path: Path) -> None:
    push(saved, REPO)
    size = (saved / "model.safetensors").stat().st_size
    hub.lies["model.safetensors"] = bytes(size)
    with pytest.raises(HubError, match=r"model\.safetensors does not match its SHA-256"):
        pull(REPO, out=tmp_path / "out")
    hub.lies = {"config.json": b"{}"}
    with pytest.raises(OSError):
        pull(REPO, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_and_what_can_not_be_loaded_are_not_sent(
    hub: HubServer, saved: Path, tmp_path: Path
) -> None:
    os.rename(saved / "model.safetensors", tmp_path / "secret")
    (saved / "model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="is a link; a model is shared as plain files"):
        push(saved, REPO)
    (tmp_path / "secret").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"cut short|damaged"):
        push(saved, REPO)
    assert not hub.asked


def test_which_model_of_a_run(lm_directory: Path, saved: Path) -> None:
    save_json(lm_directory / "config.json", {"kind": "run", "finished": True})
    with pytest.raises(
        ValueError, match=r"holds two models.*forward/language_model and .*backward"
    ):
        folder_of(lm_directory)
    os.rename(saved, lm_directory / "forward" / "classifier")
    assert folder_of(lm_directory) == lm_directory / "forward" / "classifier"
    for kind, problem in (("onnx", "holds an export"), ("doctor", "holds neither")):
        save_json(saved / "config.json", {"kind": kind})
        with pytest.raises(ValueError, match=problem):
            folder_of(saved)


def test_an_unfinished_run_is_not_sent(hub: HubServer, lm: LanguageModel, tmp_path: Path) -> None:
    """Its language model is there already, but is not what the run is for: neither `load` nor `push` takes it."""
    lm.save(tmp_path / "forward" / "language_model")
    save_json(tmp_path / "config.json", {"kind": "run"})
    for taken in (lambda: ulmfit.load(tmp_path), lambda: push(tmp_path, REPO)):
        with pytest.raises(CheckpointError, match="not finished"):
            taken()
    assert not hub.asked


def test_errors_say_what_to_do(
    hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubError, match="says 404: there is no such repository, or this token"):
        pull("somebody/nothing")
    push(saved, REPO)
    with pytest.raises(HubError, match="has no such revision"):
        pull(REPO, revision="nowhere")
    with pytest.raises(ValueError, match="not a repository's name, which has the form owner/name"):
        pull("a/b/c")
    with pytest.raises(ValueError, match="'bare' names no owner"):
        push(saved, "bare")
    with pytest.raises(ValueError, match="already exists and is public, so nothing was sent"):
        push(saved, REPO, private=True)
    hub.needs_token = True
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"says 401.*`hf auth login` or HF_TOKEN"):
        push(saved, REPO)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(HubError, match="the Hub can't be reached"):
        pull(REPO)


def test_this_machines_own_errors_are_not_the_hubs(
    hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    push(saved, REPO)
    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", failing)
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            pull(REPO)
        assert not isinstance(caught.value, HubError)
    number = errno.ECONNRESET
    with pytest.raises(HubError, match="the connection broke"):
        pull(REPO)


def test_without_the_package(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        push(saved, REPO)


def test_a_commit_that_is_no_hash_is_refused(
    hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "commit", lambda *a, **k: None)
    hub.repos[REPO], hub.branches[REPO] = [("../../up", {})], {"main": "../../up"}
    with pytest.raises(HubError, match="the Hub answers with"):
        pull(REPO)
    hub.branches[REPO] = {"0" * 40: "../../up"}
    with pytest.raises(HubError, match="asked for 0000"):
        pull(REPO, revision="0" * 40)
