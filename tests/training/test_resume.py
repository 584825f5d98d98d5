"""The saved state of an unfinished training: whole, or refused with a reason."""

from pathlib import Path

import pytest
import torch

from ulmfit.config import RuntimeConfig
from ulmfit.files.checkpoint import CheckpointError
from ulmfit.hardware import Hardware
from ulmfit.language_model import LanguageModel
from ulmfit.nn.awd_lstm import detach
from ulmfit.runtime import Runtime
from ulmfit.training import resume
from ulmfit.training.resume import DivergedError, Position, ResumePoint


def trained(steps: int = 2) -> tuple[torch.nn.Linear, torch.optim.AdamW]:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    for _ in range(steps):
        net(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return net, optimizer


CARRY = [(torch.ones(1, 2, 3), torch.zeros(1, 2, 3)), (torch.ones(1, 2, 5), torch.ones(1, 2, 5))]


def test_everything_comes_back(tmp_path: Path, runtime: Runtime) -> None:
    net, optimizer = trained()
    ResumePoint(tmp_path / "p", "me").save(net, optimizer, runtime, Position(1, 7), CARRY)
    drawn = torch.rand(3)
    other, its_optimizer = trained(0)
    position, carry = ResumePoint(tmp_path / "p", "me").load(other, its_optimizer, runtime)
    assert position == Position(1, 7)
    torch.testing.assert_close(carry, CARRY, rtol=0, atol=0)
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(other.weight, net.weight)
    for key, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(its_optimizer.state_dict()["state"][0][key], value), key


def test_the_loss_scale_comes_back(tmp_path: Path) -> None:
    saved, other = (
        Runtime(
            torch.device("cpu"), "fp16", {}, 0, None, torch.amp.GradScaler("cpu", init_scale=scale)
        )
        for scale in (8.0, 2.0)
    )
    ResumePoint(tmp_path / "p", "me").save(*trained(), saved, Position(), None)
    ResumePoint(tmp_path / "p", "me").load(*trained(0), other)
    assert other.scaling() == saved.scaling() and other.scaling()["scale"] == 8.0


def test_without_a_file_it_is_the_beginning(tmp_path: Path, runtime: Runtime) -> None:
    assert ResumePoint(tmp_path / "p", "me").load(*trained(), runtime) == (Position(0, 0), None)


def test_a_state_without_carry(tmp_path: Path, runtime: Runtime) -> None:
    point = ResumePoint(tmp_path / "p", "me")
    point.save(*trained(0), runtime, Position(0, 0), None)  # nor optimizer state yet
    assert point.load(*trained(0), runtime) == (Position(0, 0), None)


@pytest.mark.skipif(not Hardware.found().bf16, reason="this CPU does not multiply in bfloat16")
def test_half_precision_may_be_followed_by_full(tmp_path: Path, lm: LanguageModel) -> None:
    """The state of streams read in bf16: in bf16 the next step has the same bits, and in fp32 it can be made."""
    half, full = (
        Runtime.choose(RuntimeConfig(device="cpu", precision=p)) for p in ("bf16", "fp32")
    )
    tokens = torch.randint(len(lm.tokenizer), (4, 6))
    with half.autocast():
        carry = detach(lm.net(tokens, None).state)
        wanted = lm.net(tokens, carry).raw
    assert carry[0][0].dtype == torch.bfloat16
    ResumePoint(tmp_path / "p", "me").save(*trained(), half, Position(), carry)
    for runtime in (half, full):
        back = ResumePoint(tmp_path / "p", "me").load(*trained(0), runtime)[1]
        with runtime.autocast():
            found = lm.net(tokens, back).raw
        assert torch.equal(found, wanted) or runtime is full
        torch.testing.assert_close(found, wanted.float(), rtol=0.1, atol=0.01, check_dtype=False)


def test_another_run_and_damage_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "p"
    ResumePoint(path, "me").save(*trained(), runtime, Position(), CARRY)
    with pytest.raises(CheckpointError, match="other settings or data"):
        ResumePoint(path, "you").load(*trained(), runtime)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"p is damaged.*delete .* to start"):
        ResumePoint(path, "me").load(*trained(), runtime)


@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_the_state_before_stands_in_for_a_damaged_one(
    damage: str, tmp_path: Path, runtime: Runtime
) -> None:
    path, said = tmp_path / "p.safetensors", list[str]()
    saved = []
    for step in (1, 2, 3):
        net, optimizer = trained(step)
        ResumePoint(path, "me").save(net, optimizer, runtime, Position(0, step), None)
        saved.append(net.weight)
    assert len(list(tmp_path.iterdir())) == 2  # not more than one is kept
    whole = path.read_bytes()
    if damage == "gone":  # killed between the two renames
        path.unlink()
    else:
        path.write_bytes(
            whole[: len(whole) // 2] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1])
        )
    net, optimizer = trained(0)
    point = ResumePoint(path, "me", said.append)
    assert point.exists() and point.load(net, optimizer, runtime)[0] == Position(0, 2)
    assert torch.equal(net.weight, saved[1])
    assert [("damaged" in line and path.name in line) for line in said] == [True] * (
        damage != "gone"
    )


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, runtime: Runtime) -> None:
    point, (net, optimizer) = ResumePoint(tmp_path / "p", "me"), trained()
    point.save(net, optimizer, runtime, Position(0, 1), None)
    with torch.no_grad():
        net.weight[0, 0] = torch.inf
    with pytest.raises(DivergedError, match=r"net\.weight .*kept as it was"):
        point.save(net, optimizer, runtime, Position(0, 2), None)
    assert point.load(*trained(0), runtime)[0] == Position(0, 1)


def test_due_now_and_then(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(resume.time, "monotonic", lambda: now)
    point = ResumePoint(tmp_path / "p", "me")
    assert not point.due()
    now += resume.SAVE_EVERY_S
    assert point.due()
    point.save(*trained(), runtime, Position(), None)
    assert not point.due()
