"""Choices of device and precision, with their reasons, for hardware that is not here; and memory that is kept."""

import platform
import subprocess
import sys

import pytest

from ulmfit.hardware import Hardware, choose_device, choose_for_rank, choose_precision

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


def test_a_cpu_that_multiplies_in_bf16_trains_in_it() -> None:
    fast, plain = Hardware(bf16=True), Hardware()
    assert choose_precision("auto", "cpu", fast, training=True)[0] == "bf16"
    assert choose_precision("auto", "cpu", plain, training=True)[0] == "fp32"
    assert choose_precision("fp32", "cpu", fast, training=True) == ("fp32", "as asked")


def test_a_cpu_that_does_not_multiply_in_bf16_uses_fp32() -> None:
    chosen, why = choose_precision("bf16", "cpu", Hardware(bf16=False))
    assert chosen == "fp32" and "bf16 was asked for" in why


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
    with pytest.raises(ValueError, match="2 processes here need a GPU each, but there are 1"):
        choose_for_rank("cuda", ONE_GPU)
    for device in ("cuda:0", "mps"):
        with pytest.raises(ValueError, match=f"not all on '{device}'"):
            choose_for_rank(device, TWO_GPUS)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_memory_is_kept_within_and_given_back_behind() -> None:
    """Counted in fresh pages of 4 KiB, in a process of its own: a tensor of 64 MiB has 16,384."""
    program = """
import resource, torch
from ulmfit.hardware import memory_kept

def fresh():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16, 1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

start, outside = held(), fresh()
with memory_kept():
    fresh()
    inside, kept = fresh(), held() - start
print(outside, inside, kept, held() - start)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outside, inside, kept, left = map(float, done.stdout.split())
    assert inside < 0.01 * outside
    assert kept > 60 and left < 20
