"""What this machine offers, the choice of device and precision with its reason, and an allocator that keeps memory."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# options of glibc's malloc.h, and the values its dynamic thresholds may grow to (setting one switches that off)
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
GROWN = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}


@dataclass(frozen=True)
class Hardware:
    """What this machine offers; tests build their own."""

    cuda: int = 0  # number of GPUs
    mps: bool = False
    bf16: bool = False  # whether the CPU has bfloat16 matrix products

    @classmethod
    def found(cls) -> "Hardware":
        cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
        cpu = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        bf16 = any(cpu.get(name) for name in ("avx512_bf16", "amx_bf16"))
        return cls(cuda, torch.backends.mps.is_available(), bf16)


def choose_device(wanted: str, hardware: Hardware) -> tuple[str, str]:
    """The device and the reason for it. ValueError: a named device is not there (no fallback)."""
    if wanted == "auto":
        if hardware.cuda:
            return "cuda", "auto: a CUDA GPU is present"
        if hardware.mps:
            return "mps", "auto: an Apple GPU is present"
        return "cpu", "auto: no GPU found"
    kind, colon, index = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {wanted!r} is unknown; use auto, cpu, cuda, cuda:N or mps")
    if (kind == "cuda" and not hardware.cuda) or (kind == "mps" and not hardware.mps):
        raise ValueError(
            f"device {wanted!r} was asked for, but PyTorch finds none; use --device auto or cpu"
        )
    count = hardware.cuda if kind == "cuda" else 1
    if colon and not (index.isdecimal() and int(index) < count):
        there = ", ".join(f"{kind}:{i}" for i in range(count))
        raise ValueError(f"device {wanted!r} was asked for, but there is only {there}")
    return wanted, "as asked"


def choose_for_rank(wanted: str, hardware: Hardware) -> tuple[str, str]:
    """The device and the torch.distributed backend for one of several processes: a GPU each, or the CPU for all."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if wanted == "cpu" or (wanted == "auto" and not hardware.cuda):
        return "cpu" if hardware.mps else wanted, "gloo"
    if wanted not in ("auto", "cuda"):
        raise ValueError(
            f"several processes train on the CPU or on a GPU each, not all on {wanted!r}; use --device cpu or cuda"
        )
    if here > hardware.cuda:
        raise ValueError(
            f"{here} processes here need a GPU each, but there are {hardware.cuda}; start no more than that, or use --device cpu"
        )
    return f"cuda:{local}", "cpu:gloo,cuda:nccl"


def choose_precision(
    wanted: str, device: str, hardware: Hardware, *, training: bool = False
) -> tuple[str, str]:
    """The precision of activations and the reason. Half precision falls back to fp32 where it would not help; the reason says so."""
    if device == "cpu" and hardware.bf16:
        if wanted == "bf16":
            return wanted, "as asked"
        if wanted == "auto" and training:
            return "bf16", "auto: this CPU multiplies in bf16; texts are scored in fp32"
    if not device.startswith("cuda"):
        if wanted in ("fp16", "bf16"):
            return (
                "fp32",
                f"{wanted} was asked for, but this {device} has no fast arithmetic for it",
            )
        return "fp32", "as asked" if wanted == "fp32" else f"auto: LSTMs train in fp32 on {device}"
    if wanted != "auto":
        return wanted, "as asked"
    why = "cuDNN's LSTM computes in fp16 under autocast, even if bf16 is asked for, so losses are scaled"
    return "fp16", f"auto: {why}"


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within the block the process keeps memory that it frees (glibc only). Otherwise a tensor of more than 32 MB, such as the
    gradient of an embedding, goes back to the system in every step and is mapped anew: on a CPU its page faults take longer
    than the arithmetic on it. For steps of equal size; with many sizes, memory would fragment."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for option, value in GROWN.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
