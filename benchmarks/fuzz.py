"""A time-boxed campaign of Atheris, Google's coverage-guided fuzzer for Python, on everything that reads untrusted bytes.

    python -m benchmarks.fuzz --seconds 60

Needs `pip install atheris==3.0.0` (in an environment of its own, if you like). Each target runs in a process of its own; an
unexpected exception ends it and saves the input as tests/findings/TARGET-*, which `tests/hostile/test_findings.py` tries from then on.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import record

ROOT = Path(__file__).parents[1]
FINDINGS = ROOT / "tests" / "findings"
MOST_BYTES = 4096


def targets(folder: Path) -> dict[str, Callable[[bytes], object]]:
    """Name → a function of bytes that may raise ValueError or OSError, and nothing else."""
    from io import BytesIO

    from ulmfit.config import ServeConfig
    from ulmfit.deploy.messages import Refused, question_of, texts_of
    from ulmfit.fastai_files import read_vocab, read_weights
    from ulmfit.files.archive import unpack
    from ulmfit.files.checkpoint import load_tensors
    from ulmfit.files.pickled import read_pickle
    from ulmfit.text.readers import read_documents
    from ulmfit.text.tokenizer import Tokenizer

    def file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def attempt(content: bytes) -> object:
            (folder / name).write_bytes(content)
            return read(folder / name)

        return attempt

    def unpacked(path: Path) -> None:
        import shutil

        unpack(path, folder / "out", max_bytes=100_000)
        shutil.rmtree(folder / "out")

    def body(content: bytes) -> None:
        with suppress(Refused):
            texts, _ = texts_of(content, ServeConfig())
            " ".join(texts).encode()
        with suppress(Refused):
            question_of(content, ServeConfig(), ("bad", "good")).text.encode()

    def documents(suffix: str) -> Callable[[bytes], object]:
        return file(f"a{suffix}", lambda path: list(read_documents(path, on_bad="skip")))

    tokenizer = Tokenizer.load(ROOT / "ulmfit/weights/wikipedia-small-forward/tokenizer.json")
    return {
        "csv": documents(".csv"),
        "tsv": documents(".tsv"),
        "jsonl": documents(".jsonl"),
        "gz": documents(".csv.gz"),
        "zst": documents(".csv.zst"),
        "tokens": lambda content: tokenizer.encode(content.decode("utf-8", "surrogateescape")),
        "tokenizer": file("tokenizer.json", Tokenizer.load),
        "tensors": file("model.safetensors", load_tensors),
        "pickle": lambda content: read_pickle(BytesIO(content), (), "plain data does"),
        "vocab": file("itos.pkl", read_vocab),
        "weights": file("lm.pth", lambda path: read_weights(path, say=str)),
        "tar": file("a.tar", unpacked),
        "body": body,
    }


def attempt(target: Callable[[bytes], object], content: bytes) -> None:
    """Runs the target; its own errors are expected."""
    with suppress(ValueError, OSError):
        target(content)


def campaign(name: str, seconds: int) -> None:
    """Instruments and fuzzes one target until the time is over; runs in a process of its own."""
    import atheris  # pyright: ignore

    with TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=["ulmfit", "tarfile", "pickletools", "json"]):
            target = targets(Path(folder))[name]
        FINDINGS.mkdir(exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-rss_limit_mb=4096"]
        options += [f"-artifact_prefix={FINDINGS}/{name}-", "-timeout=20", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options], lambda content: attempt(target, content))
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", help="one target; left out: all")
    parser.add_argument("--within", action="store_true", help="this process is the fuzzer")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    if args.within:
        campaign(args.only, args.seconds)
        return
    with TemporaryDirectory() as folder:
        names = [args.only] if args.only else list(targets(Path(folder)))
    for name in names:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--within", "--only", name]
        done = subprocess.run(
            [*command, "--seconds", str(args.seconds)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        stats = [s.split(":")[-1] for s in done.stderr.splitlines() if "number_of_executed" in s]
        tried = int(stats[-1]) if stats else 0
        line = {"target": name, "tried": tried, "seconds": args.seconds, "found": bool(done.returncode)}  # fmt: skip
        print(json.dumps(line), flush=True)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
        if args.record:
            record.append("fuzz", line)


if __name__ == "__main__":
    main()
