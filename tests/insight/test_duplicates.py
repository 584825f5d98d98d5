"""Near copies are those that counting all 5-grams of all pairs would find."""

import random
import subprocess
import sys
from itertools import combinations

from ulmfit.insight import duplicates
from ulmfit.insight.duplicates import NEAR, grams, near_groups, number, similarity

WORDS = [f"w{i}" for i in range(200)]


def changed(text: str, places: int, draw: random.Random) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), places):
        words[place] = "other"
    return " ".join(words)


def jaccard(one: str, other: str) -> float:
    """By the definition, without hashes."""
    a, b = (
        {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
        for words in (one.split(), other.split())
    )
    return len(a & b) / len(a | b)


def test_similarity_is_that_of_the_sets_of_5_grams() -> None:
    draw = random.Random(0)
    for length in (1, 3, 5, 6, 30, 200):
        one = " ".join(draw.choices(WORDS, k=length))
        for other in (one, changed(one, 1, draw), " ".join(draw.choices(WORDS, k=length + 1))):
            assert similarity(one, other) == jaccard(one, other)


def test_case_punctuation_and_markup_do_not_count() -> None:
    plain = "It was good and then it was very bad"
    assert similarity(plain, "It was GOOD, and then<br />it was -- very <i>bad</i>!") == 1.0
    assert similarity("well", "Well!") == 1.0 and similarity("well", "good") == 0.0
    assert similarity(":-)", " :-)") == 1.0 and similarity(":-)", ":-(") == 0.0


def test_groups_are_those_of_all_pairs_compared() -> None:
    draw = random.Random(1)
    texts = list[str]()
    for _ in range(40):
        first = " ".join(draw.choices(WORDS, k=draw.randint(30, 120)))
        texts += [first, *(changed(first, draw.randint(1, 9), draw) for _ in range(2))]
    draw.shuffle(texts)
    expected = list(range(len(texts)))
    near = [
        (i, j) for i, j in combinations(range(len(texts)), 2) if jaccard(texts[i], texts[j]) >= NEAR
    ]
    assert 20 < len(near) < 100
    for _ in texts:  # until nothing moves: a group goes by its first text
        for i, j in near:
            expected[i] = expected[j] = min(expected[i], expected[j])
    found = near_groups(texts).tolist()
    missed = sum(a != b for a, b in zip(found, expected, strict=True))
    assert missed <= 1  # a pair in eighty at NEAR itself
    assert all(e <= f for f, e in zip(found, expected, strict=True))  # and none is made up


def test_a_thousand_near_copies_are_one_group_without_comparing_all_pairs(monkeypatch) -> None:
    compared, real = [], duplicates._similarity
    monkeypatch.setattr(duplicates, "_similarity", lambda a, b: compared.append(1) or real(a, b))
    letter = " ".join(WORDS)
    found = near_groups([f"Dear {i} {letter}" for i in range(300)])
    assert set(found.tolist()) == {0} and len(compared) < 1000


def test_copies_have_one_number_and_lie_in_one_group() -> None:
    text = " ".join(WORDS[:50])
    copies, groups = number([text, "something else", f" {text}\n", text.upper(), "Something else."])
    assert copies.tolist() == [0, 1, 0, 2, 3]
    assert groups.tolist() == [0, 1, 0, 0, 1]
    assert [found.tolist() for found in number(["one"])] == [[0], [0]]


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from ulmfit.insight.duplicates import grams; print(*grams('the same in every process'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [str(found) for found in grams("the same in every process")]
