"""Peak memory for long documents, many documents and many classes, with a tiny model.

    python -m benchmarks.long_and_many --rows 1000000 --tokens 5000000 --classes 10000 --record

Each task runs in a process of its own, at full and at half size; its peak memory is Linux's ru_maxrss. The order of the rows is
checked. `--record` appends a line per task to benchmarks/results/long_and_many.jsonl.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import record

ROOT = Path(__file__).parents[1]
WORDS = "a the film was good bad great awful plot and cast of it i saw with music".split()  # noqa: SIM905
MAKE = """
import sys
import torch
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig, ModelConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.text.tokenizer import Tokenizer
torch.manual_seed(0)
tokenizer = Tokenizer.build([sys.argv[2]], TokenizerConfig(min_freq=1))
lm = LanguageModel.create(tokenizer, ModelConfig(embedding_size=16, hidden_size=24, layers=2))
lm.save(__import__("pathlib").Path(sys.argv[1]) / "lm")
TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(sys.argv[1] + "/classifier")
"""
LONG = """
import sys
import ulmfit
classifier = ulmfit.load(sys.argv[1] + "/classifier")
print(classifier.predict("good film , " * (int(sys.argv[2]) // 3)).probability)
"""
CLASSES = """
import sys
from pathlib import Path
import ulmfit
from ulmfit.config import ClassifierConfig, FitConfig
from ulmfit.text.document import Document
folder, classes = sys.argv[1], int(sys.argv[2])
documents = [Document(f"film number {n % classes}", f"class {n % classes}") for n in range(2 * classes)]
config = FitConfig(pretrained=folder + "/lm", finetune=False,
                   classifier=ClassifierConfig(epochs=(1,), lr_divisors=(1.0,), min_steps=1, batch_size=64, keep="last"))
classifier = ulmfit.fit(documents, config=config, out=folder + f"/run{classes}", overwrite=True)
found = classifier.predict([d.text for d in documents[:100]])
assert len(found[0].probabilities) == classes
"""


def measured(arguments: list[str]) -> tuple[float, float]:
    """Peak memory in MB, and seconds, of a process that must succeed."""
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{arguments[:3]} ended with {child.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - begun


def write_rows(path: Path, rows: int) -> None:
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        file.write("id,text\n")
        for number in range(rows):
            file.write(f"{number},{' '.join(draw.choices(WORDS, k=draw.randint(3, 12)))}\n")


def ordered(path: Path, rows: int) -> bool:
    """Whether the ids are 0, 1, …, each with a prediction."""
    with open(path, encoding="utf-8") as file:
        next(file)
        numbers = (line.split(",", 1)[0] for line in file if line.split(",")[2])
        return all(a == str(b) for a, b in zip(numbers, range(rows), strict=True))


def many(folder: Path, rows: int) -> tuple[float, float]:
    """`ulmfit predict` on a table of `rows` rows."""
    source, out = folder / "in.csv", folder / "out.csv"
    write_rows(source, rows)
    command = ["-m", "ulmfit", "predict", f"{folder}/classifier", str(source), "--out", str(out)]
    found = measured([*command, "--threads", "1"])
    if not ordered(out, rows):
        sys.exit(f"{rows:,} rows are not in order")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=5_000_000)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        measured(["-c", MAKE, name, " ".join(WORDS)])
        tasks = {
            "rows": lambda n: many(folder, n),
            "tokens": lambda n: measured(["-c", LONG, name, str(n)]),
            "classes": lambda n: measured(["-c", CLASSES, name, str(n)]),
        }
        for task, run in tasks.items():
            whole = getattr(args, task)
            for size in (whole // 2, whole) if whole else ():
                megabytes, seconds = run(size)
                line = {"task": task, "size": size, "megabytes": round(megabytes), "seconds": round(seconds)}  # fmt: skip
                print(json.dumps(line), flush=True)
                if args.record:
                    record.append("long_and_many", line)


if __name__ == "__main__":
    main()
