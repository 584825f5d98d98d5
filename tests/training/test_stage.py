"""A stage: printed before it is run, measured on a copy, and its best epoch kept."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY
from torch import nn

from ulmfit.config import NO_DROPOUT, OutOfTime
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.losses import classifier_loss, lm_loss
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.log import Log
from ulmfit.training.loop import Batches, Optim
from ulmfit.training.phases import Phase
from ulmfit.training.resume import ResumePoint
from ulmfit.training.schedule import OneCycle
from ulmfit.training.stage import KeepBest, Stage, WarmUp, as_table


@pytest.fixture
def stage(reviews: list[Document], tokenizer: Tokenizer) -> Stage:
    return Stage(
        name="language model",
        net=LMNet(len(tokenizer), TINY, NO_DROPOUT),
        loss_fn=lm_loss,
        batches=LMBatches(Corpus.build(reviews, tokenizer), 4, 10, shuffle=True),
        phases=[Phase(1, (0.0, 0.0, 1e-2), OneCycle()), Phase(2, (1e-3,) * 3, OneCycle())],
        optim=Optim(0.1),
    )


def test_the_plan_names_groups_rates_and_size(stage: Stage) -> None:
    title, header, first, second = stage.plan().splitlines()
    steps = stage.batches.steps_per_epoch
    assert title.startswith("language model: 0.0 M parameters") and f"{3 * steps:,} steps" in title
    assert header.split() == [
        "phase",
        "epochs",
        "steps",
        "lstm.0",
        "lstm.1",
        "embedding",
        "schedule",
    ]
    assert first.split()[1:6] == ["1", f"{steps}", "frozen", "frozen", "1.0e-02"]
    assert second.split()[1:6] == ["2", f"{2 * steps}", "1.0e-03", "1.0e-03", "1.0e-03"]


def test_the_facts_are_the_plan_as_plain_data(stage: Stage) -> None:
    facts = json.loads(json.dumps(stage.facts()))
    steps = stage.batches.steps_per_epoch
    assert [p["steps"] for p in facts["phases"]] == [steps, 2 * steps]
    assert facts["phases"][0]["lrs"] == [0.0, 0.0, 1e-2]
    assert facts["groups"] == ["lstm.0", "lstm.1", "embedding"] and facts["first"] is None
    assert facts["tokens"] == 3 * stage.batches.corpus.n_tokens  # type: ignore[attr-defined]
    rates = facts["phases"][1]["rates"]
    assert rates["7"] == pytest.approx(OneCycle()(7 / (2 * steps)))
    stage.phases = [Phase(1000, (1e-3,) * 3)]
    (long,) = stage.facts()["phases"]
    assert 50 <= len(long["rates"]) <= 100 and max(long["rates"]) < long["steps"]


def test_a_warm_up_comes_first_and_not_again(
    stage: Stage, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[object] = []
    stage.warm_up = WarmUp("a look at the words", warmed.append)
    assert stage.plan().splitlines()[1] == "first: a look at the words"
    assert stage.estimate(runtime) > 0 and not warmed  # a plan warms nothing up
    point = ResumePoint(tmp_path / "point", "a")
    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "out_of_time", lambda self: True)
        with pytest.raises(OutOfTime):
            stage.train(runtime, resume=point)
    stage.train(runtime, resume=point)
    stage.train(runtime)  # by hand, further
    assert warmed == [stage.net]


def test_the_estimate_trains_a_copy(stage: Stage, runtime: Runtime) -> None:
    before = {n: t.clone() for n, t in stage.net.state_dict().items()}
    assert stage.estimate(runtime) > 0
    assert all(torch.equal(before[n], t) for n, t in stage.net.state_dict().items())
    assert all(p.requires_grad for p in stage.net.parameters())


class Clock:
    """Time that passes only where a test says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ulmfit.training.stage.time", clock)
    return clock


class Slow:
    """Batches whose epoch takes a thousand seconds to put together."""

    def __init__(self, batches: Batches, clock: Clock) -> None:
        self.steps_per_epoch, self.steady = batches.steps_per_epoch, batches.steady
        self.corpus = getattr(batches, "corpus", None)
        self._batches, self._clock = batches, clock

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        self._clock.now += 1000
        yield from self._batches.epoch(epoch, start)


def test_the_estimate_counts_neither_the_first_step_nor_how_batches_are_made(
    stage: Stage, runtime: Runtime, clock: Clock
) -> None:
    steps = iter([70.0, *[2.0] * 1000])  # the first warms up

    def loss_fn(net: Any, batch: Any, carry: Any) -> Any:
        clock.now += next(steps)
        return lm_loss(net, batch, carry)

    stage.loss_fn, stage.batches = loss_fn, Slow(stage.batches, clock)
    assert stage.estimate(runtime) == pytest.approx(2.0 * stage.steps())


def test_the_estimate_of_a_classifier_goes_by_tokens(
    reviews: list[Document], tokenizer: Tokenizer, runtime: Runtime, clock: Clock
) -> None:
    """Its first batch holds the longest document, and others differ, too."""
    texts = [
        Document(f"{r.text} " * (40 if n == 7 else 1 + n % 5), r.label)
        for n, r in enumerate(reviews)
    ]
    corpus = Corpus.build(texts, tokenizer)

    def loss_fn(net: Any, batch: Any, carry: Any) -> Any:
        clock.now += float(batch.lengths.sum())  # a second a token
        return classifier_loss(net, batch, carry)

    net = ClassifierNet(len(tokenizer), TINY, NO_DROPOUT, 2, bptt=10)
    phases = [Phase(2, (1e-3,) * len(net.layer_groups()))]
    batches = Slow(DocumentBatches(corpus, 4, shuffle=True), clock)
    stage = Stage("classifier", net, loss_fn, batches, phases, Optim(0.1))
    assert batches.steps_per_epoch > 5
    assert stage.estimate(runtime) == pytest.approx(2 * corpus.n_tokens)
    head_first = [Phase(3, (0.0, 0.0, 0.0, 1e-2)), *phases]  # a step of the head takes a third
    stage = replace(stage, phases=head_first)
    assert stage.estimate(runtime) == pytest.approx((1 + 2) * corpus.n_tokens)


def test_an_epoch_of_one_step_is_estimated(stage: Stage, runtime: Runtime, clock: Clock) -> None:
    def loss_fn(net: Any, batch: Any, carry: Any) -> Any:
        clock.now += 2.0
        return lm_loss(net, batch, carry)

    assert isinstance(stage.batches, LMBatches)
    stage.batches = LMBatches(stage.batches.corpus, 4, 10**6, shuffle=True)
    stage.loss_fn = loss_fn
    assert stage.batches.steps_per_epoch == 1 and stage.estimate(runtime) == 2.0 * stage.steps()


def test_training_lowers_the_loss(stage: Stage, runtime: Runtime, tmp_path: Path) -> None:
    lines: list[str] = []
    stage.train(runtime, Log(stage.name, tmp_path / "metrics.jsonl", lines.append))
    first, *_, last = [float(line.split()[2]) for line in lines[1:]]
    assert last < first


def test_without_a_log_nothing_is_said(
    stage: Stage, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.groups == 3
    stage.train(runtime)
    assert capsys.readouterr().out == ""


class Fixed:
    """A net whose weight is the number of evaluations so far, with accuracies told in advance."""

    def __init__(self, net: nn.Linear, accuracies: list[float]) -> None:
        self.net, self.rest = net, iter(accuracies)

    def __call__(self) -> dict[str, float]:
        self.net.weight.data += 1
        return {"valid_accuracy": next(self.rest), "valid_macro_f1": 0.0}


class NoBatches:
    steps_per_epoch, steady = 1, False

    def epoch(self, epoch: int, start: int = 0) -> Iterator[None]:
        return iter(())


def stage_of(net: nn.Linear, accuracies: list[float] | None) -> Stage:
    evaluate = None if accuracies is None else Fixed(net, accuracies)
    return Stage(
        "s", net, lambda net, batch, carry: (None, None), NoBatches(), [], Optim(0.0), evaluate
    )


def test_keep_best_outlives_a_restart_and_the_first_of_equals_wins(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    net.weight.data.zero_()
    for accuracies in ([0.5, 0.75], [0.75, 0.25]):  # interrupted after two epochs
        best = KeepBest(
            stage_of(net, accuracies), "valid_accuracy", tmp_path / "classifier, forward"
        )
        assert [best()["valid_accuracy"] for _ in accuracies] == accuracies
    assert net.weight.item() == 4
    assert best.restore()["valid_accuracy"] == 0.75
    assert net.weight.item() == 2


def test_keep_best_wants_something_to_choose_by(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="validation set"):
        KeepBest(stage_of(nn.Linear(1, 1), None), "valid_accuracy", tmp_path)


def test_tables_are_aligned() -> None:
    table = as_table([{"a": "1", "long name": "x"}, {"a": "10,000", "long name": "y"}])
    assert table == "a       long name\n1       x\n10,000  y"


@pytest.mark.parametrize(("lowest", "kept"), [(False, 2.0), (True, 0.5)])
def test_of_an_error_the_lowest_is_kept(
    lowest: bool, kept: float, stage: Stage, tmp_path: Path
) -> None:
    figures = iter([1.0, 2.0, 0.5, 0.7])
    stage.evaluate = lambda: {"valid_figure": next(figures)}
    best = KeepBest(stage, "valid_figure", tmp_path / "best", lowest=lowest)
    for _ in range(4):
        best()
    assert best.restore() == {"valid_figure": kept}


def test_a_figure_that_is_none_is_not_the_best(stage: Stage, tmp_path: Path) -> None:
    figures = iter([float("nan"), 0.5, float("nan")])
    stage.evaluate = lambda: {"valid_figure": next(figures)}
    best = KeepBest(stage, "valid_figure", tmp_path / "best")
    for _ in range(3):
        best()
    assert best.restore() == {"valid_figure": 0.5}
