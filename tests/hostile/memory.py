"""Run by `test_memory.py` as a process of its own, "short" or "long": hostile files, and how much memory each takes at most.

Prints a line for each: name, megabytes at its peak more than before, seconds, what was raised.
"""

import bz2
import ctypes
import gzip
import json
import lzma
import sys
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import polars
import torch
import zstandard
from gadgets import call, in_legacy, in_zip
from safetensors.torch import save
from tiny import TINY

from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig, TokenizerConfig
from ulmfit.fastai_files import read_vocab, read_weights
from ulmfit.files.archive import unpack
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import outputs_for
from ulmfit.saved import load
from ulmfit.text.readers import read_documents
from ulmfit.text.tokenizer import Tokenizer

Case = tuple[str, Callable[[], object]]


def save_classifier(folder: Path) -> None:
    tokenizer = Tokenizer.build(["a good film", "a bad film"], TokenizerConfig(min_freq=1))
    lm = LanguageModel.create(tokenizer, TINY)
    TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(folder)


def models(folder: Path) -> Iterator[Case]:
    """Saved classifiers of which one file is another."""
    save_classifier(folder)
    whole = {p.name: p.read_bytes() for p in folder.iterdir()}
    config, vocab = json.loads(whole["config.json"]), json.loads(whole["tokenizer.json"])

    def weights(header: dict | bytes, length: int | None = None) -> bytes:
        packed = header if isinstance(header, bytes) else json.dumps(header).encode()
        return (length or len(packed)).to_bytes(8, "little") + packed

    def tensor(shape: list[int], start: int, end: int) -> dict:
        return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}

    model = config["model"]
    scale = {"encoder.embedding.weight": torch.zeros(1, 10**5, dtype=torch.int8)}
    scale |= {"encoder.embedding.weight.scale": torch.ones(10**5)}
    nest = b"[" * 100_000
    files = {
        "a header of 2^62 bytes": ("model.safetensors", weights(b"{}", 2**62)),
        "a header of 100 MB": ("model.safetensors", weights(b"{" + b" " * 100_000_000)),
        "overlapping tensors": (
            "model.safetensors",
            weights({str(n): tensor([25], 0, 100) for n in range(9)}) + bytes(100),
        ),
        "a tensor of 10^18 numbers": (
            "model.safetensors",
            weights({"a": tensor([10**9, 10**9], 0, 100)}) + bytes(100),
        ),
        "a scale that multiplies": ("model.safetensors", save(scale)),
        "a billion layers": ("config.json", config | {"model": model | {"layers": 10**9}}),
        "a hundred wide layers": (
            "config.json",
            config | {"model": model | {"layers": 100, "hidden_size": 10**6}},
        ),
        "a hundred wide layers in the head": (
            "config.json",
            config | {"reading": config["reading"] | {"head_sizes": [10**6] * 100}},
        ),
        "a million classes": ("config.json", config | {"labels": list(map(str, range(10**6)))}),
        "10 million classes": ("config.json", b'{"labels": [' + b'"a class",' * 10**7 + b'"b"]}'),
        "a million words": (
            "tokenizer.json",
            vocab | {"vocab": [*vocab["vocab"], *(f"w{n}" for n in range(10**6))]},
        ),
        "nested JSON in config.json": ("config.json", nest),
        "nested JSON in tokenizer.json": ("tokenizer.json", nest),
    }
    for name, (file, content) in files.items():

        def attempt(file: str = file, content: object = content) -> object:
            packed = content if isinstance(content, bytes) else json.dumps(content).encode()
            (folder / file).write_bytes(packed)
            try:
                return load(folder)
            finally:
                (folder / file).write_bytes(whole[file])

        yield name, attempt


def tables(folder: Path) -> Iterator[Case]:
    """Compressed files and tables that are larger inside than outside."""
    bombs = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }
    for suffix, compress in bombs.items():
        for kind in (".csv", ".txt"):
            path = folder / f"bomb{kind}{suffix}"
            path.write_bytes(compress(bytes(10**7)) * 100)  # a gigabyte
            yield path.name, lambda path=path: list(read_documents(path, labelled=False))
    for name, content in {
        "lines.csv.gz": b"text\n" + b"\n" * 6 * 10**7,
        "lines.jsonl.gz": b"{}\n" * 2 * 10**7,
        "broken.csv.gz": b"text,label\n" + b"a\n" * 3 * 10**7,
        "columns.csv.gz": b"," * 6 * 10**7 + b"\n",
        "quotes.csv.gz": b"text,label\n" + b'"' * 6 * 10**7,
    }.items():
        (folder / name).write_bytes(gzip.compress(content, 1))
        yield name, lambda name=name: list(read_documents(folder / name))
    repeated = polars.select(text=polars.repeat("x" * 10**5, 1000), label=polars.repeat(1, 1000))
    repeated.write_parquet(folder / "repeated.parquet")  # 100 MB, each group says it once
    polars.select(text=polars.repeat("", 10**7)).write_parquet(folder / "rows.parquet")
    for name in ("repeated.parquet", "rows.parquet"):
        yield name, lambda name=name: list(read_documents(folder / name, labelled=False))


def long(folder: Path) -> Iterator[Case]:
    """What takes a minute."""
    with open(folder / "classes.csv", "w") as file:
        file.write("text,label\n")
        file.writelines(f"text {n},{n}\n" for n in range(1_100_000))
    yield "a class for each of a million rows", lambda: classes(folder / "classes.csv")
    (folder / "lists.pkl").write_bytes(b"(" + b"]" * 6_000_000 + b"l.")
    yield "lists.pkl", lambda: read_vocab(folder / "lists.pkl")
    save_classifier(folder)
    config = json.loads((folder / "config.json").read_text())
    start = json.dumps(config | {"labels": []})
    for name, items in {
        "a million and a half classes": (f'"{n}"' for n in range(1_500_000)),
        "5 million empty records": repeat("{}", 5_300_000),
    }.items():
        whole = start.replace('"labels": []', f'"labels": [{",".join(items)}]')
        (folder / "config.json").write_text(whole)
        del whole
        yield name, lambda: load(folder)


def classes(path: Path) -> object:
    return outputs_for(list(read_documents(path)), ClassifierConfig())


def foreign(folder: Path) -> Iterator[Case]:
    """Files of fastai and archives."""
    one = torch.zeros(1)
    torch.save({"0.encoder.weight": one.expand(10**6, 10**6)}, folder / "expanded.pth")
    (folder / "calls.pth").write_bytes(in_zip(call("builtins", "bytearray", "9")))
    storage = b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    storage += b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu\x8a\x06\x00\x00\x00\x00\x00\x01tQK\x00(\x8a\x06\x00\x00\x00\x00\x00\x01t(K\x01tItRs."
    (folder / "claims.pth").write_bytes(in_legacy(storage.replace(b"tItR", b"ttR")))
    for name in ("expanded", "calls", "claims"):
        yield f"{name}.pth", lambda name=name: read_weights(folder / f"{name}.pth", say=print)
    (folder / "memo.pkl").write_bytes(b"K\x01r\xff\xff\xff\xff.")
    yield "memo.pkl", lambda: read_vocab(folder / "memo.pkl")
    with gzip.open(folder / "header.tgz", "wb", 1) as file:
        import tarfile

        info = tarfile.TarInfo("a")
        info.type, info.size = tarfile.XHDTYPE, 10**9 - 2048
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            file.write(b"1" * 10**7)
    yield "header.tgz", lambda: unpack(folder / "header.tgz", folder / "out", max_bytes=10**9)


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    for make in (long,) if sys.argv[2] == "long" else (models, tables, foreign):
        (folder / make.__name__).mkdir()
        for name, attempt in make(folder / make.__name__):
            ctypes.CDLL(None).malloc_trim(
                0
            )  # else it goes unseen that what was free is taken again
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, begun = high(), time.monotonic()
            try:
                raised = f"nothing: {attempt()!r:.60}"
            except (ValueError, OSError) as error:
                raised = f"{type(error).__name__}: {error!s:.150}"
            seconds = round(time.monotonic() - begun, 1)
            print(json.dumps([name, round(high() - before), seconds, raised]), flush=True)


def high() -> float:
    """Megabytes at the peak since it last began anew."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
