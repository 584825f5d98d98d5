"""Checks training on two hosts, simulated by network namespaces on one Linux machine: the losses must be those of one process.

As root: python -m benchmarks.two_hosts. Trains a language model twice, in one process and in one on each host, compares the losses
of all recorded steps, and reads off the virtual cable how much a step sends.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOSTS = {"ulmfit-a": "10.77.0.1", "ulmfit-b": "10.77.0.2"}
CABLE, PORT = "ulmfit0", "29511"
FLAGS = ["--batch-size=8", "--bptt=20", "--dropout-scale=0", "--epochs=3", "--tokenizer.min-freq=1"]
FLAGS += ["--lr=0.001", "--softmax=full", "--device=cpu", "--threads=1"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_texts(here / "texts.txt")
        if reason := not_permitted():
            sys.exit(f"left out: {reason}")
        command = ["-m", "ulmfit", "pretrain-lm", str(here / "texts.txt"), *FLAGS, "--out"]
        run([sys.executable, *command, str(here / "one")])
        with hosts():
            before = sent("ulmfit-a")
            together(command, str(here / "two"))
            sent_bytes = sent("ulmfit-a") - before
        compare(here, sent_bytes)


def together(command: list[str], out: str) -> None:
    """Runs `command` with one process on each host."""
    started = []
    for rank, host in enumerate(HOSTS):
        start = ["torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}"]
        start += [f"--master-addr={HOSTS['ulmfit-a']}", f"--master-port={PORT}"]
        on_host = ["ip", "netns", "exec", host, sys.executable, "-m", *start]
        started.append(subprocess.Popen([*on_host, *command, out], env=environment(), cwd=ROOT))
    if any([process.wait() for process in started]):
        sys.exit("a host failed; what it said stands above")


def compare(here: Path, sent_bytes: int) -> None:
    one, two = losses(here / "one"), losses(here / "two")
    steps = max(one)
    furthest = max(abs(one[step] - two[step]) for step in one)
    weights = (here / "two" / "forward" / "language_model" / "model.safetensors").stat().st_size
    print(
        f"{len(one)} recorded losses of {steps} steps, {one[min(one)]:.3f} to {one[steps]:.3f}: two hosts differ by {furthest:.1e} at most\n"
        f"host a sent {sent_bytes / steps / 1e6:.2f} MB a step, headers and start included; the weights are {weights / 1e6:.2f} MB"
    )
    if one.keys() != two.keys() or furthest > 1e-5:
        sys.exit("which is too much")


def losses(run_directory: Path) -> dict[int, float]:
    lines = map(json.loads, (run_directory / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}


def write_texts(path: Path) -> None:
    draw = random.Random(0)
    words = [f"word{i}" for i in range(2000)]
    lines = [" ".join(draw.choices(words[: 20 + i], k=40)) for i in range(120)]
    path.write_text("\n".join(lines))


def not_permitted() -> str:
    """Why network namespaces can't be made here; empty if they can."""
    try:
        tried = subprocess.run(["ip", "netns", "add", "ulmfit-try"], capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no `ip` (iproute2)"
    if tried.returncode:
        return f"`ip netns add` failed ({tried.stderr.strip()})"
    run(["ip", "netns", "delete", "ulmfit-try"])
    return ""


@contextmanager
def hosts() -> Iterator[None]:
    """Two namespaces and a cable between them."""
    a, b = HOSTS
    try:
        for name in HOSTS:
            run(["ip", "netns", "add", name])
        run(
            ["ip", "-n", a, "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", b]
        )
        for name, address in HOSTS.items():
            run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", CABLE])
            for device in (CABLE, "lo"):
                run(["ip", "-n", name, "link", "set", device, "up"])
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def sent(host: str) -> int:
    """Bytes that a host has sent over the cable."""
    shown = subprocess.run(
        ["ip", "-n", host, "-json", "-statistics", "link", "show", CABLE],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(shown.stdout)[0]["stats64"]["tx"]["bytes"]


def environment() -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": CABLE}
    return os.environ | own


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
