"""Tokens per second with an empty chunk cache, with a full one, and the slow way, on the same texts.

    python benchmarks/tokenization_speed.py imdb/*.parquet --documents 100000 --fastai .peers/fastai/bin/python

The slow way is `ulmfit.tokenize`: fastai's rules, then spaCy itself. With --fastai, fastai takes part, in a process of its own. All
take turns, block by block, and all tokens are compared. Then the time of one short text, and that of `ulmfit tokenize` in a new
process, from the files to a corpus on disk, vocabulary included. All times but the last are CPU seconds of one process. Appends a
line to benchmarks/results/tokenization_speed.jsonl.
"""

import argparse
import json
import sys
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from subprocess import PIPE, Popen, run
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from timeit import timeit
from typing import Any

from ulmfit.text import chunks as module
from ulmfit.text.chunks import Chunks
from ulmfit.text.readers import read_documents
from ulmfit.text.splitter import Splitter
from ulmfit.text.words import spacy_patterns, tokenize

RESULTS = Path(__file__).parent / "results" / "tokenization_speed.jsonl"
BLOCK = 1_000  # documents
SHORT = "One of the best films of the year, I couldn't stop laughing."


def read(files: list[Path], documents: int) -> list[str]:
    """The first `documents` texts of the files."""
    found = (d.text for file in files for d in read_documents(file, labelled=False))
    return list(islice(found, documents))


class Fastai:
    """fastai's tokenizer, run by another Python."""

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).with_name("tokenization_fastai.py"))
        self._process = Popen([python, script], stdin=PIPE, stdout=PIPE, text=True)
        self.version, self.seconds = self._answer(), 0.0

    def _answer(self) -> Any:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise OSError("fastai's process ended; what it said stands above")
        return json.loads(line)

    def hashes(self, texts: list[str]) -> list[str]:
        """A hash of each text's tokens; the time is added to `seconds`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.seconds += answer["seconds"]
        return answer["hashes"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def compare(texts: list[str], fastai: Fastai | None) -> dict[str, Any]:
    """Tokens per second of all ways, and how many documents differ."""
    patterns = spacy_patterns("en")
    assert patterns
    tokenize("")  # imports spaCy and compiles its patterns before the clock starts
    chunks = Chunks(Splitter(patterns), "fastai")
    cold = slow = warm = 0.0
    tokens = differing = 0
    blocks = [texts[i : i + BLOCK] for i in range(0, len(texts), BLOCK)]
    for block in blocks:
        begun = process_time()
        numbers, offsets, names = chunks.batch(block)
        cold += (between := process_time()) - begun
        expected = [tokenize(text) for text in block]
        slow += process_time() - between
        fast = [names[n] for n in numbers.tolist()]
        documents = [fast[a:b] for a, b in pairwise(offsets.tolist())]
        wrong = [d != e for d, e in zip(documents, expected, strict=True)]
        if fastai is not None:
            hashes = [sha256(" ".join(d).encode()).hexdigest() for d in documents]
            theirs = fastai.hashes(block)
            wrong = [w or h != t for w, h, t in zip(wrong, hashes, theirs, strict=True)]
        differing += sum(wrong)
        tokens += len(fast)
    for block in blocks:
        begun = process_time()
        chunks.batch(block)
        warm += process_time() - begun
    once = (timeit(lambda: chunks.tokens(SHORT), number=1000, timer=process_time) for _ in range(9))
    seconds = {"cold": cold, "warm": warm, "slow": slow}
    ratios = {"cold_to_slow": round(slow / cold, 2)}
    if fastai is not None:
        ratios |= {f"{name}_to_fastai": round(fastai.seconds / s, 1) for name, s in seconds.items()}
        seconds["fastai"] = fastai.seconds
    return {
        "documents": len(texts),
        "tokens": tokens,
        "differing": differing,
        **{f"{name}_tokens_per_cpu_second": round(tokens / s) for name, s in seconds.items()},
        **ratios,
        "fastai": fastai and fastai.version,
        "short_text_microseconds": round(min(once) * 1000, 1),
    }


def corpus_seconds(files: list[Path], workers: int) -> dict[str, float]:
    """CPU seconds (of all its processes) and wall-clock seconds of `ulmfit tokenize` on the whole files."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ulmfit", "tokenize", *map(str, files)]
        command += ["--out", f"{folder}/corpus", "--workers", str(workers)]
        before, wall = getrusage(RUSAGE_CHILDREN), perf_counter()
        run(command, check=True, capture_output=True)
        wall, after = perf_counter() - wall, getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        f"corpus_cpu_seconds_{workers}_workers": round(cpu, 1),
        f"corpus_wall_seconds_{workers}_workers": round(wall, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--fastai", metavar="PYTHON", help="a Python that has fastai")
    parser.add_argument("--memory", type=int, help="size of the chunk cache; left out: a million")
    args = parser.parse_args()
    if args.memory:
        module.MEMORY_ENTRIES = args.memory
    fastai = Fastai(args.fastai) if args.fastai else None
    result = compare(read(args.files, args.documents), fastai)
    if fastai is not None:
        fastai.close()
    for workers in (1, 2):
        result |= corpus_seconds(args.files, workers)
    asked = {"files": [file.name for file in args.files], "memory": module.MEMORY_ENTRIES}
    line = json.dumps(asked | result)
    print(line)
    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.exit(result["differing"] > 0)


if __name__ == "__main__":
    main()
