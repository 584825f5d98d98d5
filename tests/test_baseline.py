"""The yardstick learns what one word decides."""

from ulmfit.baseline import baseline_accuracy, baseline_metrics, train_baseline
from ulmfit.text.document import Document


def test_one_word_is_enough(reviews: list[Document]) -> None:
    assert baseline_accuracy(reviews[:40], reviews[40:]) == 1.0
    flipped = [Document(d.text, {"good": "bad", "bad": "good"}[str(d.label)]) for d in reviews]
    assert baseline_accuracy(reviews[:40], flipped[40:]) == 0.0


def test_labels_are_strings(reviews: list[Document]) -> None:
    pipeline = train_baseline(reviews)
    assert list(pipeline.predict(["awful", "superb"])) == ["bad", "good"]  # type: ignore[attr-defined]


def test_every_kind_of_label_has_its_yardstick(reviews: list[Document]) -> None:
    several = [Document(d.text, ("film",) * ("film" in d.text) + (str(d.label),)) for d in reviews]
    found = baseline_metrics(several[:40], several[40:])
    assert found["micro_f1"] > 0.9 and found["average_precision"] > 0.9
    numbers = [Document(d.text, 3.5 if d.label == "good" else -1.0) for d in reviews]
    found = baseline_metrics(numbers[:40], numbers[40:])
    assert found["r2"] > 0.5 and found.keys() == {"mae", "rmse", "r2"}
    assert baseline_metrics(reviews[:40], reviews[40:])["accuracy"] == 1.0
