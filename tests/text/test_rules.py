import json
import random
import re
import time
from pathlib import Path

import pytest

from ulmfit.text import rules
from ulmfit.text.rules import apply_rules, expand, undo


@pytest.fixture(scope="module")
def golden(goldens: Path) -> dict:
    return json.loads((goldens / "tokenization.json").read_text(encoding="utf-8"))


def test_special_tokens_have_fastais_order(golden: dict) -> None:
    assert list(rules.SPECIAL_TOKENS) == golden["special_tokens"]


def test_each_rule_alone_as_fastais(golden: dict) -> None:
    for case in golden["cases"]:
        if (changed := case.get("each_rule_alone_when_it_changes")) is None:
            continue
        for name in golden["rule_order"]:
            expected = changed.get(name, case["text"])
            assert getattr(rules, name)(case["text"]) == expected, (name, case["text"])


def test_all_rules_in_order_as_fastais(golden: dict) -> None:
    assert [rule.__name__ for rule in rules.WORD_RULES] == golden["rule_order"][1:]
    for case in golden["cases"]:
        if "after_rules" in case:
            assert apply_rules(case["text"]) == case["after_rules"], case["text"]


def test_capitals_take_linear_time() -> None:
    """As fastai's expression, which looked at 20,000 capitals before a small letter for seconds."""
    fastai = re.compile(r"(\s|^)([A-Z]+[^a-z\s]*)(?=\s|$)")
    draw = random.Random(0)
    for _ in range(3000):
        text = "".join(draw.choices("ABa1.É \n", k=draw.randrange(12)))
        assert rules._ALL_CAPS.findall(text) == fastai.findall(text)
    before = time.monotonic()
    assert rules.replace_all_caps(long := "A" * 50_000 + "a") == long
    assert time.monotonic() - before < 1


def test_clean_undoes_html_without_a_stray_ampersand() -> None:
    text = "Tom &amp; Jerry&#39;s<br>one<BR/>two<br />three &quot;x&quot;&nbsp;5 &lt; 6"
    assert apply_rules(text, "clean") == (
        'xxbos xxmaj tom & xxmaj jerry\'s\none\ntwo\nthree "x" 5 < 6'
    )
    assert "&&" in apply_rules("a &amp; b", "fastai")  # what the pretrained weights expect


def test_clean_repairs_entities_that_lost_their_ampersand() -> None:
    text = "the bank #39;s quot;loan quot; but camp;fire"
    assert apply_rules(text, "clean") == 'xxbos the bank \'s "loan " but camp;fire'


def test_clean_undoes_wikitext_and_folds_dots() -> None:
    text = "12 @,@ 345 @.@ 5 well @-@ known <unk> ..."
    assert apply_rules(text, "clean") == "xxbos 12,345.5 well-known xxunk …"


@pytest.mark.parametrize("typed", ["xxbos", "XXPAD", "Xxmaj", "_xxrep_", "(xxunk)", "xxup!"])
def test_clean_lets_nobody_type_a_special_token(typed: str) -> None:
    made = apply_rules(f"a {typed} b", "clean").split("xxbos ", 1)[1]
    assert "xxunk" in made
    assert not any(t in made for t in rules.SPECIAL_TOKENS if t != "xxunk")


def test_clean_leaves_the_marks_between_fields() -> None:
    joined = "xxfld 1 Great. xxfld 2 Dull."
    assert (
        apply_rules(joined, "clean")
        == apply_rules(joined)
        == "xxbos xxfld 1 xxmaj great. xxfld 2 xxmaj dull."
    )


def test_clean_leaves_words_that_only_contain_one() -> None:
    assert "xxupper" in apply_rules("xxupper", "clean")


def test_unknown_rules_are_refused() -> None:
    with pytest.raises((ValueError, TypeError)):  # TypeError: the type checker of the tests
        apply_rules("x", "other")  # type: ignore[arg-type]


def test_expand_as_fastai_except_that_repeats_hold_once(goldens: Path) -> None:
    golden = json.loads((goldens / "vocab.json").read_text(encoding="utf-8"))
    ours = {
        ("xxrep", "4", "a", "b"): ["aaaa", "b"],  # fastai: aaaa bbbb
        ("xxwrep", "3", "ha", "x"): ["ha", "ha", "ha", "x"],  # fastai: ha ha ha x x x
    }
    differing = 0
    for case in golden["decode_spec_tokens"]:
        expected = ours.get(tuple(case["tokens"]), case["decoded"])
        differing += expected != case["decoded"]
        assert expand(case["tokens"]) == expected
    assert differing == len(ours)


def test_expand_bounds_a_repeat() -> None:
    for number in ("999999999", "9" * 5000):
        assert len(expand(["xxrep", number, "a"])[0]) == rules.MAX_REPEATS


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("xxbos xxmaj it 's good , is n't it ? xxpad", "It's good, isn't it?"),
        ('he said " go on " ( twice ) .', 'he said "go on" (twice).'),
        ("a well - known 8 / 10 , $ 5 and 10 %", "a well-known 8/10, $5 and 10%"),
        ("xxwrep 3 very xxup good xxrep 4 !", "very very very GOOD !!!!"),
        ("xxmaj gon na go .", "Gonna go."),
        ("", ""),
    ],
)
def test_undo_reads_well(tokens: str, text: str) -> None:
    assert undo(tokens.split()) == text


def test_undo_keeps_lines() -> None:
    assert undo(["one", "\n\n", "two", "\n▁", "three"]) == "one\n\ntwo\n three"
