"""Compares the fast tokenizer with the slow one, document by document, on whole folders of data and on strings made to be hard.

    python benchmarks/tokenization_equality.py DATA... --fuzz 1000000 --workers 2

The slow way is `ulmfit.tokenize`: fastai's rules, then spaCy itself. Files are Parquet, CSV (column `text`), and
plain text (.txt, .bz2, .xz), cut every 50 lines; those whose path contains the word `germeval` are German. Strings, in several
languages, are also split by the patterns without the chunk cache. Appends a JSON line per file to
benchmarks/results/tokenization_equality.jsonl; exit status 1 if any document differs.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ulmfit.text.files import open_bytes
from ulmfit.text.rules import Rules, apply_rules, replace_space
from ulmfit.text.splitter import Splitter
from ulmfit.text.words import chunks_for, spacy_patterns, tokenize

RESULTS = Path(__file__).parent / "results" / "tokenization_equality.jsonl"
FUZZ_STRINGS = 25_000  # per process: spaCy keeps every string in memory
FUZZ_KINDS: tuple[tuple[str, Rules], ...] = (
    *(("en", "fastai"), ("en", "fastai"), ("en", "clean"), ("de", "fastai"), ("fr", "clean")),
    *(("es", "fastai"), ("it", "fastai"), ("sv", "fastai"), ("nl", "clean"), ("xx", "fastai")),
    *(("en", "fastai"), ("ru", "fastai"), ("hu", "fastai"), ("tr", "clean"), ("el", "fastai")),
)


@dataclass(frozen=True)
class Task:
    """A file, or `strings` random strings from `seed`."""

    file: str
    lang: str
    rules: Rules
    strings: int = 0
    seed: int = 0


def documents(task: Task) -> Iterator[str]:
    """The texts of a task."""
    if task.strings:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        texts = import_module("fuzz").texts
        patterns = spacy_patterns(task.lang)
        yield from texts(task.strings, task.seed, sorted(patterns.exceptions if patterns else ()))
    elif task.file.endswith((".parquet", ".csv")):
        import polars

        read = polars.read_parquet if task.file.endswith(".parquet") else polars.read_csv
        yield from read(task.file)["text"].cast(str)
    else:
        with open_bytes(Path(task.file)) as file:
            while lines := list(islice(file, 50)):
                yield b"".join(lines).decode()


def compare(task: Task) -> dict[str, Any]:
    """The result line of a task."""
    patterns = spacy_patterns(task.lang)
    if patterns is None:
        raise ValueError(f"lang={task.lang} has no patterns to compare.")
    chunks, splitter = chunks_for(patterns, task.rules), Splitter(patterns)
    texts, count, tokens, differing = documents(task), 0, 0, []
    begun = time.process_time()
    while batch := list(islice(texts, 500)):
        numbers, offsets, names = chunks.batch(batch)
        for i, text in enumerate(batch):
            slow = tokenize(text, task.lang, task.rules)
            fast = [names[n] for n in numbers[offsets[i] : offsets[i + 1]].tolist()]
            whole = slow
            if task.strings:
                whole = [replace_space(t) for t in splitter.split(apply_rules(text, task.rules))]
            if not slow == fast == whole:
                differing.append(text)
            tokens += len(slow)
        count += len(batch)
    seconds = round(time.process_time() - begun, 1)
    measured = {"documents": count, "tokens": tokens, "differing": len(differing)}
    file = "/".join(Path(task.file).parts[-2:])  # not the machine's whole path
    settings = {**asdict(task), "file": file}
    return {**settings, **measured, "cpu_seconds": seconds, "examples": differing[:5]}


def tasks(folders: list[Path], fuzz: int, seed: int) -> list[Task]:
    """All files of the folders, then the strings."""
    found = [p for folder in folders for p in (folder.rglob("*") if folder.is_dir() else [folder])]
    kept = sorted(str(p) for p in found if p.suffix in {".parquet", ".csv", ".txt", ".bz2", ".xz"})
    todo = [Task(file, "de" if "germeval" in file else "en", "fastai") for file in kept]
    for i in range(-(-fuzz // FUZZ_STRINGS)):
        lang, rules = FUZZ_KINDS[i % len(FUZZ_KINDS)]
        strings = min(FUZZ_STRINGS, fuzz - i * FUZZ_STRINGS)
        todo.append(Task("", lang, rules, strings, seed + i))
    return todo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--fuzz", type=int, default=0, help="strings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    total, differing = 0, 0
    spawn = get_context("spawn")
    with ProcessPoolExecutor(args.workers, spawn, max_tasks_per_child=1) as pool:
        todo = [pool.submit(compare, task) for task in tasks(args.folders, args.fuzz, args.seed)]
        for future in as_completed(todo):
            line = json.dumps(future.result(), ensure_ascii=False)
            print(line, flush=True)
            total += future.result()["documents"]
            differing += future.result()["differing"]
            RESULTS.parent.mkdir(exist_ok=True)
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(line + "\n")
    print(f"{differing:,} of {total:,} documents differ")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
