"""Named data sets: fetched once, read from the disk in every form, and only the parts that are meant."""

import hashlib
from dataclasses import replace
from pathlib import Path

import polars
import published
import pytest
from local_server import LocalServer

from ulmfit import datasets
from ulmfit.catalogue import DATASETS, Share
from ulmfit.datasets import Use, cards, documents_for, load
from ulmfit.files.download import DownloadError, Remote
from ulmfit.progress import silent
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.layouts import Part

TRAIN = [Document(f"train {text}", label) for text, label in published.REVIEWS]
TEST = [Document(f"test {text}", label) for text, label in published.REVIEWS]
ARCHIVES = {
    "imdb": (published.IMDB, "imdb", {"train": 4, "test": 4, "unlabelled": 2}),
    "imdb-sample": (published.SAMPLE, "imdb_sample", {"train": 2, "valid": 1}),
    "wikitext-103": (published.WIKITEXT, "wikitext-103", {"train": 2, "test": 1}),
    "wikitext-2": (published.WIKITEXT, "wikitext-2", {"train": 2, "test": 1}),
    "ag-news": (published.AG_NEWS, "ag_news_csv", {"train": 2, "test": 1}),
    "dbpedia": (published.DBPEDIA, "dbpedia_csv", {"train": 2, "test": 1}),
    "yelp-polarity": (published.YELP_POLARITY, "yelp_review_polarity_csv", {"train": 2, "test": 1}),
    "yelp-full": (published.YELP_FULL, "yelp_review_full_csv", {"train": 2, "test": 1}),
}


def served(server: LocalServer, file: str, content: bytes) -> Remote:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Remote(server.put(file, content), md5, len(content))


def replace_files(monkeypatch: pytest.MonkeyPatch, name: str, files: dict[Part, Remote]) -> None:
    parts = {p: Share(files[p], s.documents) for p, s in DATASETS[name].parts.items()}
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], parts=parts))


# ---- fetched ----


def test_all_archives_are_tried() -> None:
    assert ARCHIVES.keys() | {"trec-6"} == DATASETS.keys()


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_fetched_and_unpacked_once(
    name: str, top: bool, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, folder, counts = ARCHIVES[name]
    remote = served(server, f"{folder}.tgz", published.tgz(files, folder if top else ""))
    replace_files(monkeypatch, name, dict.fromkeys(DATASETS[name].parts, remote))
    assert not cards()[name]["cached"]
    for part in DATASETS[name].parts:
        documents = load(name, part)
        assert len(documents) == counts[part]
        labels = {d.label for d in documents}
        assert labels <= (set(DATASETS[name].classes) if part != "unlabelled" else {None}) | (
            set() if DATASETS[name].classes else {None}
        )
    assert len(server.asked) == 1 and cards()[name]["cached"]


def test_only_the_files_of_a_part_are_fetched(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = (served(server, name, content) for name, content in published.TREC.items())
    replace_files(monkeypatch, "trec-6", {"train": train, "test": test})
    assert load("trec-6", "test") == [Document("How far is it ?", "NUM")]
    assert [name for name, _ in server.asked] == ["TREC_10.label"]
    assert load("trec-6", "test") and len(server.asked) == 1 and not cards()["trec-6"]["cached"]
    assert len(load("trec-6")) == 2 and cards()["trec-6"]["cached"]


@pytest.mark.parametrize("name", ["imdb", "trec-6"])
def test_offline_there_is_one_error_that_says_what_to_do(
    name: str, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        part: Remote(f"{server.address}/{share.file.name}", share.file.md5)
        for part, share in DATASETS[name].parts.items()
    }
    replace_files(monkeypatch, name, files)
    with pytest.raises(DownloadError) as caught:
        load(name, "test")
    by_hand = tmp_path / "cache" / "datasets" / name / files["test"].name
    assert str(by_hand) in str(caught.value) and "--data-dir" in str(caught.value)
    by_hand.write_bytes(b"another file")
    with pytest.raises(DownloadError, match="expected MD5"):
        load(name, "test")


def test_another_process_may_unpack_the_same_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, real = tmp_path / "imdb.tgz", datasets.unpack
    archive.write_bytes(published.tgz(published.IMDB))

    def outrun(archive: Path, folder: Path, *, max_bytes: int) -> None:
        real(archive, folder, max_bytes=max_bytes)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(datasets, "unpack", outrun)
    assert load("imdb", data_dir=archive) == TRAIN


# ---- on disk ----


def imdb_forms(folder: Path) -> dict[str, Path]:
    """The same reviews in every form in which people keep them."""
    forms = {n: folder / n for n in ("fastai", "above", "stanford", "parquet", "inside", "other")}
    written = [
        (forms["fastai"], published.IMDB),
        (forms["above"] / "imdb", published.IMDB),
        (forms["above"] / "ag_news_csv", published.AG_NEWS),
        (forms["stanford"], published.STANFORD),
        (forms["other"] / "reviews-2011", published.STANFORD),
    ]
    for place, files in written:
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
    forms["parquet"].mkdir()
    for name, documents in (("train", TRAIN), ("test", TEST)):
        numbers = [int(d.label == "positive") for d in documents]
        frame = polars.DataFrame({"text": [d.text for d in documents], "label": numbers})
        frame.write_parquet(forms["parquet"] / f"{name}.parquet")
    frame = polars.DataFrame({"text": published.UNLABELLED, "label": [-1, -1]})
    frame.write_parquet(forms["parquet"] / "unsup.parquet")
    forms["inside"].mkdir()
    (forms["inside"] / "aclImdb_v1.tar.gz").write_bytes(published.tgz(published.STANFORD, "aclImdb"))  # fmt: skip
    forms["archive"] = folder / "mine.tgz"
    forms["archive"].write_bytes(published.tgz(published.IMDB))
    return forms


def test_all_forms_of_imdb_give_the_same_documents(tmp_path: Path) -> None:
    said = list[str]()
    for form, place in imdb_forms(tmp_path).items():
        found = [load("imdb", part, data_dir=place, say=said.append) for part in ("train", "test")]
        assert found == [TRAIN, TEST], form
        unlabelled = load("imdb", "unlabelled", data_dir=str(place))
        assert unlabelled == [Document(text) for text in published.UNLABELLED], form
    assert said[0] == "imdb/train: 4 documents; 25,000 were published"  # said, not refused


def test_more_than_was_published_is_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = Share(DATASETS["imdb"].parts["train"].file, 3)
    parts = {**DATASETS["imdb"].parts, "train": share}
    monkeypatch.setitem(DATASETS, "imdb", replace(DATASETS["imdb"], parts=parts))
    place = imdb_forms(tmp_path)["fastai"]
    with pytest.raises(
        DataError, match=r"fastai holds another set: 4 documents .* 3 were published"
    ):
        load("imdb", data_dir=place)
    assert load("imdb", "test", data_dir=place) == TEST


def test_what_is_there_instead_is_said(tmp_path: Path) -> None:
    (tmp_path / "ag_news_csv").mkdir()
    (tmp_path / "ag_news_csv" / "train.csv").write_text(published.AG_NEWS["train.csv"])
    with pytest.raises(DataError, match=r"expected train.csv and .*found ag_news_csv"):
        load("dbpedia", data_dir=tmp_path)  # a folder of another set is not taken for it
    assert len(load("ag-news", data_dir=tmp_path)) == 2
    archive = tmp_path / "imdb.tgz"
    archive.write_bytes(published.tgz({"a/b.txt": "c"}))
    with pytest.raises(DataError, match=r"does not hold imdb/test.*found a, b.txt"):
        load("imdb", "test", data_dir=archive)
    (tmp_path / "imdb.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"an archive \(.tgz, .tar.gz\), not .*imdb.zip"):
        load("imdb", data_dir=tmp_path / "imdb.zip")
    with pytest.raises(DataError, match="no file or folder"):
        load("imdb", data_dir=tmp_path / "nosuch")


# ---- names ----


def test_unknown_names_and_parts() -> None:
    with pytest.raises(DataError, match="no data set 'imbd'; there are imdb"):
        load("imbd")
    with pytest.raises(DataError, match=r"second argument: load\('imdb', 'test'\)"):
        load("imdb/test")
    with pytest.raises(DataError, match="imdb-sample has no part 'test'; it has train, valid"):
        load("imdb-sample", "test")
    with pytest.raises(DataError, match="no part 'dev'"):
        documents_for("imdb/dev", "test", labelled=True, data_dir=None, say=silent)
    assert datasets.is_name("imdb/test") and not datasets.is_name("imdb.csv")


@pytest.mark.parametrize(
    ("name", "use", "expected"),
    [
        ("imdb", "train", ["train"]),
        ("imdb", "unlabelled", ["unlabelled"]),
        ("imdb", "test", ["test"]),
        ("imdb", "texts", ["train", "unlabelled"]),
        ("imdb/test", "valid", ["test"]),
        ("imdb/test", "texts", ["test"]),
        ("ag-news", "unlabelled", ["train"]),
        ("ag-news", "texts", ["train"]),
        ("imdb-sample", "valid", ["valid"]),
        ("imdb-sample", "texts", ["train"]),
    ],
)
def test_a_bare_name_means_the_obvious_part(
    name: str, use: Use, expected: list[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(name: str, part: Part, **more: object) -> list[Document]:
        return [Document(part, "neg")]

    monkeypatch.setattr(datasets, "load", pretend)
    said = list[str]()
    found = documents_for(name, use, labelled=False, data_dir=None, say=said.append)
    assert found == [Document(part) for part in expected]  # labels are not looked at
    if "/" not in name:
        assert all(f"{name}/{part}" in said[0] for part in expected) and "not read: " in said[0]
    assert ("because you named them" in "".join(said)) == (name == "imdb/test" and use == "texts")


@pytest.mark.parametrize(
    ("name", "use", "reason"),
    [
        ("imdb", "valid", "no valid part; name the part you mean: imdb/train, imdb/test$"),
        ("imdb-sample", "test", "imdb-sample/valid"),
        ("imdb/unlabelled", "train", "imdb/unlabelled has no labels"),
        ("wikitext-2", "train", "wikitext-2/train has no labels"),
    ],
)
def test_what_is_not_obvious_has_to_be_named(name: str, use: Use, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        documents_for(name, use, labelled=True, data_dir=None, say=silent)
