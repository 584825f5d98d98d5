"""Equal settings and data are one run, wherever it runs; and what differs is named."""

import json
from pathlib import Path

from ulmfit.files.checkpoint import save_json
from ulmfit.identity import differences, fingerprint, identity, trained_on
from ulmfit.text.document import Document


def test_whether_a_run_was_trained_on_documents(tmp_path: Path) -> None:
    a, b = Document("a", "x"), Document("b", "y")
    assert not trained_on(tmp_path, [a, b])  # no run
    save_json(tmp_path / "config.json", {"kind": "run"})
    assert not trained_on(tmp_path, [a, b])  # one from before that was recorded
    save_json(tmp_path / "config.json", {"kind": "run", "labelled": fingerprint([a, b])})
    assert trained_on(tmp_path, [a, b]) and not trained_on(tmp_path, [b, a])


def test_the_fingerprint_sees_texts_labels_order_and_parts() -> None:
    a, b = Document("a", "x"), Document("b", "y")
    prints = [
        fingerprint([a, b], []),
        fingerprint([b, a], []),
        fingerprint([a], [b]),
        fingerprint([a, b]),
        fingerprint([a, Document("b")], []),
        fingerprint([Document("ab", "x"), b], []),
        *(fingerprint([Document("a", label)]) for label in (1.5, "1.5", None, "None", ("x",))),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint([a, b], []) == prints[0]
    assert fingerprint([Document("\ud800")])  # half a surrogate, as JSON may hold it


def test_the_machine_is_not_part_of_it() -> None:
    asked = {"config": {"lr": 0.1, "sizes": (1, 2)}, "runtime": {"seed": 0, "threads": 1}}
    elsewhere = asked | {"runtime": {"seed": 0, "threads": 8, "on_bad_loss": "skip"}}
    assert identity(elsewhere, "data") == identity(asked, "data")
    record = json.loads(json.dumps({"config": elsewhere}))
    assert differences(record, asked, "data") == ""
    for config, data in (
        (asked | {"runtime": {"seed": 1}}, "data"),
        (asked | {"config": {}}, "data"),
        (asked, "other"),
    ):
        assert identity(config, data) != identity(asked, "data")


def test_differences_are_named() -> None:
    old = {"config": {"config": {"lm": {"lr": 0.1, "sizes": [1, 2]}, "keep": "last"}}, "data": "a"}
    now = {"config": {"lm": {"lr": 0.2, "sizes": (1, 2)}, "keep": "last"}}
    assert differences(old, now, "a") == "config.lm.lr was 0.1, now 0.2"
    assert differences(old, old["config"], "b") == "the texts or their labels have changed"
    assert differences({"config": {}}, {}, "b") == ""  # a record of an earlier version
    many = {f"n{i}": i for i in range(9)}
    assert differences({"config": many}, {}, "").count(" was ") == 4
    assert differences({"config": many}, {}, "").endswith("; 5 more")
