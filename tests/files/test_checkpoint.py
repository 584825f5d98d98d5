"""Files: whole or not there, and refused with a reason when damaged or of another kind."""

import copy
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ulmfit.files.checkpoint import (
    CheckpointError,
    atomic,
    load_into,
    load_json,
    load_net,
    load_tensors,
    read_tensors,
    save_json,
    save_tensors,
    sweep,
    write_tensors,
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

    monkeypatch.setattr("ulmfit.files.checkpoint.save_file", fail)
    with pytest.raises(OSError, match=r"model can't be written .*the disk may be full"):
        save_tensors(tmp_path / "model", TENSORS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["names", "numbers", "about"])
def test_one_wrong_bit_is_noticed(where: str, tmp_path: Path) -> None:
    """Anywhere in the file: what is not refused has come back unchanged."""
    about = {"position": 7}
    write_tensors(tmp_path / "a", TENSORS, about)
    whole = (tmp_path / "a").read_bytes()
    names, numbers = whole.index(b'"bias"'), 8 + int.from_bytes(whole[:8], "little")
    first, last = {
        "names": (names, numbers),
        "numbers": (numbers, len(whole)),
        "about": (8, names),
    }[where]
    draw, refused = random.Random(where), 0
    for _ in range(60):
        place, bit = draw.randrange(first, last), draw.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        (tmp_path / "a").write_bytes(damaged)
        try:
            loaded, told = read_tensors(tmp_path / "a")
        except CheckpointError as error:
            assert str(tmp_path / "a") in str(error)
            refused += 1
            continue
        assert told == about or not told  # the name of the metadata itself
        assert loaded.keys() == TENSORS.keys()
        assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)
    assert refused >= {"names": 40, "numbers": 60, "about": 40}[where]


def test_equal_tensors_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tensors(tmp_path / name, TENSORS, {"x": 1, "y": [2], "z": 3, "u": 4})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_tensors(tmp_path / "a")[1] == {"x": 1, "y": [2], "z": 3, "u": 4}


def test_files_of_others_have_no_checksum(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a", {"format": "pt"})
    assert read_tensors(tmp_path / "a")[1] == {}


def test_bytes_reach_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[str]()
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (done.append(n), r(*a))[1])
    save_json(tmp_path / "a", {})
    assert done == ["fsync", "replace", "fsync"]  # the file; its name; the directory


def test_what_a_killed_process_was_writing_is_swept(tmp_path: Path) -> None:
    kept = tmp_path / "deep" / "kept.part"
    save_json(kept, {})
    for name in (".model.safetensors.x1.part", "deep/.config.json.x2.part"):
        (tmp_path / name).touch()
    folder = tmp_path / "deep" / ".corpus.x3.part"
    (folder / "inner").mkdir(parents=True)
    (folder / ".tokenizer.json.x4.part").touch()
    sweep(tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [kept]


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


def test_a_net_is_loaded_without_its_random_weights(tmp_path: Path) -> None:
    for net in (torch.nn.Embedding(5, 3), torch.nn.LSTM(3, 4), torch.nn.BatchNorm1d(2)):
        torch.nn.init.ones_(next(net.parameters()))
        save_tensors(tmp_path / "a", net.state_dict())
        before = torch.get_rng_state()
        loaded = load_net(tmp_path / "a", lambda net=net: copy.deepcopy(net))
        assert torch.equal(torch.get_rng_state(), before)
        assert loaded.state_dict().keys() == net.state_dict().keys()
        assert all(p.requires_grad and p.device.type == "cpu" for p in loaded.parameters())
        for name, tensor in net.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor)


def test_loading_a_net_imports_no_compiler(tmp_path: Path) -> None:
    """Drawn on "meta", random weights would: a second and a half at every start."""
    save_tensors(tmp_path / "a", torch.nn.Embedding(5, 3).state_dict())
    code = (
        "import sys, pathlib, torch; from ulmfit.files.checkpoint import load_net;"
        f"load_net(pathlib.Path({str(tmp_path / 'a')!r}), lambda: torch.nn.Embedding(5, 3));"
        "print('torch._dynamo' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
