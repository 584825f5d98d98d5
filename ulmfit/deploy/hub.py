"""Saved models on the Hugging Face Hub: `push` and `pull`. Only the files named in `FILES` are transferred; a pulled model is that
of one commit, and is test-loaded before it is put in place. Needs the extra `hub`."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ulmfit.card import NAME as CARD
from ulmfit.card import write_card
from ulmfit.deploy.onnx import KIND as EXPORTED
from ulmfit.files.checkpoint import save_json
from ulmfit.files.download import alone, cache_dir
from ulmfit.progress import Say, silent
from ulmfit.saved import load, models_in

NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
FILES = (*NEEDED, CARD)
ORIGIN = "hub.json"  # records where a pulled model came from; never pushed
COMMIT = re.compile(r"[0-9a-f]{40}")
OF_THE_HUB = (".gitattributes",)  # the Hub adds it to every repository


class HubError(OSError):
    """The Hub could not be reached, or refused; the message says what to do."""


def push(
    model: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    say: Say = silent,
) -> str:
    """Put a saved model into the repository `repo` ("owner/name"), created if missing; returns the commit's hash.

    `model`: a classifier's or language model's directory, or a run that holds one. `private`: a new repository is created as
    private, a public one is refused. `revision`: the branch; None: main. An existing model card is sent unchanged.
    ValueError: no model that may be sent. HubError: no network, or no access. ImportError: the extra is missing.
    """
    if "/" not in repo:  # the Hub would create it under the token's owner, and then not find it
        raise ValueError(f"{repo!r} names no owner; give owner/name, such as your-name/{repo}")
    hub, folder = _library(), folder_of(Path(model))
    load(folder)  # refuses a model that can't be loaded
    if not (folder / CARD).exists():
        write_card(folder)
    sizes = {name: _plain_size(folder / name) for name in FILES}
    for other in sorted(folder.iterdir()):
        if other.name not in (*FILES, ORIGIN):
            say(f"not sent: {other.name} (only {', '.join(FILES)} are)")
    api = _api(hub)
    with _told(repo, hub):
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise ValueError(
                f"{repo} already exists and is public, so nothing was sent; make it private on the Hub, or leave out --private"
            )
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        say(f"sending {_listed(sizes)} to {api.endpoint}/{repo}")
        commit = api.create_commit(
            repo,
            [hub.CommitOperationAdd(name, str(folder / name)) for name in sizes],
            commit_message=f"Model saved by ulmfit {version('ulmfit')}",
            revision=revision,
        )
    pinned = f"ulmfit pull {repo} --revision {commit.oid}"
    say(f"{repo} is now at commit {commit.oid}; `{pinned}` fetches exactly this")
    return commit.oid


def pull(
    repo: str,
    *,
    revision: str | None = None,
    out: str | Path | None = None,
    say: Say = silent,
) -> Path:
    """The directory of the model in `repo`, as it was at one commit; `ulmfit.load` takes it.

    `revision`: the commit's hash, or a branch or tag (None: main), which is resolved to a commit that `say` is told;
    `hub.json` in the directory records it. `out` None: a directory in the cache, one per commit; a commit given by its hash and
    already there is returned without asking the Hub. ValueError: the repository holds no model of this library. CheckpointError: one that
    can't be loaded. HubError: no network, no access, or no such repository or revision.
    """
    cache = cache_dir() / "hub" / repo.replace("/", "--")
    if revision and COMMIT.fullmatch(revision) and out is None and (cache / revision).exists():
        say(f"{cache / revision} was fetched before")
        return cache / revision
    hub = _library()
    api = _api(hub)
    with _told(repo, hub):
        info = api.model_info(repo, revision=revision, files_metadata=True)
    asked = revision or "main"
    other = COMMIT.fullmatch(asked) and asked != info.sha
    if other or not COMMIT.fullmatch(info.sha or ""):  # the hash becomes a folder's name
        raise HubError(f"{repo}: asked for {asked}, the Hub answers with {info.sha!r}; try later")
    if asked != info.sha:
        say(f"{repo}: {asked} is commit {info.sha}; --revision {info.sha} fetches the same again")
    if out is not None:
        place = Path(out)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ValueError(f"{place} already exists; give another --out, or delete it")
        place.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(api, hub, repo, info, place, say)
    place = cache / info.sha
    with alone(cache):
        if place.exists():
            say(f"{place} was fetched before")
            return place
        return _fetch(api, hub, repo, info, place, say)


def folder_of(path: Path) -> Path:
    """The directory of the one model in `path`: itself, or the one in a run. ValueError: none, two, an
    export, or an unfinished run."""
    kind, folders = models_in(path)
    if len(folders) > 1:
        names = " and ".join(map(str, folders))
        raise ValueError(
            f"{path} holds two models, and a repository takes one: push {names} separately"
        )
    if not folders or kind == EXPORTED:
        what = "an export" if folders else "neither"
        raise ValueError(f"classifiers and language models are shared, but {path} holds {what}")
    return folders[0]


def _fetch(api: Any, hub: Any, repo: str, info: Any, place: Path, say: Say) -> Path:
    """Fetch the files of a commit, check them, and put them in place together."""
    there = {file.rfilename: file for file in info.siblings}
    if missing := [name for name in NEEDED if name not in there]:
        raise ValueError(
            f"{repo} at {info.sha} holds no model saved by ulmfit: {', '.join(missing)} missing; there are"
            f" {', '.join(sorted(there)[:8]) or 'no files'}"
        )
    for name in sorted(there.keys() - {*FILES, *OF_THE_HUB}):
        file = f"{name!r} ({_size(there[name].size)})"
        say(f"not fetched: {file}; only {', '.join(FILES)} are")
    wanted = {name: there[name].size for name in FILES if name in there}
    say(f"fetching {_listed(wanted)} from {api.endpoint}/{repo}")
    with tempfile.TemporaryDirectory(prefix=".pull.", dir=place.parent) as temporary:
        model = Path(temporary) / "model"
        model.mkdir()
        for name, size in wanted.items():
            with _told(repo, hub):
                files = Path(temporary) / "files"
                got = Path(api.hf_hub_download(repo, name, revision=info.sha, local_dir=files))
            if _plain_size(got) != size:
                raise HubError(
                    f"{repo}: {name} arrived with {_plain_size(got):,} bytes, not {size:,}; pull again"
                )
            lfs = there[name].lfs
            if lfs is not None and _sha256(got) != lfs.sha256:
                raise HubError(f"{repo}: {name} does not match its SHA-256; pull again")
            os.replace(got, model / name)
        load(model)
        save_json(model / ORIGIN, {"repository": repo, "revision": info.sha, "from": api.endpoint})
        if place.exists():
            place.rmdir()
        os.replace(model, place)
    return place


def _plain_size(file: Path) -> int:
    """The size of a regular file. ValueError: a link, or no file: such a thing is not shared."""
    if file.is_symlink() or not file.is_file():
        what = "a link" if file.is_symlink() else "missing"
        raise ValueError(f"{file} is {what}; a model is shared as plain files: save it again")
    return file.stat().st_size


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _listed(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} ({_size(size)})" for name, size in sizes.items())


def _size(count: int | None) -> str:
    if count is None:
        return "size unknown"
    return f"{count / 1e6:.1f} MB" if count > 1e5 else f"{count:,} bytes"


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise ImportError(
            "push and pull need one more package: pip install huggingface_hub"
        ) from None
    return huggingface_hub


def _api(hub: Any) -> Any:
    """The Hub's API; huggingface_hub finds the token itself (`hf auth login`, or HF_TOKEN)."""
    return hub.HfApi(
        endpoint=os.environ.get("HF_ENDPOINT"),
        library_name="ulmfit",
        library_version=version("ulmfit"),
    )


@contextmanager
def _told(repo: str, hub: Any) -> Iterator[None]:
    """Turns errors of huggingface_hub into one line that says what to do."""
    errors = hub.errors
    http = errors.HfHubHTTPError.__bases__[0]  # the HTTP library's error, also for lost connections
    try:
        yield
    except errors.HFValidationError as error:
        message = f"{repo!r} is not a repository's name, which has the form owner/name ({error})"
        raise ValueError(message) from None
    except errors.RevisionNotFoundError:
        message = f"{repo} has no such revision; leave out --revision to take the newest"
        raise HubError(message) from None
    except errors.HfHubHTTPError as error:
        raise HubError(_refused(repo, error.response.status_code, error)) from None
    except (http, OSError, RuntimeError) as error:  # RuntimeError: transfer of a large file failed
        connection = isinstance(error, ConnectionError | TimeoutError)
        if isinstance(error, OSError) and error.errno is not None and not connection:
            raise  # an error of this machine: a full disk, a folder that may not be written
        cause = _short(error.__cause__ or error)
        message = f"the Hub can't be reached, or the connection broke ({cause}); try again"
        raise HubError(message) from None


def _refused(repo: str, status: int, error: Exception) -> str:
    if status in (401, 403, 404):
        return (
            f"{repo}: the Hub says {status}: there is no such repository, or this token may not see or change it. Check the"
            " name; `hf auth login` or HF_TOKEN gives a token (for push, one with write access)"
        )
    return f"{repo}: the Hub says {status} ({_short(error)}); try again later"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
