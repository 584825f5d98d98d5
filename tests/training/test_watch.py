"""Numbers going bad: noticed, said with step and remedy, stopped or left out."""

import math
from dataclasses import replace

import pytest
import torch

from ulmfit.runtime import Runtime
from ulmfit.training.watch import SETTLED, SKIPS, WINDOW, DivergedError, Smooth, Watch

ONE = torch.tensor(1.0)


@pytest.fixture
def said() -> list[str]:
    return []


def watch(runtime: Runtime, said: list[str], on_bad_loss: str = "stop") -> Watch:
    return Watch("stage", replace(runtime, on_bad_loss=on_bad_loss), said.append)


def feed(watch: Watch, *losses: float, norm: float = 1.0) -> None:
    for number, loss in enumerate(losses, 1):
        watch.add(torch.tensor(loss), torch.tensor(norm), f"step {number}")
        if watch.due():
            watch.look()


def test_the_smoothed_loss_is_fastais() -> None:
    smooth = Smooth()
    assert math.isnan(smooth.value)
    for loss in (2.0, 1.0):
        smooth.add(loss)
    assert smooth.value == pytest.approx((0.98 * 2 + 1) / 1.98)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number(loss: float, runtime: Runtime, said: list[str]) -> None:
    with pytest.raises(DivergedError, match=rf"stage: the loss is {loss} at step 3; use a lower"):
        feed(watch(runtime, said), 1.0, 1.0, loss)


def test_gradients_that_are_no_numbers(runtime: Runtime, said: list[str]) -> None:
    with pytest.raises(DivergedError, match=r"loss is 1, but its gradients .* at step 1"):
        feed(watch(runtime, said), 1.0, norm=math.inf)


def test_bad_steps_are_left_out_but_not_for_ever(runtime: Runtime, said: list[str]) -> None:
    patient = watch(runtime, said, "skip")
    feed(patient, 1.0, math.nan, 2.0)
    assert said == ["stage: the loss is nan at step 2; this step is skipped"]
    assert 1.0 < patient.smooth.value < 2.0
    feed(patient, *[math.nan] * SKIPS)
    with pytest.raises(DivergedError, match=f"as in the {SKIPS} steps before it"):
        feed(patient, math.nan)


def test_a_loss_out_of_bounds(runtime: Runtime, said: list[str]) -> None:
    calm, wild = [1.0] * WINDOW, [21.0] * WINDOW
    with pytest.raises(DivergedError, match=r"has grown from 1 to 21 at step 20 .*lower"):
        feed(watch(runtime, said), *calm, *wild)
    feed(watch(runtime, said), *calm, *[19.0] * 5 * WINDOW, *calm)  # bad, but not out of bounds
    feed(watch(runtime, said), *calm, 100.0, *calm)  # one strange batch
    assert not said
    feed(watch(runtime, said, "skip"), *calm, *wild, *wild)  # said once, and on we go
    assert len(said) == 1 and "has grown" in said[0]


def test_one_wrong_label_is_no_runaway(runtime: Runtime, said: list[str]) -> None:
    """A training that begins fitted has next to no loss, of which anything is twentyfold."""
    fitted = [1e-5] * WINDOW
    feed(watch(runtime, said), *fitted, 0.9, *fitted)
    assert not said
    with pytest.raises(DivergedError, match=r"has grown from 1e-05 to 1\.1"):
        feed(watch(runtime, said), *fitted, *[1.1] * WINDOW)


def epochs(watch: Watch, *losses: float, steps: int = SETTLED) -> None:
    for number, loss in enumerate(losses, 1):
        watch.smooth = Smooth()
        feed(watch, *[loss] * steps)
        watch.end_epoch(f"epoch {number}")


def test_an_epoch_that_unlearns_is_said(runtime: Runtime, said: list[str]) -> None:
    epochs(watch(runtime, said), 0.43, 0.38, 0.56, 0.37)  # up and down, as they go
    epochs(watch(runtime, said), 0.38, 0.67, steps=SETTLED - 1)  # too few steps to tell
    assert not said
    collapsing = watch(runtime, said)
    epochs(collapsing, 0.43, 0.38)
    again = watch(runtime, said)
    again.restore(collapsing.state())
    epochs(again, 0.67)
    assert len(said) == 1 and "0.67 after epoch 1, and was 0.38" in said[0]


def test_on_a_gpu_it_is_looked_at_now_and_then(runtime: Runtime, said: list[str]) -> None:
    far = watch(replace(runtime, device=torch.device("meta")), said)
    feed(far, math.nan, *[1.0] * 8)
    with pytest.raises(DivergedError, match="at step 1"):  # the first bad one is named
        far.look()


def test_overflow_in_fp16_is_usual_until_the_scale_is_at_its_end(
    runtime: Runtime, said: list[str]
) -> None:
    for scale in (2.0, 0.5):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        half = watch(replace(runtime, _scaler=scaler), said)
        if scale < 1:
            with pytest.raises(DivergedError, match="--precision fp32"):
                feed(half, 1.0, norm=math.inf)
        else:
            feed(half, 1.0, norm=math.inf)


def test_an_interruption_changes_nothing(runtime: Runtime, said: list[str]) -> None:
    losses = [1.0, 2.0, 3.0] * WINDOW
    whole, parts = watch(runtime, said), watch(runtime, said)
    feed(whole, *losses)
    for loss in losses:
        again = watch(runtime, said)
        again.restore(parts.state())
        feed(again, loss)
        parts = again
    assert parts.state() == whole.state() and parts.smooth.value == whole.smooth.value
    fresh = watch(runtime, said)
    fresh.restore({})
    assert fresh.state() == watch(runtime, said).state()
