"""The loop: fastai's optimizer to the number, freezing, schedules, and resuming to the bit."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY
from torch import Tensor, nn

from ulmfit.config import CLASSIFIER_DROPOUT, LM_DROPOUT, NO_DROPOUT, OutOfTime
from ulmfit.nn.heads import ClassifierNet, LMNet
from ulmfit.nn.kernels.sampled_cross_entropy import NegativeSampler
from ulmfit.nn.losses import classifier_loss, lm_loss
from ulmfit.runtime import Runtime
from ulmfit.text.batches import DocumentBatches, LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.log import Log
from ulmfit.training.loop import (
    Optim,
    build_optimizer,
    evaluate_loss,
    fit,
    freeze,
    set_rates,
    step_cost,
    work_until,
)
from ulmfit.training.phases import Phase
from ulmfit.training.resume import ResumePoint
from ulmfit.training.schedule import OneCycle
from ulmfit.training.watch import DivergedError


class Golden(nn.Module):
    """The net that fastai's twenty steps were recorded with."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.m = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"lstm": list(self.lstm.parameters()), "rest": list(self.m.parameters())}


def test_twenty_steps_of_adam_are_fastais(goldens: Path, runtime: Runtime) -> None:
    recorded = json.loads((goldens / "adam_20_steps.json").read_text())
    tensors = load_file(goldens / "adam_20_steps.safetensors")
    net, steps = Golden(), recorded["steps"]
    parameters = dict(net.named_parameters())
    assert list(parameters) == recorded["names"]
    for name, parameter in parameters.items():
        parameter.data.copy_(tensors[f"p0.{name}"])
    optimizer = build_optimizer(net, steps[0]["wd"], runtime)
    for number, step in enumerate(steps):
        set_rates(optimizer, step["lr"], step["mom"])
        for name, parameter in parameters.items():
            parameter.grad = tensors[f"g{number:02}.{name}"].clone()
        optimizer.step()
        for name, parameter in parameters.items():
            torch.testing.assert_close(
                parameter.detach(), tensors[f"p{number + 1:02}.{name}"], atol=1e-6, rtol=1e-5
            )


def test_what_decays_is_what_fastai_decays(goldens: Path, runtime: Runtime) -> None:
    """LSTM biases do (fastai's `nn.LSTM.bias` is a flag), BatchNorm and other biases do not."""
    wanted = json.loads((goldens / "adam_20_steps.json").read_text())["do_wd"]
    net = Golden()
    assert decayed(net, runtime) == {name for name, decays in wanted.items() if decays}
    lm = LMNet(20, TINY, NO_DROPOUT)
    assert decayed(lm, runtime) == {n for n, _ in lm.named_parameters()} - {"decoder_bias"}
    classifier = ClassifierNet(20, TINY, NO_DROPOUT, 2)
    exempt = {n for n, _ in classifier.named_parameters()} - decayed(classifier, runtime)
    assert exempt == {f"head.norms.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def decayed(net: nn.Module, runtime: Runtime) -> set[str]:
    names = {id(p): name for name, p in net.named_parameters()}
    groups = build_optimizer(net, 0.1, runtime).param_groups
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(names)  # each once
    return {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}


# ---- the two trainings of the library, as small as they go ----


Training = Callable[..., nn.Module]
FROZEN_FIRST = [
    Phase(1.0, (0.0, 0.0, 1e-2), OneCycle()),
    Phase(1.5, (1e-3, 2e-3, 4e-3), OneCycle()),
]


@pytest.fixture
def train_lm(reviews: list[Document], tokenizer: Tokenizer, runtime: Runtime) -> Training:
    """Dropout, carried state and the sampled softmax: all that draws random numbers."""
    corpus = Corpus.build(reviews[:30], tokenizer)
    counts = torch.bincount(torch.from_numpy(corpus.ids.astype("int64")), minlength=len(tokenizer))
    loss = partial(lm_loss, sampler=NegativeSampler(counts, 16))
    batches = LMBatches(corpus, 4, 10, shuffle=True)
    make = partial(LMNet, len(tokenizer), TINY, LM_DROPOUT)
    return partial(train, make, loss, batches, runtime)


@pytest.fixture
def train_classifier(reviews: list[Document], tokenizer: Tokenizer, runtime: Runtime) -> Training:
    corpus = Corpus.build(reviews, tokenizer)
    batches = DocumentBatches(corpus, 8, shuffle=True)
    make = partial(ClassifierNet, len(tokenizer), TINY, CLASSIFIER_DROPOUT, 2, bptt=5)
    return partial(train, make, classifier_loss, batches, runtime, groups=4)


def train(
    make: Callable[[], nn.Module],
    loss_fn: Any,
    batches: Any,
    runtime: Runtime,
    *,
    groups: int = 3,
    resume: ResumePoint | None = None,
    stop_at: int | None = None,
    after_epoch: Callable[[], None] = lambda: None,
    seed: int = 3,
    watch: Callable[[nn.Module, int], None] = lambda net, step: None,
) -> nn.Module:
    """`stop_at`: the loss of that step, counted from 0, raises."""
    torch.manual_seed(seed)
    net, steps = make(), count()

    def loss_or_stop(model: Any, batch: Any, carry: Any) -> Any:
        step = next(steps)
        watch(net, step)
        if step == stop_at:
            raise KeyboardInterrupt
        return loss_fn(model, batch, carry)

    def evaluate() -> dict[str, float]:
        after_epoch()
        torch.rand(1)  # whatever evaluation draws must not matter after a resumption either
        net.eval()
        return {}

    fit(
        net,
        loss_or_stop,
        batches,
        [Phase(p.epochs, (0.0,) * (groups - 3) + p.lrs, p.schedule) for p in FROZEN_FIRST],
        optim=Optim(0.1, 0.5),
        runtime=runtime,
        log=Log("test"),
        evaluate=evaluate,
        resume=resume,
        description="",
    )
    return net


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in net.state_dict().items()}


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("kind", ["lm", "classifier"])
@pytest.mark.parametrize(
    ("save_every", "stops"),
    [(0.0, (1, 8)), (0.0, (12,)), (math.inf, (18, 1)), (0.0, (2, 2, 2, 2))],
)
def test_interrupted_and_resumed_is_uninterrupted(
    kind: str,
    save_every: float,
    stops: tuple[int, ...],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the bit, wherever it stopped, also when the last save is steps behind."""
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", save_every)
    training: Training = request.getfixturevalue(f"train_{kind}")
    whole = state(training())
    point = tmp_path / "resume" / "point.safetensors"
    for number, stop in enumerate(stops):  # another process has another random state
        with pytest.raises(KeyboardInterrupt):
            training(resume=ResumePoint(point, "a"), stop_at=stop, seed=3 if number == 0 else 99)
    resumed = state(training(resume=ResumePoint(point, "a"), seed=99))
    assert same_bits(whole, resumed)


@pytest.mark.parametrize("kind", ["lm", "classifier"])
def test_out_of_time_after_every_step_ends_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training: Training = request.getfixturevalue(f"train_{kind}")
    whole = state(training())
    monkeypatch.setattr(Runtime, "out_of_time", lambda self: True)
    for stops in range(1000):
        seed = 99 if stops else 3
        try:
            resumed = state(training(resume=ResumePoint(tmp_path / "point", "a"), seed=seed))
            break
        except OutOfTime:
            continue
    assert stops > 2 and same_bits(whole, resumed)


def test_stopped_while_evaluating_trains_that_epoch_again(
    train_lm: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)

    def stop() -> None:
        raise KeyboardInterrupt

    whole = state(train_lm())
    with pytest.raises(KeyboardInterrupt):
        train_lm(resume=ResumePoint(tmp_path / "point", "a"), after_epoch=stop)
    assert same_bits(whole, state(train_lm(resume=ResumePoint(tmp_path / "point", "a"), seed=9)))


def test_half_an_epoch_killed_while_evaluating_is_evaluated_later(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    evaluated: list[float] = []

    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        return Value((net.high(net.low(torch.ones(1, 1))) ** 2).sum()), None

    def stop() -> dict[str, float]:
        raise KeyboardInterrupt

    def training(evaluate: Callable[[], dict[str, float]]) -> None:
        fit(Line(), loss, Numbers(), [Phase(0.5, (0.1, 0.1), OneCycle())], optim=Optim(0.0),
            runtime=runtime, log=Log("test"), evaluate=evaluate,
            resume=ResumePoint(tmp_path / "point", "a"), description="")  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        training(stop)
    for _ in range(2):  # the second time, it is finished
        training(lambda: evaluated.append(1.0) or {})
    assert len(evaluated) == 1


def test_a_loss_that_is_no_number_ends_the_training(runtime: Runtime) -> None:
    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        bad = math.nan if int(batch[1]) == 2 else 1.0
        return Value(net.high(net.low(torch.ones(1, 1))).sum() * bad), None

    with pytest.raises(DivergedError, match=r"step 3 of phase 1 \(lr 1\.0e-01\).*lower"):
        fit(Line(), loss, Numbers(), [Phase(1.0, (0.0, 0.1), lambda progress: (1.0, 0.5))],
            optim=Optim(0.0), runtime=runtime, log=Log("test"), description="")  # fmt: skip


@pytest.mark.parametrize("kind", ["lm", "classifier"])
def test_a_step_that_is_left_out_leaves_nothing_behind(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, BatchNorm's averages and Adam's moments are as before it, and resuming is exact there, too."""
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    training: Any = request.getfixturevalue(f"train_{kind}")
    make, loss_fn, batches, runtime = training.args
    patient, bad, seen = replace(runtime, on_bad_loss="skip"), (4, 9, 10), list[dict[str, Tensor]]()

    def train_on(calls: Any, **more: Any) -> dict[str, Tensor]:
        def spoilt(net: Any, batch: Any, carry: Any) -> Any:
            loss, carry = loss_fn(net, batch, carry)
            if next(calls) in bad:
                nothing = loss.total * math.nan
                loss = replace(loss, total=nothing, main=nothing.detach())
                for buffer in net.buffers():
                    buffer.data.mul_(math.nan) if buffer.is_floating_point() else None
                carry = carry and [tuple(t * math.nan for t in pair) for pair in carry]
            return loss, carry

        return state(train(make, spoilt, batches, patient, **training.keywords, **more))

    whole = train_on(count(), watch=lambda net, step: seen.append(state(net)))
    assert all(same_bits(seen[k], seen[k + 1]) == (k in bad) for k in range(3, 12))
    assert all(t.isfinite().all() for t in whole.values())
    calls, point = count(), tmp_path / "point"
    for stop in (5, 5, None):  # the second time between two steps left out
        stopped = {"resume": ResumePoint(point, "a"), "stop_at": stop}
        if stop is None:
            assert same_bits(whole, train_on(calls, **stopped))
        else:
            with pytest.raises(KeyboardInterrupt):
                train_on(calls, **stopped)


def test_when_the_loss_goes_bad_the_saved_state_stays(
    train_lm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    make, loss_fn, batches, runtime = train_lm.args
    point, calls = tmp_path / "point", count()

    def spoilt(net: Any, batch: Any, carry: Any) -> Any:
        loss, carry = loss_fn(net, batch, carry)
        return (replace(loss, total=loss.total * math.nan) if next(calls) == 5 else loss), carry

    for look_every in (1, 10):  # on a CPU, and as on a GPU
        monkeypatch.setattr(Runtime, "look_every", look_every)
        with pytest.raises(DivergedError, match="gradients are not finite at step 6 of phase 1"):
            train(make, spoilt, batches, runtime, resume=ResumePoint(point, "a"))
        net = make()
        here, _ = ResumePoint(point, "a").load(net, build_optimizer(net, 0.1, runtime), runtime)
        assert here.step == 5 and all(t.isfinite().all() for t in net.state_dict().values())
        point.unlink()
        point.with_name("before point").unlink()
        calls = count()


def test_overflow_of_scaled_losses_is_left_out_until_they_fit(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    half, net, weights = replace(runtime, _scaler=scaler), Line(), list[float]()
    monkeypatch.setattr(Runtime, "reset_scaling", lambda self: None)

    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        weights.append(net.high.weight.item())
        value = Value(net.high(net.low(torch.ones(1, 1))).sum() * 2.0**10)
        value.main = torch.tensor(1.0)
        return value, None

    fit(net, loss, Numbers(), [Phase(5.0, (0.1, 0.1), OneCycle())], optim=Optim(0.0, 1.0),
        runtime=half, log=Log("test"), description="")  # fmt: skip
    assert weights[0] == weights[3] != weights[-1] and 1 < half.scaling()["scale"] < 2.0**126
    assert all(t.isfinite().all() for t in state(net).values())


def test_a_rate_far_too_high_is_noticed(train_lm: Any) -> None:
    make, loss_fn, batches, runtime = train_lm.args
    with pytest.raises(DivergedError, match=r"has grown from .* use a lower learning rate"):
        fit(make(), loss_fn, batches, [Phase(8.0, (100.0,) * 3)], optim=Optim(0.1, 0.5),
            runtime=runtime, log=Log("test"), description="")  # fmt: skip


def test_a_finished_training_is_not_repeated(train_lm: Training, tmp_path: Path) -> None:
    first = state(train_lm(resume=ResumePoint(tmp_path / "point", "a")))
    again = train_lm(resume=ResumePoint(tmp_path / "point", "a"), stop_at=0, seed=9)
    assert same_bits(first, state(again))


@pytest.mark.parametrize("kind", ["lm", "classifier"])
def test_frozen_groups_keep_their_bits(kind: str, request: pytest.FixtureRequest) -> None:
    seen: list[dict[str, Tensor]] = []

    def watch(net: nn.Module, step: int) -> None:
        *frozen, _ = net.layer_groups().values()  # type: ignore[operator]
        parameters = [p for group in frozen for p in group]
        seen.append({str(i): p.detach().clone() for i, p in enumerate(parameters)})

    net: Any = request.getfixturevalue(f"train_{kind}")(watch=watch)
    steps = len(seen) * 2 // 5  # the first of 1 + 1.5 epochs
    assert same_bits(seen[0], seen[steps])
    assert not same_bits(seen[0], seen[-1])
    assert all(p.requires_grad for p in net.parameters())  # as it was found
    assert not net.training


def test_dropout_stays_on_in_frozen_layers(train_lm: Training) -> None:
    tokens, differing = torch.arange(9, 19)[None], list[bool]()

    def watch(net: Any, step: int) -> None:
        state = torch.get_rng_state()
        outputs = [net.encoder(tokens).output for _ in range(2)]
        assert step or not any(p.requires_grad for p in net.encoder.lstms.parameters())
        differing.append(not torch.equal(*outputs))
        torch.set_rng_state(state)

    net: Any = train_lm(watch=watch)
    assert differing[0]  # in the first phase, where the LSTMs are frozen
    assert torch.equal(*(net.encoder(tokens).output for _ in range(2)))


# ---- steps, positions, carry ----


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Linear(1, 1), nn.Linear(1, 1)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"low": list(self.low.parameters()), "high": list(self.high.parameters())}


class Numbers:
    """Batch k of epoch e is the pair (e, k)."""

    steps_per_epoch, steady = 4, True

    def epoch(self, epoch: int, start: int = 0) -> Any:
        return (Pair(torch.tensor([epoch]), torch.tensor([k])) for k in range(start, 4))


class Pair(tuple):
    def __new__(cls, *tensors: Tensor) -> "Pair":
        return super().__new__(cls, tensors)


class Value:
    def __init__(self, total: Tensor) -> None:
        self.total, self.main, self.count = total, total.detach(), 1


def test_steps_positions_and_carry(runtime: Runtime) -> None:
    seen: list[tuple] = []
    lrs: list[float] = []

    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        seen.append((int(batch[0]), int(batch[1]), carry))
        return Value((net.high(net.low(torch.ones(1, 1))) ** 2).sum()), (carry or 0) + 1

    def halves(progress: float) -> tuple[float, float]:
        lrs.append(progress)
        return 1.0, 0.5

    net, epochs = Line(), []
    phases = [Phase(1.5, (0.0, 0.1), halves), Phase(1.0, (0.1, 0.1), halves)]
    fit(
        net,
        loss,
        Numbers(),
        phases,
        optim=Optim(0.0),
        runtime=runtime,
        log=Log("test"),
        evaluate=lambda: epochs.append(len(seen)) or {},
        description="",
    )
    first = [(0, k, k or None) for k in range(4)] + [(1, 0, None), (1, 1, 1)]
    # A phase that ends inside an epoch is followed by a new epoch; the state starts blind there.
    assert seen == first + [(2, k, k or None) for k in range(4)]
    assert lrs == [k / 6 for k in range(6)] + [k / 4 for k in range(4)]
    assert epochs == [4, 6, 10]


def test_a_step_is_that_of_the_optimizer_with_all_its_numbers(runtime: Runtime) -> None:
    """Rates by group and schedule, momentum, decay, and gradients clipped by their norm together."""

    def loss(net: Line, batch: Any, carry: Any) -> Any:
        return Value((net.high(net.low(torch.ones(1, 1))) ** 2).sum()), None

    def falling(progress: float) -> tuple[float, float]:
        return 1 - progress / 2, 0.5 + progress / 4

    net, by_hand = Line(), Line()
    by_hand.load_state_dict(net.state_dict())
    fit(net, loss, Numbers(), [Phase(1.0, (0.1, 0.2), falling)], optim=Optim(0.3, 1e-5),
        runtime=runtime, log=Log("test"), description="")  # fmt: skip
    optimizer = build_optimizer(by_hand, 0.3, runtime)
    for step in range(4):
        factor, momentum = falling(step / 4)
        set_rates(optimizer, (0.1 * factor, 0.2 * factor), momentum)
        loss(by_hand, None, None)[0].total.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 1e-5)
        optimizer.step()
        optimizer.zero_grad()
    assert same_bits(state(net), state(by_hand))


def test_the_loss_shown_of_an_epoch_is_its_own(runtime: Runtime) -> None:
    losses = list[float]()

    class Told(Log):
        def epoch(self, update: int, **values: Any) -> None:
            losses.append(values["train_loss"])

    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        value = Value((net.high(net.low(torch.ones(1, 1))) ** 2).sum())
        value.main = batch[0].float().sum()  # the number of the epoch
        return value, None

    fit(Line(), loss, Numbers(), [Phase(3.0, (0.1, 0.1), OneCycle())], optim=Optim(0.0),
        runtime=runtime, log=Told("test"), description="")  # fmt: skip
    assert losses == pytest.approx([0.0, 1.0, 2.0])


def test_adams_moments_start_anew_with_each_phase(runtime: Runtime) -> None:
    """As after fastai's `freeze_to` and `unfreeze`: phases in one go are trainings one after the other."""

    def loss(net: Line, batch: Pair, carry: Any) -> Any:
        return Value(((net.high(net.low(torch.ones(1, 1))) - 3) ** 2).sum()), None

    def trained(*calls: list[Phase]) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = Line()
        for phases in calls:
            fit(net, loss, Numbers(), phases, optim=Optim(0.1), runtime=runtime, log=Log("test"),
                description="")  # fmt: skip
        return state(net)

    first, second = Phase(1.0, (0.1, 0.1), OneCycle()), Phase(2.0, (0.2, 0.1), OneCycle())
    assert same_bits(trained([first, second]), trained([first], [second]))


def test_evaluation_counts_every_target_once(
    reviews: list[Document], tokenizer: Tokenizer, runtime: Runtime
) -> None:
    corpus = Corpus.build(reviews[:9], tokenizer)
    net = LMNet(len(tokenizer), TINY, LM_DROPOUT).train()
    batches = LMBatches(corpus, 1, 7, shuffle=False)
    found = evaluate_loss(net, partial(lm_loss, ar=1.0, tar=1.0), batches, runtime)
    ids = torch.from_numpy(corpus.ids.astype("int64"))
    with torch.no_grad():
        logits = net.logits(net.eval()(ids[None, :-1]).raw[0])
    assert found == pytest.approx(float(nn.functional.cross_entropy(logits, ids[1:])), rel=1e-5)


def test_freezing_forgets_gradients_of_the_phase_before() -> None:
    net = Line()
    net.high(net.low(torch.ones(1, 1))).sum().backward()
    freeze(net, (0.0, 1.0))
    assert all(p.grad is None for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]


def test_a_step_costs_what_gradients_reach() -> None:
    """Forward is one, backward two; a decoder that is the embedding sends gradients through everything."""
    lm, classifier = LMNet(20, TINY, NO_DROPOUT), ClassifierNet(20, TINY, NO_DROPOUT, 2)
    sizes = [sum(p.numel() for p in classifier.layer_groups()[f"lstm.{i}"]) for i in range(2)]
    assert step_cost(classifier, [0, 0, 0, 1]) == 1.0
    assert step_cost(classifier, [0, 0, 1, 1]) == 1 + 2 * sizes[1] / sum(sizes)
    assert step_cost(classifier, [0, 1, 1, 1]) == step_cost(classifier, [1, 1, 1, 1]) == 3.0
    assert step_cost(lm, [0, 0, 1]) == step_cost(lm, [1, 1, 1]) == 3.0


def test_work_grows_by_what_the_steps_of_each_phase_cost() -> None:
    assert [work_until([2, 3], [1.0, 3.0], steps) for steps in range(6)] == [0, 1, 2, 5, 8, 11]
