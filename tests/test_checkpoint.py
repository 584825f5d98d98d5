"""Files: whole or not there, and refused with a reason when damaged or of another kind."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from ulmfit.checkpoint import (
    CheckpointError,
    atomic,
    load_into,
    load_json,
    load_tensors,
    save_json,
    save_tensors,
)

TENSORS = {"embedding.weight": torch.randn(50, 8), "bias": torch.randn(5), "count": torch.tensor(3)}


@pytest.mark.parametrize(("storage", "tolerance"), [("fp32", 0.0), ("fp16", 2e-3), ("int8", 2e-2)])
def test_tensors_come_back(storage: str, tolerance: float, tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", TENSORS, storage=storage)  # type: ignore[arg-type]
    loaded = load_tensors(tmp_path / "a")
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor, atol=tolerance * 2, rtol=tolerance)


def test_int8_is_a_quarter_of_the_size(tmp_path: Path) -> None:
    tensors = {"embedding.weight": torch.randn(1000, 64)}
    for storage in ("fp32", "int8"):
        save_tensors(tmp_path / storage, tensors, storage=storage)  # type: ignore[arg-type]
    assert (tmp_path / "int8").stat().st_size < 0.3 * (tmp_path / "fp32").stat().st_size


def test_failed_writes_leave_the_old_file_and_no_debris(tmp_path: Path) -> None:
    save_json(tmp_path / "a", {"x": 1})
    with pytest.raises(RuntimeError), atomic(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert load_json(tmp_path / "a") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model", TENSORS)
    whole = (tmp_path / "model").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise").write_bytes(b"\x80\x04pickle?")
    (tmp_path / "json").write_text("{")
    for name in ("cut", "noise", "absent"):
        with pytest.raises(CheckpointError, match=name):
            load_tensors(tmp_path / name)
    for name in ("json", "absent"):
        with pytest.raises(CheckpointError, match=name):
            load_json(tmp_path / name)


def test_a_failed_write_names_file_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ulmfit.checkpoint.save_file", fail)
    with pytest.raises(CheckpointError, match=r"model can't be written .*the disk may be full"):
        save_tensors(tmp_path / "model", TENSORS)
    assert not list(tmp_path.iterdir())


def test_a_scale_without_its_tensor_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"embedding.weight.scale": torch.ones(3)})
    with pytest.raises(CheckpointError, match=r"weight\.scale without embedding\.weight"):
        load_tensors(tmp_path / "a")


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", torch.nn.Linear(2, 3).state_dict())
    load_into(torch.nn.Linear(2, 3), tmp_path / "a")
    with pytest.raises(CheckpointError, match="shape"):
        load_into(torch.nn.Linear(2, 4), tmp_path / "a")
    with pytest.raises(CheckpointError, match="lacks"):
        load_into(torch.nn.LSTM(2, 3), tmp_path / "a")
