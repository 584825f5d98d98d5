"""Choices of device and precision, with their reasons, for hardware that is not here."""

import pytest
import torch

from ulmfit.config import RuntimeConfig
from ulmfit.runtime import (
    Hardware,
    Runtime,
    choose_device,
    choose_for_rank,
    choose_precision,
    rng_state,
    set_rng_state,
)
from ulmfit.text.batches import DocumentBatch
from ulmfit.world import World

ONE_GPU, TWO_GPUS = Hardware(cuda=1), Hardware(cuda=2)
APPLE, PLAIN = Hardware(mps=True), Hardware()


@pytest.mark.parametrize(
    ("wanted", "hardware", "device"),
    [
        ("auto", ONE_GPU, "cuda"),
        ("auto", APPLE, "mps"),
        ("auto", PLAIN, "cpu"),
        ("cuda:1", TWO_GPUS, "cuda:1"),
        ("cpu", ONE_GPU, "cpu"),
    ],
)
def test_device(wanted: str, hardware: Hardware, device: str) -> None:
    assert choose_device(wanted, hardware)[0] == device


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "reason"),
    [
        ("auto", "cuda", "fp16", "losses are scaled"),
        ("auto", "cuda:1", "fp16", "losses are scaled"),
        ("fp32", "cuda", "fp32", "as asked"),
        ("bf16", "cuda", "bf16", "as asked"),
        ("auto", "cpu", "fp32", "cpu"),
        ("fp16", "mps", "fp32", "fp16 was asked for"),
        ("fp16", "cpu", "fp32", "fp16 was asked for"),
        ("bf16", "cpu", "bf16", "as asked"),
    ],
)
def test_precision(wanted: str, device: str, precision: str, reason: str) -> None:
    chosen, why = choose_precision(wanted, device, Hardware(cuda=2, mps=True, bf16=True))
    assert chosen == precision and reason in why


def test_a_cpu_that_does_not_multiply_in_bf16_uses_fp32() -> None:
    chosen, why = choose_precision("bf16", "cpu", Hardware(bf16=False))
    assert chosen == "fp32" and "bf16 was asked for" in why


def test_bf16_on_a_cpu_needs_no_loss_scale() -> None:
    runtime = Runtime.choose(RuntimeConfig(device="cpu", precision="bf16"), Hardware(bf16=True))
    assert runtime.precision == "bf16" and not runtime.scaling()
    with runtime.autocast():
        assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.bfloat16


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_named_device_that_is_not_there_is_an_error(wanted: str) -> None:
    with pytest.raises(ValueError, match="finds none"):
        choose_device(wanted, PLAIN)
    with pytest.raises(ValueError, match="unknown"):
        choose_device("tpu", PLAIN)


@pytest.mark.parametrize("wanted", ["cpu:x", "cpu:", "cuda:x", "cuda:2", "cuda:-1", "cuda:1:1"])
def test_a_device_number_that_is_not_there_is_an_error(wanted: str) -> None:
    with pytest.raises(ValueError, match=f"device '{wanted}' was asked for, but there is only"):
        choose_device(wanted, TWO_GPUS)


def test_one_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_for_rank("auto", PLAIN) == ("auto", "gloo")
    assert choose_for_rank("auto", APPLE) == choose_for_rank("cpu", TWO_GPUS) == ("cpu", "gloo")
    assert choose_for_rank("auto", TWO_GPUS) == ("cuda:1", "cpu:gloo,cuda:nccl")
    with pytest.raises(ValueError, match="2 processes here want a GPU each, and there are 1"):
        choose_for_rank("cuda", ONE_GPU)
    for device in ("cuda:0", "mps"):
        with pytest.raises(ValueError, match=f"not all on '{device}'"):
            choose_for_rank(device, TWO_GPUS)


def test_processes_diverge_by_rank_and_seed() -> None:
    def drawn(rank: int, seed: int = 0) -> float:
        torch.manual_seed(5)
        Runtime(torch.device("cpu"), "fp32", {}, seed, world=World(rank, 3)).diverge()
        return torch.rand(1).item()

    torch.manual_seed(5)
    assert torch.rand(1).item() == drawn(0) == drawn(0, seed=1)  # as if it were alone
    assert len({drawn(0), drawn(1), drawn(2), drawn(1, seed=1)}) == 4 and drawn(1) == drawn(1)


def test_the_loss_scale_is_kept_and_starts_anew() -> None:
    runtime = Runtime(torch.device("cpu"), "fp16", {}, 0, None, torch.amp.GradScaler("cpu"))
    net = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    first = runtime.scaling()
    runtime.step(net(torch.tensor([[float("inf")]])).sum(), optimizer, net, None)
    halved = runtime.scaling()
    assert halved["scale"] == first["scale"] / 2
    runtime.reset_scaling()
    assert runtime.scaling() == first
    runtime.restore_scaling(halved)
    runtime.restore_scaling({})  # of a run in fp32
    assert runtime.scaling() == halved
    plain = Runtime(torch.device("cpu"), "fp32", {})
    plain.restore_scaling(halved)
    assert plain.scaling() == {}


def test_the_norm_is_that_of_the_loss_itself() -> None:
    norms = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=1024.0)):
        for bound in (None, 1e9):
            net = torch.nn.Linear(1, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            runtime = Runtime(torch.device("cpu"), "fp32", {}, 0, None, scaler)
            norms.append(runtime.step(net(torch.full((1, 1), 3.0)).sum(), optimizer, net, bound))
    torch.testing.assert_close(torch.stack(norms), torch.full((4,), 10**0.5))


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


@pytest.mark.parametrize("threads", [0, -1])
def test_at_least_one_thread(threads: int) -> None:
    with pytest.raises(ValueError, match=f"^--threads must be at least 1, not {threads}$"):
        Runtime.start(RuntimeConfig(device="cpu", threads=threads))


def test_time_runs_out() -> None:
    assert not Runtime.choose(RuntimeConfig(), PLAIN).out_of_time()
    assert not Runtime.choose(RuntimeConfig(max_minutes=1.0), PLAIN).out_of_time()
    assert Runtime.choose(RuntimeConfig(max_minutes=0.0), PLAIN).out_of_time()
    with pytest.raises(ValueError, match="--max-minutes must not be negative, but is -3"):
        Runtime.choose(RuntimeConfig(max_minutes=-3), PLAIN)


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


def test_the_peak_of_memory_never_falls() -> None:
    runtime = Runtime.choose(RuntimeConfig(device="cpu"), PLAIN)
    before = runtime.peak_memory()
    if before is None:
        pytest.skip("this system does not count it")
    block = torch.ones(2**24)  # 64 MiB
    assert before <= (now := runtime.peak_memory() or 0)
    assert now >= block.nbytes
    assert Runtime(torch.device("mps"), "fp32", {}).peak_memory() is None


def test_a_net_in_use_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nn.LSTM` lists its weights anew in `to`, and a thread in its forward pass would find them gone."""
    net, runtime = torch.nn.LSTM(2, 2), Runtime.choose(RuntimeConfig(device="cpu"))
    assert not runtime.ready(net.train()).training
    monkeypatch.setattr(net, "_apply", None)
    assert runtime.ready(net) is net
    with pytest.raises(TypeError):
        runtime.ready(net.to("meta"))


def test_lengths_stay_where_they_are_read() -> None:
    """Of a batch everything else goes to the device."""
    tokens, lengths = torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2])
    batch = DocumentBatch(tokens, lengths, None, torch.arange(2))
    moved = Runtime(torch.device("meta"), "fp32", {}).move(batch)
    assert moved.tokens.device.type == moved.index.device.type == "meta"
    assert moved.lengths is lengths and moved.labels is None
