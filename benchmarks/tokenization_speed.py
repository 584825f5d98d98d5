"""Tokens a second: from an empty memory, with a full one, and the slow way beside them on the same texts.

    python benchmarks/tokenization_speed.py imdb/*.parquet --documents 100000

The slow way is `ulmfit.tokenize`: fastai's rules, then spaCy itself. The two take turns, block by block, and every
token is compared. Then the time of one short text, and the way from the files to a corpus on disk, vocabulary
included. Times are CPU seconds of this one process. Appends a line to benchmarks/results/tokenization_speed.jsonl.
"""

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from timeit import timeit
from typing import Any

from ulmfit.config import TokenizerConfig
from ulmfit.text.chunks import Chunks
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splitter import Splitter
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import chunks_for, spacy_patterns, tokenize

RESULTS = Path(__file__).parent / "results" / "tokenization_speed.jsonl"
BLOCK = 1_000  # documents
SHORT = "One of the best films of the year, I couldn't stop laughing."


def read(files: list[Path], documents: int) -> list[Document]:
    """The first `documents` of all files together, labels left out."""
    found = [Document(d.text) for file in files for d in read_documents(file, labelled=False)]
    return found[:documents]


def compare(texts: list[str]) -> dict[str, Any]:
    """Tokens a second of the three ways, and how many documents differ."""
    patterns = spacy_patterns("en")
    assert patterns
    tokenize("")  # spaCy is imported and its patterns compiled before the clock runs
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
        made = [names[n] for n in numbers.tolist()]
        spans = pairwise(offsets.tolist())
        differing += sum(made[a:b] != e for (a, b), e in zip(spans, expected, strict=True))
        tokens += len(made)
    for block in blocks:
        begun = process_time()
        chunks.batch(block)
        warm += process_time() - begun
    once = (timeit(lambda: chunks.tokens(SHORT), number=1000, timer=process_time) for _ in range(9))
    short = min(once) * 1000
    rates = {"cold": tokens / cold, "warm": tokens / warm, "slow": tokens / slow}
    return {
        "documents": len(texts),
        "tokens": tokens,
        "differing": differing,
        **{f"{name}_tokens_per_cpu_second": round(rate) for name, rate in rates.items()},
        "cold_to_slow": round(slow / cold, 2),
        "short_text_microseconds": round(short, 1),
    }


def corpus_seconds(files: list[Path], documents: int) -> dict[str, float]:
    """From files to a corpus on disk: CPU and wall seconds, nothing in the memory at first."""
    chunks_for.cache_clear()
    cpu, wall = process_time(), perf_counter()
    with TemporaryDirectory() as folder:
        found = read(files, documents)
        tokenizer = Tokenizer.build((d.text for d in found), TokenizerConfig())
        Corpus.build(found, tokenizer, path=Path(folder) / "corpus")
    return {
        "corpus_cpu_seconds": round(process_time() - cpu, 1),
        "corpus_wall_seconds": round(perf_counter() - wall, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--documents", type=int, default=100_000)
    args = parser.parse_args()
    texts = [d.text for d in read(args.files, args.documents)]
    result = {**compare(texts), **corpus_seconds(args.files, args.documents)}
    line = json.dumps({"files": [file.name for file in args.files], **result})
    print(line)
    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.exit(result["differing"] > 0)


if __name__ == "__main__":
    main()
