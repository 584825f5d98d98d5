"""Peak memory of `ulmfit tokenize` on a text much larger than its bound.

    python benchmarks/tokenization_memory.py wiki.txt.bz2 --gigabytes 2 --workers 1

The files are repeated until there is enough; from the second time on every 20th word is a new one, so that memories
of what was seen before fill up as they would with more text. With `--longest` megabytes, the last document is as long.
Memory is that of the processes while they run (Linux only), each by itself and together, read ten times a second.
The bound: 1 GB for one process, the distinct words (about 0.2 kB each), four times the longest document. Appends a
line to benchmarks/results/tokenization_memory.jsonl.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from ulmfit.text.tables import decode, open_bytes

RESULTS = Path(__file__).parent / "results" / "tokenization_memory.jsonl"
SALTED = 20  # every so many words


def lines(files: list[Path]) -> Iterator[str]:
    """All lines, again and again, with new words in the repetitions."""
    for repetition in count():
        for file in files:
            with open_bytes(file) as stream:
                for line in stream:
                    text = decode(line, file)
                    if repetition:
                        words = text.split(" ")
                        words[7::SALTED] = [f"{w}x{repetition}" for w in words[7::SALTED]]
                        text = " ".join(words).replace("\n", "") + "\n"
                    yield text


def write(path: Path, files: list[Path], size: int, longest: int) -> None:
    """`size` bytes of text, of which one document at the end has `longest`."""
    with open(path, "w", encoding="utf-8") as out:
        left = size - longest
        for text in lines(files):
            if left <= 0:
                break
            left -= out.write(text)
        if longest:
            out.write("\n = The longest = \n")
            for text in lines(files):
                if longest <= 0:
                    break
                longest -= len(text.encode())
                out.write(text.replace(" = ", " "))


def resident(pid: int) -> dict[int, int]:
    """Kilobytes of a process and of all below it."""
    found, waiting = dict[int, int](), [pid]
    while waiting:
        pid = waiting.pop()
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            below = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:  # it has ended
            continue
        if rss := re.search(r"VmRSS:\s+(\d+)", status):
            found[pid] = int(rss[1])
        waiting += map(int, below.split())
    return found


def measure(command: list[str]) -> tuple[int, int, str]:
    """(most of one process, most of all together, in kilobytes; what it said)."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        one = together = 0
        while process.poll() is None:
            now = resident(process.pid)
            one = max(one, *now.values(), 0)
            together = max(together, sum(now.values()))
            time.sleep(0.1)
        assert process.stderr
        said = process.stderr.read()
    if process.returncode:
        sys.exit(said)
    return one, together, said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--longest", type=int, default=0, help="megabytes of one document")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--split-on", default="title")
    told = parser.parse_args()
    with TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write(text, told.files, int(told.gigabytes * 1e9), told.longest * 1_000_000)
        command = [sys.executable, "-m", "ulmfit", "tokenize", str(text)]
        command += ["--split-on", told.split_on, "--out", f"{folder}/corpus"]
        begun = time.monotonic()
        one, together, said = measure([*command, "--workers", str(told.workers)])
        seconds = time.monotonic() - begun
        words = re.search(r"([\d,]+) different words", said)
        line = {
            "bytes": text.stat().st_size,
            "longest_mb": told.longest,
            "workers": told.workers,
            "one_process_mb": round(one / 1000),
            "together_mb": round(together / 1000),
            "different_words": words and int(words[1].replace(",", "")),
            "seconds": round(seconds),
            "said": said.splitlines()[-1].replace(folder, "…"),
        }
    print(json.dumps(line))
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
