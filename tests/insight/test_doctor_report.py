"""A report is plain data."""

import json
from dataclasses import asdict

from ulmfit.insight.doctor import examine
from ulmfit.insight.doctor_report import Found
from ulmfit.text.document import Document


def test_a_report_goes_through_json() -> None:
    texts = [Document("AT&amp;T", "a"), Document("AT&amp;T", "b"), Document("cafÃ© noir", "a")]
    report = asdict(examine(texts, test=texts[:1], pretrained="none"))
    assert json.loads(json.dumps(report))["characters"] == json.loads(
        json.dumps(report["characters"])
    )
    assert report["overlaps"][0]["equal"] == 1


def test_nothing_found_is_false() -> None:
    assert not Found({}) and not Found({"train": 0}) and Found({"train": 1})
