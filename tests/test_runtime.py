"""Choices of device and precision, with their reasons, for hardware that is not here."""

import pytest
import torch

from ulmfit.config import RuntimeConfig
from ulmfit.runtime import (
    Hardware,
    Runtime,
    choose_device,
    choose_precision,
    rng_state,
    set_rng_state,
)

AMPERE, TURING = (
    Hardware(cuda=True, cuda_capability=(8, 0)),
    Hardware(cuda=True, cuda_capability=(7, 5)),
)
APPLE, PLAIN = Hardware(mps=True), Hardware()


@pytest.mark.parametrize(
    ("wanted", "hardware", "device"),
    [
        ("auto", AMPERE, "cuda"),
        ("auto", APPLE, "mps"),
        ("auto", PLAIN, "cpu"),
        ("cuda:1", TURING, "cuda:1"),
        ("cpu", AMPERE, "cpu"),
    ],
)
def test_device(wanted: str, hardware: Hardware, device: str) -> None:
    assert choose_device(wanted, hardware)[0] == device


@pytest.mark.parametrize(
    ("wanted", "device", "hardware", "precision", "reason"),
    [
        ("auto", "cuda", AMPERE, "bf16", "compute capability 8.0"),
        ("auto", "cuda", TURING, "fp16", "no fast bf16"),
        ("fp32", "cuda", AMPERE, "fp32", "as asked"),
        ("auto", "cpu", PLAIN, "fp32", "cpu"),
        ("fp16", "mps", APPLE, "fp32", "fp16 was asked for"),
        ("bf16", "cpu", PLAIN, "fp32", "bf16 was asked for"),
    ],
)
def test_precision(
    wanted: str, device: str, hardware: Hardware, precision: str, reason: str
) -> None:
    chosen, why = choose_precision(wanted, device, hardware)
    assert chosen == precision and reason in why


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_named_device_that_is_not_there_is_an_error(wanted: str) -> None:
    with pytest.raises(ValueError, match="finds none"):
        choose_device(wanted, PLAIN)
    with pytest.raises(ValueError, match="unknown"):
        choose_device("tpu", PLAIN)


def test_describe_names_choice_and_reason() -> None:
    text = Runtime.start(RuntimeConfig(device="cpu", seed=7), PLAIN).describe()
    assert "cpu (as asked)" in text and "fp32" in text and "seed 7" in text


def test_choosing_leaves_the_callers_generators_alone() -> None:
    config = RuntimeConfig(device="cpu", seed=7, threads=torch.get_num_threads() + 1)
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    chosen = Runtime.choose(config, PLAIN)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    started = Runtime.start(RuntimeConfig(device="cpu", seed=7), PLAIN)
    assert not torch.equal(torch.get_rng_state(), before)
    assert chosen == started


def test_random_state_comes_back() -> None:
    state = rng_state(torch.device("cpu"))
    first = torch.rand(3)
    set_rng_state(state, torch.device("cpu"))
    assert torch.equal(torch.rand(3), first)


def test_step_clips_updates_and_forgets() -> None:
    net = torch.nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    runtime = Runtime.start(RuntimeConfig(device="cpu"))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    runtime.step(1000 * net(torch.ones(1, 2)).sum(), optimizer, net, max_grad_norm=0.1)
    assert (net.weight - before).norm().item() == pytest.approx(0.1, rel=1e-4)
    assert net.weight.grad is None
