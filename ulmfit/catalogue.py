"""The public data sets by name, as data: address, size, MD5, parts, classes, licence, reader.

Addresses, sizes and MD5 are as fastai 2.8.12 publishes them (TREC: as torchtext does); numbers of documents are as in the
papers and in the data sets' own notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ulmfit.files.download import Remote
from ulmfit.text.layouts import (
    Part,
    Reader,
    articles_csv,
    class_csv,
    question_lines,
    review_folders,
    sample_csv,
    table,
)


@dataclass(frozen=True)
class Share:
    """A part of a data set: the file that holds it, and its number of documents (None: not published)."""

    file: Remote
    documents: int | None


@dataclass(frozen=True)
class DataSet:
    """A public data set; `classes` in the order of their numbers, empty for plain texts."""

    parts: Mapping[Part, Share]
    classes: tuple[str, ...]
    readers: tuple[Reader, ...]  # tried in turn
    layout: str  # what the readers expect to find
    folders: tuple[str, ...]  # possible names of the top folder in its archives
    source: str  # to cite
    licence: str

    @property
    def files(self) -> tuple[Remote, ...]:
        """What has to be downloaded for all parts."""
        return tuple(dict.fromkeys(share.file for share in self.parts.values()))


def _fastai(file: str, md5: str, size: int, place: str = "fast-ai-nlp") -> Remote:
    return Remote(f"https://s3.amazonaws.com/{place}/{file}.tgz", md5, size)


def _parts(file: Remote, documents: Mapping[Part, int | None]) -> dict[Part, Share]:
    return {part: Share(file, number) for part, number in documents.items()}


def _by_class(
    file: Remote, counts: tuple[int, int], classes: str, columns: int, licence: str
) -> DataSet:
    """One of the eight sets of Zhang, Zhao & LeCun; those of two columns escape newlines as \\n."""
    names = tuple(classes.split())
    return DataSet(
        _parts(file, {"train": counts[0], "test": counts[1]}),
        names,
        (class_csv(names, columns, escaped=columns == 2), table(names)),
        f"train.csv and test.csv without header: class from 1 to {len(names)}"
        + (", title, description" if columns == 3 else ", text"),
        (file.name.removesuffix(".tgz"),),
        "Zhang, Zhao & LeCun 2015, Character-level Convolutional Networks for Text Classification",
        licence,
    )


def _articles(file: Remote) -> DataSet:
    return DataSet(
        _parts(file, {"train": None, "test": None}),
        (),
        (articles_csv, table(())),
        "train.csv and test.csv without header, one article a row",
        (file.name.removesuffix(".tgz"),),
        "Merity et al. 2016, Pointer Sentinel Mixture Models",
        "CC BY-SA 3.0 (Wikipedia)",
    )


_MAAS = "Maas et al. 2011, Learning Word Vectors for Sentiment Analysis"
_NO_LICENCE = "none stated; cite the paper"
_TREC = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
_DBPEDIA = """
    Company EducationalInstitution Artist Athlete OfficeHolder MeanOfTransportation Building NaturalPlace
    Village Animal Plant Album Film WrittenWork
"""
_YELP = "Yelp Dataset Challenge 2015: academic use, see Yelp's terms"

DATASETS: dict[str, DataSet] = {
    "imdb": DataSet(
        _parts(
            _fastai("imdb", "90f9b1c4ff43a90d67553c9240dc0249", 144_440_600),
            {"train": 25_000, "test": 25_000, "unlabelled": 50_000},
        ),
        ("negative", "positive"),
        (review_folders, table(("negative", "positive"))),
        "train/{neg,pos}/*.txt, test/{neg,pos}/*.txt, and unsup/*.txt or train/unsup/*.txt",
        ("imdb", "aclImdb"),
        _MAAS,
        _NO_LICENCE,
    ),
    "imdb-sample": DataSet(
        _parts(
            _fastai("imdb_sample", "0842e61a9867caa2e6fbdb14fa703d61", 571_827, "fast-ai-sample"),
            {"train": 800, "valid": 200},
        ),
        ("negative", "positive"),
        (sample_csv, table(("negative", "positive"))),
        "texts.csv with the columns label, text, is_valid",
        ("imdb_sample",),
        _MAAS,
        _NO_LICENCE,
    ),
    "wikitext-103": _articles(
        _fastai("wikitext-103", "2dd8cf8693b3d27e9c8f0a7df054b2c7", 190_200_704)
    ),
    "wikitext-2": _articles(_fastai("wikitext-2", "2a82d47a7b85c8b6a8e068dc4c1d37e7", 4_070_055)),
    "ag-news": _by_class(
        _fastai("ag_news_csv", "b86f328f4dbd072486591cb7a5644dcd", 11_784_419),
        (120_000, 7_600),
        "World Sports Business Sci/Tech",
        3,
        "AG's corpus of news articles: non-commercial use",
    ),
    "dbpedia": _by_class(
        _fastai("dbpedia_csv", "239c7837b9e79db34486f3de6a00e38e", 68_341_743),
        (560_000, 70_000),
        _DBPEDIA,
        3,
        "CC BY-SA 3.0 (DBpedia)",
    ),
    "yelp-polarity": _by_class(
        _fastai("yelp_review_polarity_csv", "48c8451c1ad30472334d856b5d294807", 166_373_201),
        (560_000, 38_000),
        "negative positive",
        2,
        _YELP,
    ),
    "yelp-full": _by_class(
        _fastai("yelp_review_full_csv", "1efd84215ea3e30d90e4c33764b889db", 196_146_755),
        (650_000, 50_000),
        "1 2 3 4 5",
        2,
        _YELP,
    ),
    "trec-6": DataSet(
        {
            "train": Share(
                Remote(
                    "http://cogcomp.org/Data/QA/QC/train_5500.label",
                    "073462e3fcefaae31e00edb1f18d2d02",
                ),
                5_452,
            ),
            "test": Share(
                Remote(
                    "http://cogcomp.org/Data/QA/QC/TREC_10.label",
                    "323a3554401d86e650717e2d2f942589",
                ),
                500,
            ),
        },
        _TREC,
        (question_lines, table(_TREC, numbered=False)),
        "train_5500.label and TREC_10.label",
        (),
        "Li & Roth 2002, Learning Question Classifiers",
        _NO_LICENCE,
    ),
}
