"""The yardstick learns what one word decides."""

from ulmfit.baseline import baseline_accuracy, train_baseline
from ulmfit.text.document import Document


def test_one_word_is_enough(reviews: list[Document]) -> None:
    assert baseline_accuracy(reviews[:40], reviews[40:]) == 1.0
    flipped = [Document(d.text, {"good": "bad", "bad": "good"}[str(d.label)]) for d in reviews]
    assert baseline_accuracy(reviews[:40], flipped[40:]) == 0.0


def test_labels_are_strings(reviews: list[Document]) -> None:
    pipeline = train_baseline(reviews)
    assert list(pipeline.predict(["awful", "superb"])) == ["bad", "good"]  # type: ignore[attr-defined]
