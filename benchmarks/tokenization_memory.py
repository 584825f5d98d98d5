"""Peak memory of `ulmfit tokenize` on a text much larger than its memory bound.

    python benchmarks/tokenization_memory.py wiki.txt.bz2 --gigabytes 2 --workers 1

The files are repeated until there is enough text; from the second time on, words before "the" are made new, so that caches fill as
they would with more text. With `--longest`, the last document has that many megabytes. Memory is read ten times a second while the
processes run (Linux only), for each process and for all together. The bound: 1 GB for one process, plus about 0.2 kB per distinct
word, plus four times the longest document. Appends a line to benchmarks/results/tokenization_memory.jsonl.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ulmfit.text.files import open_bytes

RESULTS = Path(__file__).parent / "results" / "tokenization_memory.jsonl"
BLOCK = 1_000_000  # bytes read at once
SALTED = re.compile(rb" ([a-z]+) the ")  # words that are made new in each repetition


def write(path: Path, files: list[Path], size: int, longest: int) -> None:
    """Write `size` bytes of text; the last document has `longest` of them."""
    with open(path, "wb") as out:
        for file in files:
            with open_bytes(file) as stream:
                while out.tell() < size - longest and (block := stream.read(BLOCK)):
                    out.write(block)
        end, repetition = out.tell(), 0
        while out.tell() < size - longest:
            repetition += 1
            out.flush()
            with open(path, "rb") as stream:
                while stream.tell() < end and out.tell() < size - longest:
                    block = stream.read(min(BLOCK, end - stream.tell()))
                    out.write(SALTED.sub(rb" \1x%d the " % repetition, block))
        if longest:
            out.write(b"\n\n = The longest = \n")
            out.flush()
            with open(path, "rb") as stream:
                out.write(stream.read(longest).replace(b" = ", b" "))


def resident(pid: int) -> dict[int, int]:
    """Resident kilobytes of a process and of all its descendants, by process id."""
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
    """(peak of one process, peak of all together, in kilobytes; standard error)."""
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
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write(text, args.files, int(args.gigabytes * 1e9), args.longest * 1_000_000)
        command = [sys.executable, "-m", "ulmfit", "tokenize", str(text)]
        command += ["--split-on", args.split_on, "--out", f"{folder}/corpus"]
        begun = time.monotonic()
        one, together, said = measure([*command, "--workers", str(args.workers)])
        seconds = time.monotonic() - begun
        words = re.search(r"([\d,]+) different words", said)
        line = {
            "bytes": text.stat().st_size,
            "longest_mb": args.longest,
            "workers": args.workers,
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
