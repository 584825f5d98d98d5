"""Several processes train as one does. The trainings are in together.py; three processes run all of them once."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from together import SIZE, STEPS, Results, flat, results, scenarios

from ulmfit import world
from ulmfit.config import RuntimeConfig
from ulmfit.runtime import Runtime
from ulmfit.world import ALONE, World

EXACT = ["classifier, float64", "classifier, cached, float64"]
PLAIN = ["lm", "lm, sampled", "classifier", *EXACT]  # without dropout
DROPPED = ["lm, dropout", "classifier, dropout"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def together(folder: Path) -> list[Results]:
    return results(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    runtime = Runtime.start(RuntimeConfig(device="cpu", precision="fp32"))
    return flat(scenarios(runtime, tmp_path_factory.mktemp("alone")))


def of(found: Results, name: str, kind: str = "weights") -> dict[str, torch.Tensor]:
    prefix = f"{name}/{kind}/"
    return {k.removeprefix(prefix): t for k, t in found[0].items() if k.startswith(prefix)}


@pytest.mark.parametrize("name", PLAIN)
def test_the_loss_curve_is_that_of_one_process(
    name: str, together: list[Results], alone: Results
) -> None:
    wanted = alone[1][f"{name}/losses"]
    few = name in ("lm, sampled", "classifier, cached, float64")
    assert len(wanted) == (15 if few else STEPS)
    assert max(wanted) - min(wanted) > 0.05  # something was learnt
    for _, plain in together:
        bound = 1e-9 if name in EXACT else 1e-5
        assert plain[f"{name}/losses"] == pytest.approx(wanted, rel=0, abs=bound)


def test_running_averages_are_of_the_global_batch(together: list[Results], alone: Results) -> None:
    wanted, found = of(alone, "classifier, float64"), of(together[0], "classifier, float64")
    names = [n for n in wanted if "running" in n or "tracked" in n]
    assert len(names) == 6
    for name in names:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*PLAIN, *DROPPED, "fit"])
def test_all_processes_end_with_the_same_bits(name: str, together: list[Results]) -> None:
    first = of(together[0], name)
    assert len(first) > 8
    for other in together[1:]:
        for key, tensor in of(other, name).items():
            assert torch.equal(tensor, first[key]), key


@pytest.mark.parametrize("name", DROPPED)
def test_each_has_masks_of_its_own(name: str, together: list[Results]) -> None:
    states = [found[0][f"{name}/random"] for found in together]
    assert not any(torch.equal(a, b) for i, a in enumerate(states) for b in states[:i])


@pytest.mark.parametrize("name", DROPPED)
def test_resumed_is_uninterrupted(name: str, together: list[Results]) -> None:
    """With dropout: so each process got its own generator and its rows of the state back."""
    for found in together:
        weights = of(found, name)
        resumed = of(found, f"{name}, resumed")
        assert weights.keys() == resumed.keys()
        assert all(torch.equal(weights[k], resumed[k]) for k in weights)


def test_metrics_are_exact(together: list[Results], alone: Results) -> None:
    wanted = {k: v for k, v in alone[1].items() if k.startswith("metrics/")}
    assert {"metrics/classifier/valid_accuracy", "metrics/lm/valid_perplexity"} <= wanted.keys()
    for _, plain in together:
        for name, value in wanted.items():
            # Each text is scored by one process, in the batch it is in alone; sums of tokens are grouped otherwise.
            exact = name.startswith("metrics/classifier")
            assert plain[name] == (value if exact else pytest.approx(value, rel=1e-6)), name


def test_only_the_first_writes_and_speaks(together: list[Results], folder: Path) -> None:
    assert [plain["fit/said"] > 0 for _, plain in together] == [True, *[False] * (SIZE - 1)]
    run = folder / "run"
    assert json.loads((run / "config.json").read_text())["finished"] is True
    assert not (run / "lock").exists() and (run / "predictions" / "validation.jsonl").exists()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seen = [(line["stage"], line["phase"], line.get("step"), line.get("epoch")) for line in lines]
    assert seen and len(seen) == len(set(seen))


def test_other_settings_are_refused(together: list[Results]) -> None:
    *others, last = [plain["refused/said"] for _, plain in together]
    assert not any(others)
    assert "process 2 does not find its run" in last and "same command" in last


def test_who_is_left_is_told(together: list[Results]) -> None:
    for _, plain in together[:-1]:
        assert "another process of this training is gone" in plain["lost/said"]


def test_traffic(together: list[Results]) -> None:
    """A step sends its trained gradients once, and little beside them."""
    for _, plain in together:
        for phase in ("0", "1"):
            messages = plain[f"traffic/{phase}"]
            gradients = 4 * plain[f"traffic/{phase} trained"]
            assert messages.count(gradients) == 1
            assert sum(messages) - gradients <= 64
        rows = SIZE + 1  # one each, and one that all have
        assert plain["traffic/rows"] == [10, 4 * 3 * rows]
        assert plain["traffic/sums"] == [3, 0, 6, 0, 9, 0, 0, 0, 0, 9]


def test_collectives(together: list[Results]) -> None:
    for tensors, plain in together:
        whole = torch.arange(14).view(7, 2)
        assert torch.equal(tensors["collectives/whole"], whole)
        assert torch.equal(tensors["collectives/whole, columns"], whole.T)
        assert torch.equal(tensors["collectives/first"], torch.zeros(2))
        assert plain["collectives/any"] == [True, False]
        assert plain["collectives/total"] == sum(range(1, SIZE + 1))


class Pair(NamedTuple):
    rows: torch.Tensor
    labels: torch.Tensor | None


def test_rows_are_shared_out() -> None:
    batch = Pair(torch.arange(5), None)
    assert [World(r, 2).mine(batch).rows.tolist() for r in (0, 1)] == [[0, 2, 4], [1, 3]]
    assert World(0, 2).mine(batch).labels is None
    assert World(6, 8).mine(batch).rows.tolist() == []


def test_one_process_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(world, "dist")  # nothing of it is touched
    x, batch = torch.ones(2), Pair(torch.arange(5), None)
    parameter = torch.nn.Parameter(torch.ones(2))
    assert ALONE.mine(batch) is batch and ALONE.sum(x) is x and ALONE.whole(x) is x
    assert ALONE.total(3) == 3 and ALONE.any(True) and ALONE.first
    ALONE.from_first([x])
    ALONE.sum_gradients([parameter])
    with ALONE.in_turn():
        assert parameter.grad is None
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert world.join("gloo") is ALONE
