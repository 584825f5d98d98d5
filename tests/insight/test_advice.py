"""Each finding says what to do, or that nothing needs doing; what `fit` does by itself is not asked of people."""

from dataclasses import replace

import pytest

from ulmfit.insight.advice import NOTHING, Finding, findings, where
from ulmfit.insight.doctor import examine
from ulmfit.insight.doctor_report import Coverage, Found, Overlap, Part, Place, Report
from ulmfit.text.document import Document

TOKENS = {"median": 9, "90%": 90, "99%": 99, "longest": 999}
PART = Part(
    texts=100, empty=0, copies=0, near_copies=0, tokens=TOKENS, long=0, pooled=1.0, unlabelled=0
)
WELL = Report(
    parts={"train": PART, "test": PART},
    label_kind="single",
    classes={"a": 50, "b": 50},
    new_labels={},
    two_labels=Found({}),
    near_two_labels=Found({}),
    overlaps=(Overlap("train", "test", 0, 0, ()),),
    characters={name: Found({}) for name in ("mojibake", "lost", "html")},
    max_len=1440,
    coverage=Coverage("wikipedia-small", "fastai", 0.04, 0.01, {"zzz": 3}),
)


def of(report: Report, about: str) -> Finding:
    (found,) = (finding for finding in findings(report) if finding.about == about)
    return found


def train(**figures: object) -> Report:
    return replace(WELL, parts={"train": replace(PART, **figures), "test": PART})


def test_all_is_well() -> None:
    found = findings(WELL)
    assert len(found) == len({f.about for f in found}) >= 8
    assert {f.level for f in found} == {"ok"} and all(f.advice.startswith("Nothing") for f in found)


@pytest.mark.parametrize(
    ("report", "about", "level", "advice"),
    [
        (train(empty=2), "empty texts", "do", "Fill or remove"),
        (train(unlabelled=2), "no label", "note", "as unlabelled texts"),
        (replace(WELL, new_labels={"test": ["c"]}), "labels", "do", "stops at them"),
        (replace(WELL, classes={"a": 50}), "classes", "do", "at least two labels"),
        (replace(WELL, classes={}, label_kind="multi"), "classes", "do", "at least one label"),
        (replace(WELL, classes={"a": 50}, label_kind="multi"), "classes", "ok", NOTHING),
        (replace(WELL, classes={"a": 50, "b": 9}), "classes", "do", "Label more"),
        (replace(WELL, classes={"a": 50, "b": 1}), "classes", "do", "two of each"),
        (replace(WELL, classes={"a": 500, "b": 50}), "classes", "note", "macro-F1"),
        (replace(WELL, two_labels=Found({"train": 2})), "two labels", "do", "Correct"),
        (replace(WELL, near_two_labels=Found({"train": 2})), "two labels", "note", "Read some"),
        (train(copies=1), "copies", "note", "one side of a split"),
        (train(near_copies=1), "near copies", "note", "--valid"),
        (train(long=4, pooled=0.5), "length", "note", NOTHING),
        (train(long=50, pooled=0.5), "length", "note", "--classifier.max-len 99 pools"),
    ],
)
def test_what_is_not_well(report: Report, about: str, level: str, advice: str) -> None:
    found = of(report, about)
    assert found.level == level and advice in found.advice


def test_near_copies_of_a_set_for_scoring_are_the_users_to_remove() -> None:
    def leak(first: str, second: str, equal: int, near: int) -> Finding:
        overlap = Overlap(first, second, equal, near, ())
        return of(replace(WELL, overlaps=(overlap,)), f"{first} ∩ {second}")

    assert leak("train", "test", 5, 0).advice.startswith(
        "Nothing needs doing: `ulmfit fit` leaves equal"
    )
    assert leak("train", "test", 0, 5).level == leak("valid", "test", 1, 5).level == "do"
    assert "remove those from unlabelled" in leak("unlabelled", "test", 0, 5).advice
    assert leak("train", "unlabelled", 5, 5).level == "ok"


def test_html_is_read_cleanly_only_by_models_made_so() -> None:
    many = WELL.characters | {"html": Found({"train": 20})}
    report = replace(WELL, characters=many)
    assert "html.unescape" in of(report, "HTML").advice and of(report, "HTML").level == "do"
    random = replace(report, coverage=None)
    assert of(random, "HTML").advice == "Train with --tokenizer.rules clean."
    assert WELL.coverage
    clean = replace(report, coverage=replace(WELL.coverage, rules="clean"))
    assert of(clean, "HTML").level == "ok"
    few = replace(WELL, characters=WELL.characters | {"html": Found({"train": 1})})
    assert of(few, "HTML").level == "note"


def test_many_classes_are_not_all_shown() -> None:
    many = {f"c{i}": 50 - i for i in range(20)}
    found = of(replace(WELL, classes=many), "classes").found
    assert found == "20 in train: c0 (50), c1 (49), …, c18 (32), c19 (31)"
    assert of(WELL, "classes").found == "2 in train: a (50), b (50)"


def test_one_class_written_in_two_ways() -> None:
    report = replace(
        WELL, classes={"Pos": 40, "neg": 30, "pos": 20, "a b": 20, "b": 20, "A  b": 10}
    )
    found = of(report, "spellings")
    assert found.level == "do" and "Write them alike" in found.advice
    assert found.found.startswith(
        "2 written in several ways: 'Pos' and 'pos', 'a b' and 'A  b' differ"
    )
    many = {spelling: 10 for i in range(9) for spelling in (f"c{i}", f"C{i}")}
    assert "9 written in several ways" in of(replace(WELL, classes=many), "spellings").found


def test_texts_taken_for_labels_are_cut_and_the_question_is_asked() -> None:
    swapped = replace(WELL, classes={f"{i} {'long ' * 90}": 1 for i in range(200)})
    found = of(swapped, "classes")
    assert found.level == "do" and "--label-column swapped?" in found.advice
    assert found.found.count("long") < 80 and "… (200 in all)" in found.found
    assert len(where((Place("train", 3, "long " * 90),))) < 60


def test_parts_with_nothing_in_common_are_one_finding() -> None:
    pairs = [("train", "valid", 0), ("train", "test", 2), ("valid", "test", 0)]
    report = replace(WELL, overlaps=tuple(Overlap(a, b, n, 0, ()) for a, b, n in pairs))
    assert of(report, "overlap").found == "nothing in common: train ∩ valid, valid ∩ test"
    assert of(report, "train ∩ test").level == "note"


def test_white_space_among_unknown_words_is_visible() -> None:
    assert WELL.coverage
    report = replace(WELL, coverage=replace(WELL.coverage, words={"\n": 2, "zzz": 1}))
    assert of(report, "vocabulary").found.endswith(r"'\n' (2), zzz (1)")


def test_a_foreign_vocabulary_asks_for_another_model() -> None:
    assert WELL.coverage
    report = replace(WELL, coverage=replace(WELL.coverage, unknown=0.4))
    assert of(report, "vocabulary").level == "do"
    assert "40.0%" in of(report, "vocabulary").found and "zzz (3)" in of(report, "vocabulary").found


def test_wrong_encodings_and_what_the_reader_skipped() -> None:
    bad = {"mojibake": Found({"train": 1}), "lost": Found({"test": 1}), "html": Found({})}
    found = {f.about: f for f in findings(replace(WELL, characters=bad), ["a.csv: skipped"])}
    assert found["mojibake"].found == "1 in train" and found["lost characters"].found == "1 in test"
    assert found["unusable rows"].found == "a.csv: skipped"


def test_unlabelled_texts_alone_are_enough() -> None:
    report = examine([], unlabelled=[Document("one"), Document("two")], pretrained="none")
    assert {f.level for f in findings(report)} == {"ok"}
    assert not {"classes", "two labels", "length"} & {f.about for f in findings(report)}


def test_places_are_readable() -> None:
    assert where((Place("train", 3, "pos"), Place("test", 17))) == "train 3 (pos), test 17"
