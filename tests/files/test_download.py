"""What is fetched is what was wanted, or an error says what to do."""

import hashlib
import sys
from pathlib import Path

import pytest
from local_server import LocalServer

from ulmfit.files import lock
from ulmfit.files.download import DownloadError, Remote, cache_dir, fetch

CONTENT = bytes(range(256)) * 4000  # about a megabyte, more than one chunk
SAID: list[str] = []


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def remote(server: LocalServer) -> Remote:
    return Remote(server.put("data.tgz", CONTENT), md5(CONTENT), len(CONTENT))


def refused(remote: Remote, folder: Path) -> str:
    """The message; nothing is left under the file's name."""
    with pytest.raises(DownloadError) as caught:
        fetch(remote, folder, say=SAID.append)
    assert not (folder / "data.tgz").exists()
    assert {p.name for p in folder.iterdir()} <= {"data.tgz.part"}
    message = str(caught.value)
    assert (
        remote.url in message and str(folder / "data.tgz") in message
    )  # what to put where by hand
    return message


# Fetching


def test_fetched_once_then_verified(remote: Remote, server: LocalServer, tmp_path: Path) -> None:
    said: list[str] = []
    path = fetch(remote, tmp_path / "d", say=said.append)
    assert path == tmp_path / "d" / "data.tgz" and path.read_bytes() == CONTENT
    assert fetch(remote, tmp_path / "d", say=said.append) == path
    assert len(server.asked) == len(said) == 1 and remote.url in said[0]
    assert [p.name for p in path.parent.iterdir()] == ["data.tgz"]  # neither lock nor part


def test_a_file_put_by_hand_is_taken_or_named(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "data.tgz").write_bytes(CONTENT)
    assert fetch(remote, tmp_path, say=SAID.append).read_bytes() == CONTENT
    (tmp_path / "data.tgz").write_bytes(b"another")
    with pytest.raises(
        DownloadError, match=f"expected MD5 {md5(CONTENT)}, found {md5(b'another')}"
    ):
        fetch(remote, tmp_path, say=SAID.append)
    assert (tmp_path / "data.tgz").read_bytes() == b"another"  # it is the user's


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_an_interrupted_download_is_continued(
    server: LocalServer, tmp_path: Path, size: int | None
) -> None:
    remote = Remote(server.put("data.tgz", CONTENT), md5(CONTENT), size)
    server.cut_after = 400_000
    assert "400,000 of 1,024,000 bytes" in refused(remote, tmp_path)
    assert (tmp_path / "data.tgz.part").stat().st_size == 400_000
    server.cut_after = None
    assert fetch(remote, tmp_path, say=SAID.append).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=400000-"]


def test_a_server_that_sends_no_parts_is_asked_for_all(
    remote: Remote, server: LocalServer, tmp_path: Path
) -> None:
    server.ranges = False
    (tmp_path / "data.tgz.part").write_bytes(b"x" * 1000)
    assert fetch(remote, tmp_path, say=SAID.append).read_bytes() == CONTENT


def test_nothing_behind_what_is_there(server: LocalServer, tmp_path: Path) -> None:
    remote = Remote(server.put("data.tgz", CONTENT), md5(CONTENT))  # its size is not known
    (tmp_path / "data.tgz.part").write_bytes(CONTENT + b"x")
    assert fetch(remote, tmp_path, say=SAID.append).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_whole_part_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "data.tgz.part").write_bytes(CONTENT)
    nowhere = Remote("http://127.0.0.1:9/data.tgz", md5(CONTENT), len(CONTENT))
    assert fetch(nowhere, tmp_path, say=SAID.append).read_bytes() == CONTENT


def test_wrong_checksum(server: LocalServer, tmp_path: Path) -> None:
    remote = Remote(server.put("data.tgz", CONTENT[::-1]), md5(CONTENT), len(CONTENT))
    message = refused(remote, tmp_path)
    assert f"expected MD5 {md5(CONTENT)}, found {md5(CONTENT[::-1])}" in message
    assert not list(tmp_path.iterdir())  # a part that is wrong would never become right


def test_wrong_size_is_refused_before_it_is_read(server: LocalServer, tmp_path: Path) -> None:
    remote = Remote(server.put("data.tgz", CONTENT[:-1]), md5(CONTENT), len(CONTENT))
    assert "expected 1,024,000 bytes, the server has 1,023,999" in refused(remote, tmp_path)
    assert not list(tmp_path.iterdir())


def test_not_found(remote: Remote, server: LocalServer, tmp_path: Path) -> None:
    server.files.clear()
    assert "404" in refused(remote, tmp_path)


def test_offline(tmp_path: Path) -> None:
    nowhere = Remote("http://127.0.0.1:9/data.tgz", md5(CONTENT))
    assert "no connection" in refused(nowhere, tmp_path)


def test_one_process_at_a_time(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(directory: Path) -> None:
        raise lock.LockedError("busy")

    monkeypatch.setattr(lock, "acquire", busy)
    with pytest.raises(DownloadError, match="another process is downloading"):
        fetch(remote, tmp_path, say=SAID.append)


def test_what_is_there_needs_no_lock(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may download beside it, and the folder may be read-only."""
    path = fetch(remote, tmp_path, say=SAID.append)
    monkeypatch.setattr(lock, "acquire", None)
    assert fetch(remote, tmp_path, say=SAID.append) == path


def test_a_cache_that_can_not_be_written(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    reason = r"cache .* can't be written \(.+\); set ULMFIT_CACHE"
    with pytest.raises(DownloadError, match=reason):
        fetch(remote, tmp_path / "file" / "cache", say=SAID.append)

    def no_right(directory: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock, "acquire", no_right)
    with pytest.raises(DownloadError, match=reason):
        fetch(remote, tmp_path, say=SAID.append)


def test_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ULMFIT_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.delenv("ULMFIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, expected in (
        ("linux", tmp_path / "xdg" / "ulmfit"),
        ("win32", tmp_path / "local" / "ulmfit"),
        ("darwin", Path.home() / "Library" / "Caches" / "ulmfit"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_dir() == expected
