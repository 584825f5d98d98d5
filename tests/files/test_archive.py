"""An archive becomes a folder, or an error says why not; it can't do harm."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.files.archive import unpack
from ulmfit.files.download import DownloadError


def archive(path: Path, *members: tuple[str, bytes, bytes], compressed: bool = True) -> Path:
    """(name, type, content) each; the content of a link is where it leads."""
    with tarfile.open(path, "w:gz" if compressed else "w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


FILE, FOLDER = tarfile.REGTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize("compressed", [True, False])
def test_files_and_folders_are_unpacked(tmp_path: Path, compressed: bool) -> None:
    members = [("./m", FOLDER, b""), ("./m/a.txt", FILE, b"a"), ("n/b.txt", FILE, b"b" * 20_000)]
    packed = archive(tmp_path / "x.tgz", *members, compressed=compressed)
    unpack(packed, tmp_path / "out", max_bytes=100_000)
    files = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.txt")}
    assert files == {str(Path("m/a.txt")), str(Path("n/b.txt"))}
    assert (tmp_path / "out" / "n" / "b.txt").read_bytes() == b"b" * 20_000
    assert {p.name for p in tmp_path.iterdir()} == {"x.tgz", "out"}
    with pytest.raises(DownloadError, match="there already"):
        unpack(packed, tmp_path / "out", max_bytes=100_000)


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (("../evil", FILE, b"x"), "leads outside"),
        (("a/../../evil", FILE, b"x"), "leads outside"),
        (("/evil", FILE, b"x"), "leads outside"),
        (("a\\..\\..\\evil", FILE, b"x"), "leads outside"),
        (("C:evil", FILE, b"x"), "leads outside"),
        (("link", tarfile.SYMTYPE, b"/etc/passwd"), "neither file nor folder"),
        (("link", tarfile.LNKTYPE, b"good.txt"), "neither file nor folder"),
        (("pipe", tarfile.FIFOTYPE, b""), "neither file nor folder"),
        (("holes", tarfile.GNUTYPE_SPARSE, b""), "neither file nor folder"),
        (("big", FILE, bytes(10**6)), "more than 100,000 bytes"),
        (("n" * 200_000, FILE, b""), "more than 100,000 bytes"),  # a long header
        (("device", tarfile.CHRTYPE, b""), "neither file nor folder"),
        (("disk", tarfile.BLKTYPE, b""), "neither file nor folder"),
        (("unknown", b"Z", b"x"), "neither file nor folder"),
        (("\\\\host\\share\\evil", FILE, b"x"), "leads outside"),
        (("good.txt", FILE, b"again"), "can't be written"),
        (("./good.txt", FILE, b"again"), "can't be written"),
        (("good.txt/below", FILE, b"x"), "can't be written"),
        (("good.txt", FOLDER, b""), "can't be written"),
        (("", FILE, b"x"), "can't be written"),
        (("m" * 300, FILE, b"x"), "can't be written"),
        (("/".join("d" * 3000), FOLDER, b""), "can't be written"),
    ],
)
def test_harm_is_refused_and_nothing_stays(
    tmp_path: Path, member: tuple[str, bytes, bytes], problem: str
) -> None:
    inner = tmp_path / "inner"
    packed = archive(tmp_path / "x.tgz", ("good.txt", FILE, b"good"), member)
    with pytest.raises(DownloadError, match=problem):
        unpack(packed, inner / "out", max_bytes=100_000)
    assert not list(inner.iterdir())
    assert {p.name for p in tmp_path.iterdir()} == {"x.tgz", "inner"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link to the outside, then a file behind it: refused at the link."""
    members = [("away", tarfile.SYMTYPE, str(tmp_path).encode()), ("away/evil", FILE, b"x")]
    with pytest.raises(DownloadError, match="neither file nor folder"):
        unpack(archive(tmp_path / "x.tgz", *members), tmp_path / "in" / "out", max_bytes=10**6)
    assert not (tmp_path / "evil").exists()


def header(**changes: object) -> bytes:
    """One header of a tar file, with fields that tarfile would not write."""
    info = tarfile.TarInfo("a")
    fields = dict(info.get_info()) | changes
    return info.create_gnu_header(fields, "utf-8", "surrogateescape")


@pytest.mark.parametrize("size", [-1, -512, 2**40, 2**70])
@pytest.mark.parametrize("kind", [FILE, FOLDER, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_sizes_that_are_lies(tmp_path: Path, size: int, kind: bytes) -> None:
    """Negative ones let tarfile run for ever before Python 3.11.14 (CVE-2025-8194)."""
    (tmp_path / "x.tar").write_bytes(header(size=size, type=kind) + bytes(1024))
    try:
        unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=10**6)
    except DownloadError:
        assert not (tmp_path / "out").exists()


def test_a_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = archive(tmp_path / "x.tar", ("a", FILE, b"a"), ("b", FILE, b"b"), compressed=False)
    content = bytearray(whole.read_bytes())
    content[1024 + 5] ^= 1  # in the name of the second file, so its checksum is wrong
    for damaged in (content, content[:1024]):
        (tmp_path / "bad.tar").write_bytes(damaged)
        with pytest.raises(DownloadError, match="damaged"):
            unpack(tmp_path / "bad.tar", tmp_path / "out", max_bytes=10**6)


def test_headers_take_little_memory(tmp_path: Path) -> None:
    many = header(type=tarfile.XHDTYPE, size=0) * 3000  # each asks for the next
    long = header(type=tarfile.XHDTYPE, size=500_000) + b"1" * 500_000
    for content, problem in ((many, "damaged|header of more than"), (long, "header of more than")):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(DownloadError, match=problem):
            unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=10**7)


def test_a_bomb_stops_at_its_bound(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.tgz", "wb", compresslevel=1) as file:
        file.write(header(size=10**8))
        for _ in range(100):
            file.write(bytes(10**6))
    assert (tmp_path / "x.tgz").stat().st_size < 10**6
    with pytest.raises(DownloadError, match=r"more than 2,000,000 bytes unpacked"):
        unpack(tmp_path / "x.tgz", tmp_path / "out", max_bytes=2_000_000)
    assert {p.name for p in tmp_path.iterdir()} == {"x.tgz"}


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_bytes_are_refused_or_stay_inside(tmp_path: Path, compressed: bool) -> None:
    members = [("m", FOLDER, b""), ("m/a", FILE, b"a" * 700), ("n" * 120, FILE, b"b")]
    whole = archive(tmp_path / "x.tar", *members, compressed=compressed).read_bytes()
    fields = st.integers(0, min(len(whole), 3 * 512) - 1)

    @given(st.lists(st.tuples(fields, st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
    def check(changes: list[tuple[int, int]], mended: bool) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        if mended and not compressed:  # so that what was changed is believed
            for start in (0, 512):
                content[start + 148 : start + 156] = b" " * 8
                total = sum(content[start : start + 512])
                content[start + 148 : start + 156] = b"%06o\0 " % total
        (tmp_path / "bad.tar").write_bytes(content)
        try:
            unpack(tmp_path / "bad.tar", tmp_path / "in" / "out", max_bytes=100_000)
        except DownloadError:
            assert not any((tmp_path / "in").iterdir())
        else:
            shutil.rmtree(tmp_path / "in" / "out")
        assert {p.name for p in tmp_path.iterdir()} == {"x.tar", "bad.tar", "in"}
        assert not any((tmp_path / "in").iterdir())

    check()


def test_damaged_archives(tmp_path: Path) -> None:
    whole = archive(tmp_path / "x.tgz", ("a", FILE, bytes(range(256)) * 100)).read_bytes()
    flipped = whole[:100] + bytes([whole[100] ^ 255]) + whole[101:]
    for content in (
        whole[: len(whole) // 2],
        whole[:4],
        flipped,
        b"<html>no archive</html>" * 99,
        b"",
    ):
        (tmp_path / "bad.tgz").write_bytes(content)
        with pytest.raises(DownloadError, match="not an archive, or is damaged"):
            unpack(tmp_path / "bad.tgz", tmp_path / "out", max_bytes=100_000)
        assert {p.name for p in tmp_path.iterdir()} == {"x.tgz", "bad.tgz"}
