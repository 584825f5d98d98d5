"""What a runtime gives to those it is passed to."""

import pytest
import torch

from ulmfit.config import RuntimeConfig
from ulmfit.hardware import Hardware
from ulmfit.runtime import Runtime, rng_state, set_rng_state
from ulmfit.text.batches import DocumentBatch
from ulmfit.world import World

PLAIN = Hardware()


def test_bf16_on_a_cpu_needs_no_loss_scale() -> None:
    runtime = Runtime.choose(RuntimeConfig(device="cpu", precision="bf16"), Hardware(bf16=True))
    assert runtime.precision == "bf16" and not runtime.scaling()
    with runtime.autocast():
        assert product() == torch.bfloat16


def product() -> torch.dtype:
    """That of a matrix product."""
    return (torch.ones(1, 1) @ torch.ones(1, 1)).dtype


def test_where_bf16_was_not_asked_for_it_is_for_training_only() -> None:
    """So a text's score is the same when the run is scored and when the saved model predicts."""
    told = RuntimeConfig(device="cpu"), Hardware(bf16=True)
    training, predicting = Runtime.start(*told), Runtime.start(*told, training=False)
    with training.autocast():
        assert product() == torch.bfloat16
    with torch.no_grad(), training.autocast():
        assert product() == torch.float32
    for runtime in (predicting, Runtime.choose(*told)):
        assert runtime.precision == "fp32" and runtime.one_by_one
        with runtime.autocast():
            assert product() == torch.float32
    asked = Runtime.start(RuntimeConfig(device="cpu", precision="bf16"), Hardware(bf16=True))
    with torch.no_grad(), asked.autocast():
        assert product() == torch.bfloat16


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


@pytest.mark.parametrize(("n", "said"), [(1, ", 1 thread, "), (2, ", 2 threads, ")])
def test_one_thread_is_no_threads(n: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: n)
    assert said in Runtime.choose(RuntimeConfig(device="cpu"), PLAIN).describe()


def test_choosing_leaves_the_callers_generators_alone() -> None:
    config = RuntimeConfig(device="cpu", seed=7, threads=torch.get_num_threads() + 1)
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    chosen = Runtime.choose(config, PLAIN)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    started = Runtime.start(RuntimeConfig(device="cpu", seed=7), PLAIN)
    assert not torch.equal(torch.get_rng_state(), before)
    assert chosen == started


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_not_all_generators_take(seed: int) -> None:
    with pytest.raises(ValueError, match=f"^--seed must be from 0 to .*, not {seed}$"):
        Runtime.choose(RuntimeConfig(device="cpu", seed=seed), PLAIN)


@pytest.mark.parametrize("threads", [0, -1])
def test_at_least_one_thread(threads: int) -> None:
    with pytest.raises(ValueError, match=f"^--threads must be at least 1, not {threads}$"):
        Runtime.start(RuntimeConfig(device="cpu", threads=threads))


def test_time_runs_out() -> None:
    assert not Runtime.choose(RuntimeConfig(), PLAIN).out_of_time()
    assert not Runtime.choose(RuntimeConfig(max_minutes=1.0), PLAIN).out_of_time()
    assert Runtime.choose(RuntimeConfig(max_minutes=0.0), PLAIN).out_of_time()
    for minutes in (-3, float("nan")):
        problem = f"--max-minutes must not be negative, but is {minutes}"
        with pytest.raises(ValueError, match=problem):
            Runtime.choose(RuntimeConfig(max_minutes=minutes), PLAIN)


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
