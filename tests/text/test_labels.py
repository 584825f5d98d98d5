"""Labels as arrays, whatever they are."""

import numpy as np
import pytest

from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.labels import classes_to_learn, kind_of, label_array, label_names, names_of
from ulmfit.text.tokenizer import Tokenizer

ONE, SEVERAL, NUMBERS = ["b", None, "a"], [("b", "a"), (), None, ("a",)], [1.5, None, -2.0]


def test_the_kind_follows_from_the_labels() -> None:
    assert [kind_of(labels) for labels in (ONE, SEVERAL, NUMBERS, [None], [])] == [
        "single",
        "multi",
        "number",
        "single",
        "single",
    ]
    assert kind_of([1, True]) == "single"  # people write Document(text, 1)
    with pytest.raises(ValueError, match=r"several kinds \(\('a',\) is several labels; 0\.5 is a"):
        kind_of([("a",), 0.5])


def test_names() -> None:
    assert label_names(SEVERAL) == label_names(ONE) == ("a", "b")
    assert label_names(NUMBERS) == names_of(0.5) == ()
    assert names_of(("b", "a")) == ("b", "a") and names_of(1) == ("1",)


def test_too_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.text.labels.MOST_CLASSES", 3)
    assert classes_to_learn([*"abcd", *"abcd"]) == tuple("abcd")  # two documents each
    assert classes_to_learn([*"abc"]) == tuple("abc")
    with pytest.raises(ValueError, match=r"4 classes in 5 labelled .*--label-column"):
        classes_to_learn([*"abcda"])


def test_arrays() -> None:
    one, several, numbers = (label_array(labels, ("a", "b")) for labels in (ONE, SEVERAL, NUMBERS))
    assert one is not None and several is not None and numbers is not None
    assert (one.tolist(), one.dtype) == ([1, -1, 0], np.int64)
    np.testing.assert_array_equal(several, [[1, 1], [0, 0], [np.nan, np.nan], [1, 0]])
    np.testing.assert_array_equal(numbers, [1.5, np.nan, -2])
    assert several.dtype == numbers.dtype == np.float32
    assert label_array([None, None], ("a",)) is None
    for labels in (["a", "c"], [("a",), ("b", "c")]):
        with pytest.raises(ValueError, match="Document 2 has the label 'c'; known are 'a', 'b'"):
            label_array(labels, ("a", "b"))


@pytest.mark.parametrize("labels", [ONE, SEVERAL, NUMBERS])
def test_a_corpus_keeps_them_on_disk_and_in_parts(labels, tokenizer: Tokenizer, tmp_path) -> None:
    documents = [Document(f"text {i}", label) for i, label in enumerate(labels)]
    wanted = label_array(labels, label_names(labels))
    Corpus.build(documents, tokenizer, path=tmp_path / "c")
    made = Corpus.load(tmp_path / "c")
    assert made.labels is not None and wanted is not None and made.labels.dtype == wanted.dtype
    np.testing.assert_array_equal(made.labels, wanted)
    back = [d.label for d in made.without_texts()]
    assert back == [tuple(sorted(x)) if isinstance(x, tuple) else x for x in labels]
    part = made.subset([2, 0]).labels
    np.testing.assert_array_equal([] if part is None else part, wanted[[2, 0]])
    others = [Document(d.text, d.label) for d in reversed(documents)]
    assert Corpus.build(others, tokenizer).fingerprint != made.fingerprint
