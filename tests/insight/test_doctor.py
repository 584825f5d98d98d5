"""What is planted in the texts is counted, in the right part and row, and nothing else is."""

import random
from dataclasses import replace

import pytest
import torch

from ulmfit.config import NO_DROPOUT, FitConfig
from ulmfit.insight.advice import findings
from ulmfit.insight.doctor import examine
from ulmfit.insight.doctor_report import Place, Report
from ulmfit.nn.heads import ClassifierNet
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import tokenize

DRAW = random.Random(2)
LONG = ["the " + " ".join(DRAW.choices("abcdefghijklmnop", k=40)) for _ in range(30)]


def documents(texts: list[str], *labels: str | None) -> list[Document]:
    return [Document(text, labels[i % len(labels)]) for i, text in enumerate(texts)]


def look(train: list[Document], **more: object) -> Report:
    return examine(train, **{"pretrained": "none", **more})  # type: ignore[arg-type]


def test_texts_in_order_give_nothing() -> None:
    report = look(documents(LONG[:20], "a", "b"), test=documents(LONG[20:], "a", "b"))
    assert list(report.parts) == ["train", "test"]
    part = report.parts["train"]
    assert (part.texts, part.empty, part.copies, part.near_copies, part.long) == (20, 0, 0, 0, 0)
    assert report.classes == {"a": 10, "b": 10} and report.new_labels == {}
    (overlap,) = report.overlaps
    assert (overlap.equal, overlap.near) == (0, 0)
    assert not report.two_labels and not report.near_two_labels
    assert not any(report.characters.values()) and report.coverage is None


def test_several_labels_are_counted_each_and_numbers_not() -> None:
    several = [
        Document(text, labels)
        for text, labels in zip(LONG[:3], [("a",), ("a", "b"), ()], strict=True)
    ]
    report = look(several, test=[Document(LONG[9], ("c",))])
    assert (report.label_kind, report.classes) == ("multi", {"a": 2, "b": 1})
    assert report.new_labels == {"test": ["c"]}
    report = look([Document(text, float(i)) for i, text in enumerate(LONG[:5])])
    assert (report.label_kind, report.classes) == ("number", {})
    assert "numbers" in " ".join(finding.found for finding in findings(report, []))
    twice = look([Document(LONG[0], 4.0)], test=[Document(LONG[0], 4.5), Document(LONG[1], 3.0)])
    (overlap,) = twice.overlaps
    assert "4" in str(overlap) and "no label" not in str(overlap)


def test_copies_overlap_and_labels_are_counted_with_their_places() -> None:
    near = LONG[1].replace("the", "The...") + " again"
    train = [
        *documents(LONG[:3], "a"),
        Document(""),
        Document(f"{LONG[0]}\n", "b"),
        Document(near, "c"),
    ]
    report = look(train, test=[Document(LONG[0], "a"), Document(LONG[2] + " again", "d")])
    part = report.parts["train"]
    assert (part.texts, part.empty, part.unlabelled) == (6, 1, 1)
    assert (part.copies, part.near_copies) == (1, 1)
    assert report.two_labels.texts == {"train": 2, "test": 1}
    (example,) = report.two_labels.examples
    assert example.places == (Place("train", 1, "a"), Place("train", 5, "b"))
    assert report.near_two_labels.texts == {"train": 3, "test": 1}
    (overlap,) = report.overlaps
    assert (overlap.first, overlap.second, overlap.equal, overlap.near) == ("train", "test", 1, 1)
    assert overlap.examples[1].places == (Place("train", 3, "a"), Place("test", 2, "d"))
    assert overlap.examples[1].text.endswith("(97% alike)")
    assert report.new_labels == {"test": ["d"]}


def test_lengths_are_those_of_the_tokenizer() -> None:
    texts = ["word " * n for n in (1, 2, 3, 4, 200)]
    part = look(
        documents(texts, "a", "b"), classifier=replace(FitConfig.classifier, max_len=10)
    ).parts["train"]
    lengths = sorted(len(tokenize(text)) for text in texts)
    assert part.tokens == {
        "median": lengths[2],
        "90%": lengths[4],
        "99%": lengths[4],
        "longest": lengths[4],
    }


@pytest.mark.parametrize("length", [1, 10, 20, 21, 23, 24, 47, 100])
def test_what_is_pooled_is_what_the_classifier_pools(length: int) -> None:
    from tiny import TINY

    config = replace(FitConfig.classifier, max_len=20, bptt=7)
    net = ClassifierNet(5, TINY, NO_DROPOUT, 2, bptt=7, max_len=20)
    tokens = torch.full((1, length), 4)
    _, kept = net.read(tokens, torch.tensor([length]))
    text = " ".join(DRAW.choices("bcdfghjk", k=length - 1))  # and xxbos
    part = look([Document(text or "", "a"), Document("b", "b")], classifier=config).parts["train"]
    assert part.long == (length > 20)
    assert part.pooled == pytest.approx(int(kept.sum()) / length)


def test_coverage_counts_what_encoding_makes_unknown(lm_directory, tokenizer: Tokenizer) -> None:
    texts = ["the film and zorgon zorgon", "the plot quux"]
    report = examine(
        documents(texts, "a", "b"), pretrained=str(lm_directory), test=[Document("unheard", "a")]
    )
    ids = [i for text in texts for i in tokenizer.encode(text)]
    assert report.coverage
    assert report.coverage.unknown == ids.count(0) / len(ids)
    assert "quux" in report.coverage.words and "unheard" not in report.coverage.words


def test_words_that_fine_tuning_would_add_are_known_afterwards(lm_directory) -> None:
    texts = ["the film zorgon", "zorgon and the plot", "zorgon quux"]
    found = examine(documents(texts, "a", "b"), pretrained=str(lm_directory)).coverage
    assert found and found.words == {"zorgon": 3, "quux": 1}
    assert found.unknown_after == pytest.approx(found.unknown / 4)


def test_without_texts_there_is_nothing_to_examine(lm_directory) -> None:
    with pytest.raises(ValueError, match="no texts to examine"):
        examine([Document(" ", "a")], pretrained=str(lm_directory))
    with pytest.raises(ValueError, match="no language model"):
        examine([Document("text", "a")], pretrained="nosuch")
