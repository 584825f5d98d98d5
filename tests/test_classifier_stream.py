"""A text read in pieces is the text read at once: any cutting, any length, every kind of label."""

import random
from dataclasses import replace

import pytest
import torch
from tiny import TINY

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.ensemble import Ensemble
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import BoundedNumber, MultiLabel, Outputs, SingleLabel
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.training.calibration import Calibration

LABELS = ("bad", "good", "so so")


def made(lm: LanguageModel, outputs: Outputs, bptt: int = 6, max_len: int = 17) -> TextClassifier:
    """Untrained, but of many opinions."""
    classifier = TextClassifier.create(lm, outputs, ClassifierConfig(bptt=bptt, max_len=max_len))
    for norm in classifier.net.head.norms:
        norm.running_mean.normal_()  # type: ignore[operator,union-attr]
        norm.running_var.uniform_(0.01, 0.1)  # type: ignore[operator,union-attr]
    return classifier


def numbers(prediction: object) -> list[float]:
    found = vars(prediction)
    return list(found["probabilities"].values()) if "probabilities" in found else [found["value"]]


@pytest.mark.parametrize(
    "outputs",
    [
        SingleLabel(LABELS, Calibration(temperature=1.7)),
        MultiLabel(LABELS),
        BoundedNumber(1.0, 5.0),
    ],
    ids=lambda outputs: outputs.kind,
)
def test_any_cutting_gives_the_prediction_of_the_whole(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime, outputs: Outputs
) -> None:
    classifier, draw = made(lm, outputs), random.Random(0)
    different = set()
    for document in reviews[:12]:
        text = f"{document.text} no no no<br />GREAT... &amp; so 3333 on\n\n" * draw.randrange(1, 4)
        stream, done = classifier.stream(runtime), 0
        while done < len(text):
            piece = text[done : done + draw.randrange(1, 40)]
            stream.feed(piece)
            done += len(piece)
        whole = classifier.predict(text, runtime)
        assert type(stream.prediction()) is type(whole)
        assert numbers(stream.prediction()) == pytest.approx(numbers(whole), abs=1e-5)
        different.add(round(numbers(whole)[0], 5))
    assert len(different) > 6


@pytest.mark.parametrize(
    ("bptt", "max_len"), [(6, 17), (6, 18), (7, 7), (5, 1000), (1, 1), (50, 60)]
)
def test_the_pooled_window_is_the_same_at_every_length(
    lm: LanguageModel, runtime: Runtime, bptt: int, max_len: int
) -> None:
    """Asked at any time, as if the text ended there; asking changes nothing."""
    classifier, draw = made(lm, SingleLabel(LABELS), bptt, max_len), random.Random(1)
    words = ["great", "film", "awful", "the", "cast", "and", "plot", "boring"]
    stream, text = classifier.stream(runtime), ""
    assert numbers(stream.prediction()) == pytest.approx(
        numbers(classifier.predict("", runtime)), abs=1e-5
    )
    for _ in range(60):
        piece = draw.choice(words) + " "
        stream.feed(piece)
        text += piece
        expected = numbers(classifier.predict(text, runtime))
        assert numbers(stream.prediction()) == pytest.approx(expected, abs=1e-5)
    assert stream.tokens > 50


def test_what_is_kept_does_not_grow(lm: LanguageModel, runtime: Runtime) -> None:
    stream = made(lm, SingleLabel(LABELS)).stream(runtime)
    for i in range(200):
        stream.feed(f"the film {i} and the cast were great, and then ")
        assert len(stream._so_far.chunks) <= 17 // 6 + 2
        kept = [stream._so_far.last, *(t for c in stream._so_far.chunks for t in c[1:])]
        for tensor in kept:  # no view of a larger one
            assert (
                tensor is not None and tensor.untyped_storage().nbytes() == TINY.embedding_size * 4
            )
    assert stream.tokens > 2000


def test_another_text_by_the_same_weights(lm: LanguageModel, runtime: Runtime) -> None:
    classifier = made(lm, SingleLabel(LABELS))
    first = classifier.stream(runtime)
    first.feed("an awful film")
    other = first.another()
    other.feed("the cast was great")
    for stream, text in ((first, "an awful film"), (other, "the cast was great")):
        expected = numbers(classifier.predict(text, runtime))
        assert numbers(stream.prediction()) == pytest.approx(expected, abs=1e-5)
    assert other._encoder is first._encoder


def test_a_call_reads_the_new_words_only(lm: LanguageModel, runtime: Runtime) -> None:
    stream = made(lm, SingleLabel(LABELS)).stream(runtime)
    read, real = [], stream._encoder
    stream._encoder = lambda t, s: (read.append(t.shape[1]), real(t, s))[1]
    stream.feed("the film and the cast were great and " * 30)
    before = len(read)
    for word in ["it", "was", "a", "lovely", "plot", "with", "music"]:
        stream.feed(word + " ")
        stream.prediction()
    assert max(read[before:]) <= 6 and sum(read[:before]) > 200


def test_a_classifier_that_streamed_can_still_be_trained(
    lm: LanguageModel, runtime: Runtime
) -> None:
    classifier = made(lm, SingleLabel(LABELS))
    stream = classifier.stream(runtime)
    stream.feed("the film and the cast were great ")
    stream.prediction()
    logits = classifier.net.train()(torch.tensor([[2, 3], [2, 4]]), torch.tensor([2, 2])).logits
    logits.sum().backward()
    stream.feed("and more of it")  # and the other way round: it sets dropout aside
    assert stream.prediction() == stream.prediction()


def test_what_must_see_the_end_refuses(lm: LanguageModel) -> None:
    forward = made(lm, SingleLabel(LABELS))
    backward = TextClassifier(
        forward.net, forward.tokenizer, replace(TINY, direction="backward"), LABELS
    )
    with pytest.raises(ValueError, match=r"begins at the end of a text.*use a forward one"):
        backward.stream()
    with pytest.raises(ValueError, match=r"begins at the end of a text.*RUN/forward/classifier"):
        Ensemble([forward, backward]).stream()
