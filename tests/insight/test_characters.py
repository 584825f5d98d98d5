"""What is wrong with characters is found and shown; what is right is left alone."""

import pytest

from ulmfit.insight.characters import LOST, beginning, html, lost, mojibake

GOOD = ["plain", "café naïve Ångström “quoted” – 5 €", "Ein Gruß aus Köln", "日本語", "Да, конечно"]


@pytest.mark.parametrize("text", GOOD)
def test_utf_8_is_right_and_read_as_another_encoding_it_is_not(text: str) -> None:
    assert mojibake(text) is None and lost(text) is None
    garbled = text.encode().decode("cp1252", "replace")
    assert text.isascii() or mojibake(garbled) or lost(garbled)


def test_mojibake_is_shown_beside_what_was_meant() -> None:
    shown = mojibake("We met in the new cafÃ© on the corner of the street")
    wrong, right = (
        "'…e met in the new cafÃ© on the corner of …'",
        "'…e met in the new café on the corner of t…'",
    )
    assert shown and shown() == f"{wrong} for {right}"


def test_lost_characters_are_shown_where_they_are() -> None:
    shown = lost(f"caf{LOST} noir")
    assert shown and shown() == f"'caf{LOST} noir'"


@pytest.mark.parametrize("text", ["a <br /> b", "2 > 1 & so on", "fine"])
def test_html_that_both_rules_read_alike(text: str) -> None:
    assert html(text) is None


@pytest.mark.parametrize(
    ("text", "fastai", "clean"),
    [
        ("AT&amp;T", "'AT&&T'", "'AT&T'"),
        ("a<br>b", "'a<br>b'", r"'a\nb'"),
        ("a\xa0b", r"'a\xa0b'", "'a b'"),
    ],
)
def test_html_that_fastai_misreads(text: str, fastai: str, clean: str) -> None:
    shown = html(text)
    assert shown and shown() == f"fastai reads {fastai}, clean {clean}"


def test_a_beginning_is_one_line() -> None:
    assert beginning("a\n b ") == '"a b"'
    assert beginning("x" * 100) == f'"{"x" * 60}…"'
