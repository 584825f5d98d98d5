"""Points, budget, going on, and what is held out."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY_FIT

from ulmfit.classifier import TextClassifier
from ulmfit.config import FitConfig, OutOfTime, RuntimeConfig
from ulmfit.files.checkpoint import CheckpointError
from ulmfit.insight import label_curve as module
from ulmfit.insight.label_curve import Point, default_sizes, draw_labels, label_curve
from ulmfit.language_model import LanguageModel
from ulmfit.pretrained import find
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import train_classifier
from ulmfit.text.document import Document


@pytest.fixture
def config(lm_directory: Path) -> FitConfig:
    """One short phase on a tiny encoder that is taken as it is."""
    short = {"min_steps": 1, "epochs": (1,), "lr_divisors": (1.0,)}
    classifier = replace(TINY_FIT.classifier, valid_fraction=0.2, **short)
    return replace(TINY_FIT, pretrained=str(lm_directory), finetune=False, classifier=classifier)


@pytest.mark.parametrize("label", [0.5, ("good", "long")])
def test_other_kinds_of_label_are_refused_before_the_work(
    label: Any, config: FitConfig, tmp_path: Path
) -> None:
    labelled = [Document(f"Text {i}.", label) for i in range(20)]
    with pytest.raises(ValueError, match="one class each"):
        label_curve(labelled, config=config, out=tmp_path / "curve")
    assert not (tmp_path / "curve").exists()


def test_points_are_measured_kept_and_added_to(
    reviews: list[Document], config: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {"config": config, "out": tmp_path / "curve"}
    curve = label_curve(reviews, sizes=[24, 8], draws=2, **told)
    assert [(p.labels, p.draw) for p in curve.points] == [(8, 0), (8, 1), (24, 0), (24, 1)]
    assert (curve.at_hand, curve.held_out, curve.missing) == (48, 12, 0)
    assert all(
        0 <= p.accuracy <= 1 and 0 <= p.baseline <= 1 and p.seconds > 0 for p in curve.points
    )
    assert curve.by_size("baseline").keys() == {8, 24}

    few = replace(config, classifier=replace(config.classifier, pseudo_labels=20))
    guessed = list[list[str]]()
    real = module.pseudo_labelled

    def watched(*given: Any, **more: Any) -> list[Document]:
        found = real(*given, **more)
        guessed.append([d.text for d in found])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module, "pseudo_labelled", watched)
        label_curve(reviews, sizes=[8, 24], draws=1, config=few, out=tmp_path / "few")
    assert list(map(len, guessed)) == [12, 0]  # from the labelled texts that were not drawn

    trained = list[tuple[int, int]]()

    def measure(models: Any, parts: Any, labels: int, draw: int, *given: Any) -> Point:
        trained.append((labels, draw))
        return Point(labels, draw, 0.5, 0.5, 1.0)

    monkeypatch.setattr(module, "_measure", measure)
    more = label_curve(reviews, sizes=[8, 24, 48], draws=3, **told)
    assert trained == [(48, 0), (48, 1), (8, 2), (24, 2), (48, 2)]
    assert set(curve.points) < set(more.points) and len(more.points) == 9
    less = label_curve(reviews, sizes=[8], draws=1, **told)
    assert less.points == curve.points[:1] and len(trained) == 5
    with pytest.raises(CheckpointError, match="other settings or data"):
        label_curve(reviews[:50], sizes=[8], draws=1, **told)
    label_curve(reviews[:50], sizes=[8], draws=1, **told, overwrite=True)
    assert trained[5:] == [(8, 0)]  # nothing of the old data is taken


def test_the_same_point_is_the_same_wherever_it_is_measured(
    reviews: list[Document], config: FitConfig, tmp_path: Path
) -> None:
    def measured(name: str, sizes: list[int]) -> dict[tuple[int, int], tuple[float, float]]:
        curve = label_curve(reviews, sizes=sizes, draws=1, config=config, out=tmp_path / name)
        return {(p.labels, p.draw): (p.accuracy, p.baseline) for p in curve.points}

    assert measured("a", [8, 24]).items() >= measured("b", [24]).items()


def test_a_point_is_of_the_classifier_that_fit_would_make(
    reviews: list[Document], config: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, classifier=replace(config.classifier, update_bn=True))
    measured, drawn = list[TextClassifier](), list[list[Document]]()
    real_draw, real_evaluate = module.draw_labels, TextClassifier.evaluate

    def draw(*given: Any) -> list[Document]:
        drawn.append(real_draw(*given))
        return drawn[-1]

    def evaluate(self: TextClassifier, *given: Any, **told: Any) -> Any:
        measured.append(self)
        return real_evaluate(self, *given, **told)

    monkeypatch.setattr(module, "draw_labels", draw)
    monkeypatch.setattr(TextClassifier, "evaluate", evaluate)
    label_curve(reviews, sizes=[24], draws=1, config=config, out=tmp_path / "curve")
    lm, runtime = (
        LanguageModel.load(find(config.pretrained, "forward")),
        Runtime.start(RuntimeConfig()),
    )
    with Run.open(tmp_path / "run", {}, "") as run:
        told = {"config": config.classifier, "runtime": runtime, "run": run}
        made = train_classifier(lm, drawn[0], **told)
    for name, tensor in measured[0].net.state_dict().items():
        assert torch.equal(tensor, made.net.state_dict()[name]), name


def test_the_language_model_reads_no_held_out_text_and_is_made_once(
    reviews: list[Document], config: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, scored = list[str](), list[str]()

    def finetune(lm: LanguageModel, texts: list[Document], **told: Any) -> LanguageModel:
        read.extend(d.text for d in texts)
        return lm

    def measure(models: Any, parts: Any, labels: int, draw: int, *given: Any) -> Point:
        scored.extend(d.text for d in parts.test)
        return Point(labels, draw, 0.5, 0.5, 1.0)

    monkeypatch.setattr(module, "finetune_lm", finetune)
    monkeypatch.setattr(module, "_measure", measure)
    more = [Document("seen without a label"), Document(reviews[0].text), Document(reviews[1].text)]
    label_curve(
        reviews, unlabelled=more, draws=2, config=replace(config, finetune=True), out=tmp_path / "c"
    )
    assert Counter(scored).keys().isdisjoint(read)
    assert "seen without a label" in read and max(Counter(read).values()) == 1


def test_a_test_set_takes_the_place_of_the_held_out_part(
    reviews: list[Document], config: FitConfig, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"config": config, "out": tmp_path / "c", "draws": 1, "sizes": [8]}
    curve = label_curve(reviews[:40], test=reviews[40:], **told)
    assert (curve.at_hand, curve.held_out) == (40, 20)


def test_the_budget_begins_nothing_that_would_not_end(
    reviews: list[Document], config: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "_measure", lambda models, parts, n, draw, *given: Point(n, draw, 0.5, 0.5, 6.0 * n)
    )
    said = list[str]()
    told: dict[str, Any] = {"config": config, "out": tmp_path / "c", "draws": 2, "say": said.append}
    curve = label_curve(reviews, sizes=[8, 16, 48], budget_minutes=2, **told)
    # 8 labels took 48 s, so 16 take 96 s, which fits, and 48 take 288 s, which does not.
    assert [(p.labels, p.draw) for p in curve.points] == [(8, 0), (8, 1), (16, 0), (16, 1)]
    assert curve.missing == 2 and "2 of 6 points" in said[-1]
    assert label_curve(reviews, sizes=[8, 16, 48], **told).missing == 0


def test_out_of_time_is_said_and_the_same_call_goes_on(
    reviews: list[Document], config: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(models: Any, parts: Any, n: int, draw: int, config: Any, machine: Any) -> Point:
        machine.ends_at = 0.0  # the minutes end while this point is at work
        return Point(n, draw, 0.5, 0.5, 1.0)

    monkeypatch.setattr(module, "_measure", measure)
    told: dict[str, Any] = {"sizes": [8, 16], "draws": 1, "config": config, "out": tmp_path / "c"}
    with pytest.raises(OutOfTime):
        label_curve(reviews, **told)
    assert len(label_curve(reviews, **told).points) == 2


def test_draws_have_every_label_twice_and_their_own_seed() -> None:
    pool = [Document(f"text {i}", "abc"[(i % 10 == 0) + (i % 20 == 0)]) for i in range(200)]
    for seed in ("0", "1", "2"):
        few = draw_labels(pool, 6, seed)
        assert Counter(d.label for d in few) == {"a": 2, "b": 2, "c": 2}
        assert len(set(draw_labels(pool, 50, seed))) == 50
    assert draw_labels(pool, 50, "0") == draw_labels(pool, 50, "0") != draw_labels(pool, 50, "1")
    with pytest.raises(ValueError, match=r"5 labels are too few to learn 3 classes.*at least 6"):
        draw_labels(pool, 5, "0")


def test_default_sizes_are_all_labels_and_halves() -> None:
    assert default_sizes(800, 50) == [50, 100, 200, 400, 800]
    assert default_sizes(800, 120) == [200, 400, 800]
    assert default_sizes(1001, 2)[-1] == 1001


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"sizes": [2]}, "sizes 2: expected numbers of labels from 4 .* to 48"),
        ({"sizes": [8, 60]}, "from 4 .* to 48, which is what is left"),
        ({"sizes": []}, "expected numbers of labels"),
        ({"draws": 0}, "draws must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_written(
    told: dict[str, Any], why: str, reviews: list[Document], config: FitConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=why):
        label_curve(reviews, config=config, out=tmp_path / "curve", **told)
    assert not (tmp_path / "curve").exists()


def test_too_few_labels_for_the_usual_sizes_are_said_before_anything_is_written(
    reviews: list[Document], config: FitConfig, tmp_path: Path
) -> None:
    usual = replace(config, classifier=replace(config.classifier, head_only_below=50))
    with pytest.raises(ValueError, match=r"48 labels are left .* start at 50.*with --sizes"):
        label_curve(reviews, config=usual, out=tmp_path / "curve")
    assert not (tmp_path / "curve").exists()


def test_too_few_documents_to_hold_any_out(config: FitConfig, tmp_path: Path) -> None:
    few = [Document("one", "a"), Document("two", "b")]
    with pytest.raises(ValueError, match="2 labelled documents are too few to hold any out"):
        label_curve(few, config=config, out=tmp_path / "curve")
