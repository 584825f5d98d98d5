"""The table of public data sets is complete and consistent. Reading them: test_datasets.py."""

import re
from typing import get_args

import pytest

from ulmfit.catalogue import DATASETS
from ulmfit.text.layouts import Part


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_says_where_it_is_from_and_what_it_holds(name: str) -> None:
    dataset = DATASETS[name]
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert {"train"} < set(dataset.parts) <= set(get_args(Part))
    assert dataset.source and dataset.licence and dataset.layout and len(dataset.readers) == 2
    assert len(set(dataset.classes)) == len(dataset.classes) != 1
    for file in dataset.files:
        assert re.fullmatch(r"[0-9a-f]{32}", file.md5) and file.url.startswith("http")


def test_files_are_shared_by_the_parts_of_an_archive_only() -> None:
    assert {name: len(d.files) for name, d in DATASETS.items() if len(d.files) > 1} == {"trec-6": 2}
    assert [len(DATASETS[n].classes) for n in ("ag-news", "dbpedia", "yelp-full", "trec-6")] == [
        4,
        14,
        5,
        6,
    ]
