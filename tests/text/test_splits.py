"""Who is trained on, who is held out, and that nobody is both."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from ulmfit.config import ClassifierConfig, FinetuneConfig, FitConfig, TokenizerConfig
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.splits import (
    Parts,
    check_labels,
    distinct,
    divide,
    hold_out,
    hold_out_encoded,
    without,
)
from ulmfit.text.tokenizer import Tokenizer


def documents(n: int, label: str = "a", start: int = 0) -> list[Document]:
    return [Document(f"text {label} {i}", label) for i in range(start, start + n)]


MANY = documents(100) + documents(50, "b") + documents(2, "c")


def test_holding_out_is_stratified_seeded_and_loses_nothing() -> None:
    rest, held = hold_out(MANY, 0.1, 0)
    count = Counter(d.label for d in held)
    assert len(held) == 15 and abs(count["a"] - 10) <= 1 and abs(count["b"] - 5) <= 1
    assert sorted(map(str, rest + held)) == sorted(map(str, MANY))
    assert rest == [d for d in MANY if d not in held]  # in their order
    assert hold_out(MANY, 0.1, 0) == (rest, held)
    assert hold_out(MANY, 0.1, 1)[1] != held
    assert hold_out(MANY, 0.0, 0) == (MANY, [])


def test_equal_texts_stay_together() -> None:
    doubled = MANY + MANY[:40]
    for seed in range(5):
        rest, held = hold_out(doubled, 0.2, seed)
        assert not {d.text for d in rest} & {d.text for d in held}
        assert len(rest) + len(held) == len(doubled)


@pytest.mark.parametrize(
    ("labels", "of_each", "fraction", "expected"),
    [
        (10, 2, 0.1, 2),
        (150, 5, 0.02, 15),
        (10, 20, 0.1, 20),
        (3, 2, 0.5, 3),  # no label gives both
        (2, 2, 0.01, 1),
        (1, 3, 0.01, 1),
        (1, 2, 0.01, 0),
        (2, 1, 0.5, 0),
        (1, 1, 0.9, 0),
    ],
)
def test_many_labels_hold_no_more_than_the_fraction(
    labels: int, of_each: int, fraction: float, expected: int
) -> None:
    given = [d for k in range(labels) for d in documents(of_each, f"label {k}")]
    for seed in range(5):
        rest, held = hold_out(given, fraction, seed)
        assert len(held) == expected
        count = Counter(d.label for d in held)
        assert all(n <= fraction * of_each + 1 for n in count.values())
        if held:
            assert {d.label for d in rest} == {d.label for d in given}


def test_rare_labels_take_turns() -> None:
    given = documents(1000, "large") + [d for k in range(150) for d in documents(5, f"label {k}")]
    held = [hold_out(given, 0.02, seed)[1] for seed in range(5)]
    for part in held:
        assert len(part) == 35 and 10 <= Counter(d.label for d in part)["large"] <= 30


def test_for_a_language_model_labels_are_not_looked_at() -> None:
    nameless = [Document(d.text) for d in MANY]
    _, held = hold_out(MANY, 0.1, 0, stratify=False)
    assert [Document(d.text) for d in held] == hold_out(nameless, 0.1, 0, stratify=False)[1]
    alone = [Document(f"text {i}", str(i)) for i in range(50)]  # every label once
    assert len(hold_out(alone, 0.1, 0, stratify=False)[1]) == 5
    assert not hold_out(alone, 0.1, 0)[1]


def test_a_copy_with_other_white_space_is_a_copy() -> None:
    a, copy = Document("one  two\n", "x"), Document(" one two", "x")
    assert distinct([a, copy]) == [a]
    assert without([a, Document("onetwo")], [copy]) == [Document("onetwo")]
    for seed in range(5):
        rest, held = hold_out([a, *documents(3), copy], 0.4, seed)
        assert (a in rest) == (copy in rest) and held
    made, _ = parts(MANY, test=[Document(MANY[0].text + "\n", "a")])
    assert not {MANY[0].text} & (texts(made.train) | texts(made.texts) | texts(made.valid))


def test_a_corpus_is_held_out_as_its_documents_are() -> None:
    nameless = [Document(f"text number {i // 3}") for i in range(90)]  # each three times
    tokenizer = Tokenizer.build((d.text for d in nameless), TokenizerConfig(min_freq=1))
    corpus = Corpus.build(nameless, tokenizer)
    for fraction in (0.0, 0.2):
        made = hold_out_encoded(corpus, fraction, 0)
        expected = hold_out(nameless, fraction, 0, stratify=False)
        for part, documents_ in zip(made, expected, strict=True):
            encoded = [tokenizer.encode(d.text).tolist() for d in documents_]
            assert [ids.tolist() for ids in part] == encoded
        assert np.shares_memory(made[0][0], corpus.ids)  # no copy
    assert len(made[1]) == 18
    assert not {i.tobytes() for i in made[0]} & {i.tobytes() for i in made[1]}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 7.0])
def test_fractions_are_fractions(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        hold_out(MANY, fraction, 0)


def test_distinct_and_without() -> None:
    a, b, again = Document("a", "x"), Document("b", "x"), Document("a", "y")
    assert distinct([a, b, again]) == [a, b]  # the first document of a text, at its first place
    assert without([a, b, again], [Document("a")]) == [b]


def parts(
    labelled: list[Document],
    unlabelled: Sequence[Document] = (),
    valid: list[Document] | None = None,
    test: Sequence[Document] = (),
    **config: bool | str,
) -> tuple[Parts, list[str]]:
    said: list[str] = []
    settings = FitConfig(classifier=ClassifierConfig(valid_fraction=0.2), **config)  # type: ignore[arg-type]
    return divide(labelled, unlabelled, valid, test, settings, 0, said.append), said


def texts(documents: list[Document]) -> set[str]:
    return {d.text for d in documents}


def test_held_out_texts_stay_out_of_everything() -> None:
    test = documents(10, "a", 95) + documents(3, "b")  # partly among the labelled
    more = [Document(d.text) for d in [*documents(20, "x"), *test]]
    made, said = parts(MANY, more, test=test)
    held = texts(made.valid) | texts(made.test)
    assert made.test == test and made.valid
    assert not held & (texts(made.train) | texts(made.texts))
    assert texts(made.texts) == texts([*made.train, *documents(20, "x")])
    assert any("8 labelled documents are also in the test set" in line for line in said)
    assert any("not used for the language model" in line for line in said)


def test_transductive_lets_their_texts_in_but_not_their_labels() -> None:
    test = documents(5, "a", 200)
    made, _ = parts(MANY, test=test, transductive=True)
    assert texts(made.test) | texts(made.valid) <= texts(made.texts)
    assert not (texts(made.test) | texts(made.valid)) & texts(made.train)


def test_given_validation_is_used_as_it_is() -> None:
    valid = documents(4, "b", 400)
    assert parts(MANY, valid=valid)[0].valid == valid
    assert parts(MANY, valid=[])[0].valid == []
    assert parts(MANY, valid=[])[0].train == MANY


def test_the_test_set_keeps_what_it_shares_with_the_validation_set() -> None:
    valid, test = documents(4, "b", 400), documents(2, "b", 402)
    made, said = parts(MANY, valid=valid, test=test)
    assert made.valid == valid[:2] and made.test == test
    assert any(
        "2 documents of the validation set are also in the test set" in line for line in said
    )


def test_labels_are_compared_when_held_texts_have_left() -> None:
    """A label that only held texts have can't be learnt."""
    only = documents(3, "only", 0)
    with pytest.raises(ValueError, match="test set has labels that the training set lacks: only"):
        parts(MANY + only, test=only)


def test_labelled_without_labels_are_texts() -> None:
    nameless = [Document("nameless")]
    made, said = parts(MANY + nameless)
    assert "nameless" in texts(made.texts) and "nameless" not in texts(made.train)
    assert "no label" in said[0]


def test_texts_are_for_a_reader() -> None:
    """Without fine-tuning nothing reads them, but for a vocabulary of their own; what is given in vain is said."""
    more = [Document(f"more {i}") for i in range(20)]
    made, said = parts([*MANY, Document("nameless")], more, finetune=False)
    assert made.texts == [] and "language model" not in said[-1]
    assert said[0] == "the language model is not fine-tuned: 20 unlabelled texts are not used"
    assert said[1].endswith("have no label: left out")
    few = FitConfig(
        finetune=False, classifier=ClassifierConfig(pseudo_labels=2 * len(MANY))
    )  # of what is left
    guessing = divide(MANY, more, None, MANY[:1], few, 0, said.append)
    assert texts(guessing.unlabelled) == texts(more) and "not used" not in said[-1]
    made, said = parts(MANY, more, finetune=False, pretrained="none")
    assert texts(more) <= texts(made.texts) and "a new vocabulary" in said[-1] and len(said) == 1
    tiny = FitConfig(finetune=False, lm=FinetuneConfig(max_tokens=7))
    divide(MANY, (), None, (), tiny, 0, said.append)
    assert said[1] == "the language model is not fine-tuned: the settings lm.* are not used"


@pytest.mark.parametrize(
    ("labelled", "reason"),
    [
        ([], "at least two labels"),
        (documents(9), r"at least two labels; found \['a'\]"),
        (
            [*documents(9), Document("x", "lonely")],
            r"1 label has a single example \(lonely\); give each at least two",
        ),
        (
            [Document(f"text {i}", f"l{i}") for i in range(5)],
            "5 labels have a single example .*; give each",
        ),
        (
            [Document("pos", f"{i} {'long ' * 90}") for i in range(200)],
            r"200 labels have a single example \(0 (long )+lon…, 1 .*, … \(200 in all\)\); nearly all .*"
            "are --text-column and --label-column swapped",
        ),
    ],
)
def test_nothing_to_learn_is_said(labelled: list[Document], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_labels(labelled)
    with pytest.raises(ValueError, match=reason):
        parts(labelled)


def test_several_labels_stay_on_both_sides_and_the_rarest_counts() -> None:
    labels = [("a",), ("a", "b"), ("a", "b", "c"), ()]
    pool = [Document(f"text {i}", labels[0 if i % 10 else i // 10 % 4]) for i in range(200)]
    rest, held = hold_out(pool, 0.2, 0)
    assert len(held) == 40
    for part in (rest, held):
        assert {name for d in part for name in d.label} == {"a", "b", "c"}  # type: ignore[union-attr]
    lonely = [*pool, Document("x", ("a", "lonely"))]
    for seed in range(5):  # what would take the last text of a label stays
        assert lonely[-1] in hold_out(lonely, 0.5, seed)[0]


def test_numbers_are_held_at_random() -> None:
    pool = [Document(f"text {i}", float(i)) for i in range(50)]
    rest, held = hold_out(pool, 0.2, 0)
    assert len(held) == 10 and len(rest) == 40 and hold_out(pool, 0.2, 1)[1] != held
    made, _ = parts(pool[:40], test=pool[40:])
    assert (len(made.train), len(made.valid), len(made.test)) == (32, 8, 10)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([1.5, 1.5], r"nothing to learn: all 2 numbers are 1\.5"),
        ([("a",), ("a",)], r"all texts have the same labels \(a\)"),
        ([(), ()], r"the same labels \(none\)"),
        ([("a",), ("a", "b"), ()], "single example.*b"),
        ([("a",), 0.5], "several kinds"),
    ],
)
def test_nothing_to_learn_from_other_kinds_is_said(labels: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_labels([Document(f"text {i}", label) for i, label in enumerate(labels)])


def test_parts_with_labels_of_another_kind_are_refused() -> None:
    with pytest.raises(
        ValueError, match="training set has one class per text, the test set a number"
    ):
        parts(MANY, test=[Document("x", 0.5)])


def test_held_texts_without_labels_are_refused() -> None:
    """Before anything is trained, not when they are scored."""
    for name in ("validation", "test"):
        part = [*documents(2, "a", 200), Document("nameless")]
        with pytest.raises(ValueError, match=f"1 of 3 documents of the {name} set have no label"):
            parts(MANY, **{"valid" if name == "validation" else name: part})  # type: ignore[arg-type]


def test_labels_never_seen_are_refused() -> None:
    for name in ("valid", "test"):
        with pytest.raises(ValueError, match="labels that the training set lacks: new"):
            parts(MANY, **{name: [Document("x", "new")]})  # type: ignore[arg-type]
        texts_as_labels = [Document("a", f"{i}{'long' * 90}") for i in range(7)]
        with pytest.raises(ValueError, match=r"lacks: (\dlo\w{37}…, ){5}… \(7 in all\)"):
            parts(MANY, **{name: texts_as_labels})  # type: ignore[arg-type]


@pytest.mark.parametrize("transductive", [False, True])
def test_no_label_of_a_held_out_text_is_guessed(transductive: bool) -> None:
    """Also where a language model may read it; and of equal texts one is read."""
    valid, test = documents(4, "a", 200), documents(4, "b", 200)
    more = [Document(d.text) for d in [*documents(9, "x"), *valid, *test, *documents(9, "x")]]
    made, _ = parts(MANY, more, valid=valid, test=test, transductive=transductive)
    assert made.unlabelled == more[:9]
    assert len(made.texts) == len(MANY) + 9 + 8 * transductive
    made, _ = parts(MANY, [Document(d.text) for d in MANY], transductive=transductive)
    assert made.valid and texts(made.unlabelled) == texts(made.train)
