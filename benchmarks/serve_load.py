"""`ulmfit serve` under load: latency, throughput, memory, and every answer compared with the offline prediction.

    python -m benchmarks.serve_load runs/demo --texts reviews.csv --seconds 60

The server runs in a process of its own on this machine; each client sends one text, waits for the answer, and sends the next. At
the end the server gets SIGTERM under load. Appends a line to benchmarks/results/serve.jsonl and prints the table for docs/results.md.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record

SAME = 1e-5  # largest difference of equal probabilities: other batches are padded, and so rounded, differently
STOP_CLIENTS, STOP_AFTER = 20, 3.0  # clients, and seconds before SIGTERM
WARM_UP = 3.0  # seconds before the measurement
HEADER = "| clients | texts/s | p50 ms | p95 ms | p99 ms | texts a batch | errors | wrong | server's memory |"


class Hungup(Exception):
    """The connection ended before an answer had begun."""


class Connection:
    """HTTP/1.1 over plain streams, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self.open = reader, writer, True

    async def ask(self, path: str, question: Any = None) -> tuple[int, bytes]:
        """(status, body). `Hungup`: no byte came back; any other exception: the answer broke off."""
        body = b"" if question is None else json.dumps(question).encode()
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            self._writer.write(head.encode() + body)
            await self._writer.drain()
            response = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise Hungup from None
        except ConnectionError:
            raise Hungup from None
        (length,) = re.findall(r"content-length: (\d+)", response)
        self.open = "connection: close" not in response
        return int(response.split()[1]), await self._reader.readexactly(int(length))


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


@dataclass
class Load:
    """The results of several clients at work together."""

    clients: int
    seconds: float
    latencies: list[float] = field(default_factory=list)  # seconds, of answers with status 200
    errors: dict[str, int] = field(default_factory=dict)  # by status, or kind of broken connection
    wrong: int = 0  # answers that differ from the offline prediction
    unanswered: int = 0  # requests on which the server closed the connection without an answer
    largest_difference: float = 0.0  # of a probability

    def compare(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        difference = max(
            abs(found["probabilities"][name] - p) for name, p in wanted["probabilities"].items()
        )
        self.largest_difference = max(self.largest_difference, difference)
        self.wrong += found["label"] != wanted["label"] or difference > SAME

    def failed(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1


async def load(
    port: int,
    texts: Sequence[str],
    wanted: Sequence[dict[str, Any]],
    clients: int,
    seconds: float,
    *,
    until_stopped: bool = False,
) -> Load:
    """`clients` send requests for `seconds`; with `until_stopped` a refused connection is no error."""
    found, end = Load(clients, seconds), time.monotonic() + seconds
    order = _endless(len(texts))

    async def client() -> None:
        while time.monotonic() < end:
            try:
                async with connection(port) as line:
                    while line.open and time.monotonic() < end:
                        await ask(line)
            except Hungup:
                found.unanswered += 1
            except ConnectionError:
                if until_stopped:
                    return
                found.failed("no connection")
            except asyncio.IncompleteReadError:
                found.failed("broken off")

    async def ask(line: Connection) -> None:
        number = next(order)
        begun = time.perf_counter()
        status, body = await line.ask("/predict", {"text": texts[number]})
        if status == 200:
            found.latencies.append(time.perf_counter() - begun)
            found.compare(json.loads(body), wanted[number])
        else:
            found.failed(str(status))

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


def _endless(n: int) -> Iterator[int]:
    draw = random.Random(0)
    while True:
        yield from draw.sample(range(n), n)


def summary(found: Load, batches: tuple[float, float], memory: Sequence[float]) -> dict[str, Any]:
    """The figures of a load. `batches`: texts read, in how many batches; `memory`: MB, a sample a second."""
    latencies = np.array(found.latencies or [np.nan]) * 1000
    p50, p95, p99 = (round(float(p), 2) for p in np.percentile(latencies, [50, 95, 99]))
    late = memory[len(memory) // 3 :]  # without the first third, in which caches fill
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) * 60 if len(late) > 2 else 0.0
    plain = {k: v for k, v in asdict(found).items() if k != "latencies"}
    return plain | {
        "requests": len(found.latencies),
        "per_second": round(len(found.latencies) / found.seconds, 1),
        "ms": {"p50": p50, "p95": p95, "p99": p99, "max": round(float(latencies.max()), 2)},
        "texts_a_batch": round(batches[0] / max(1.0, batches[1]), 2),
        "memory_mb": [round(m, 1) for m in memory],
        "memory_mb_a_minute": round(slope, 2),
    }


def table(line: dict[str, Any]) -> str:
    """A recorded line as Markdown."""
    rows = [HEADER, "|--:" * HEADER.count(" | ") + "|--:|"]
    for load in line["loads"]:
        ms, errors = load["ms"], sum(load["errors"].values()) + load["unanswered"]
        memory = f"{load['memory_mb'][-1]:.0f} MB, {load['memory_mb_a_minute']:+.1f} a minute"
        cells = [load["clients"], load["per_second"], ms["p50"], ms["p95"], ms["p99"]]
        cells += [load["texts_a_batch"], errors, load["wrong"], memory]
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    stop = line["stop"]
    rows.append("")
    rows.append(
        f"SIGTERM with {stop['clients']} clients at work: {stop['requests']} requests answered,"
        f" {sum(stop['errors'].values())} broken off or refused, {stop['wrong']} wrong,"
        f" {stop['unanswered']} sent too late; it ended after {stop['stopped_after']} s with exit code {stop['exit_code']}."
    )
    return "\n".join(rows)


@contextmanager
def server(model: str, flags: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process of `ulmfit serve`, and its port."""
    command = [sys.executable, "-m", "ulmfit", "serve", model, "--port", "0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=record.ROOT) as process:
        try:
            assert process.stderr
            said = ""
            while not (found := re.search(r"http://\S+:(\d+)/", said)):
                said = process.stderr.readline()
                if not said:
                    raise RuntimeError(f"{' '.join(command)} has ended")
            yield process, int(found[1])
        finally:
            process.kill()


async def measured(
    process: subprocess.Popen[str], port: int, run: Callable[[], Any]
) -> tuple[Load, tuple[float, float], list[float]]:
    """(load, (texts, batches) that the server counted meanwhile, its memory in MB once a second)."""
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(_resident(process.pid))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    before = await _batches(port)
    found = await run()
    after = await _batches(port)
    watching.cancel()
    return found, (after[0] - before[0], after[1] - before[1]), memory


async def _batches(port: int) -> tuple[float, float]:
    async with connection(port) as line:
        _, body = await line.ask("/metrics")
    texts, count = (
        float(re.findall(rf"^ulmfit_batch_texts_{name} (\S+)", body.decode(), re.MULTILINE)[0])
        for name in ("sum", "count")
    )
    return texts, count


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


async def stopped(
    process: subprocess.Popen[str],
    port: int,
    texts: Sequence[str],
    wanted: Sequence[Any],
    after: float = STOP_AFTER,
) -> dict[str, Any]:
    """Sends SIGTERM after `after` seconds, while clients are at work."""
    patience = after + 60
    under_load = load(port, texts, wanted, STOP_CLIENTS, patience, until_stopped=True)
    running = asyncio.create_task(under_load)
    await asyncio.sleep(after)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None and time.monotonic() < begun + 60:
        await asyncio.sleep(0.02)
    took = time.monotonic() - begun
    found = await running
    return summary(found, (0, 1), [0.0]) | {
        "stopped_after": round(took, 2),
        "exit_code": process.returncode,
    }


async def campaign(
    process: subprocess.Popen[str],
    port: int,
    texts: Sequence[str],
    wanted: Sequence[Any],
    clients: Sequence[int],
    seconds: float,
) -> dict[str, Any]:
    loads = []
    for count in clients:
        await load(port, texts, wanted, count, WARM_UP)
        found = await measured(process, port, lambda: load(port, texts, wanted, count, seconds))  # noqa: B023
        loads.append(summary(*found))
        print(json.dumps(loads[-1] | {"memory_mb": loads[-1]["memory_mb"][-1]}), file=sys.stderr)
    return {"loads": loads, "stop": await stopped(process, port, texts, wanted)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="run, classifier directory, or its export")
    parser.add_argument("--texts", required=True, help="file of real texts, of one class each")
    parser.add_argument("--most", type=int, default=1000, help="texts used, drawn with a seed")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--threads", type=int, help="of the server; left out: all cores")
    parser.add_argument("--max-batch", type=int, help="of the server")
    parser.add_argument("--max-wait-ms", type=float, help="of the server")
    args = parser.parse_args()
    texts = sample(args.texts, args.most)
    wanted = offline(args.model, texts)
    names = ("threads", "max_batch", "max_wait_ms")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    flags = [
        x for name, value in given.items() for x in ("--" + name.replace("_", "-"), str(value))
    ]
    words = sorted(len(text.split()) for text in texts)
    with server(args.model, flags) as (process, port):
        found = asyncio.run(campaign(process, port, texts, wanted, args.clients, args.seconds))
    settings = {
        "model": Path(args.model).name,
        "flags": given,
        "texts": len(texts),
        "seconds": args.seconds,
    }
    settings["words"] = {"median": words[len(words) // 2], "longest": words[-1]}
    record.append("serve", settings | found)
    print(table(found))


def sample(path: str, most: int) -> list[str]:
    """Texts of a file that are within the server's limits."""
    import ulmfit
    from ulmfit.config import ServeConfig

    texts = [d.text for d in ulmfit.read_documents(path, labelled=False)]
    texts = [t for t in texts if t.strip() and len(t.split()) <= ServeConfig.max_words]
    return random.Random(0).sample(texts, min(most, len(texts)))


def offline(model: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The prediction of each text, as `ulmfit predict --json --text` prints it."""
    from ulmfit.saved import load_classifier

    classifier = load_classifier(model)
    return [asdict(classifier.predict(text)) for text in texts]


if __name__ == "__main__":
    main()
