"""Tokenizes a corpus on a Ray cluster: each shard is byte for byte that of `ulmfit tokenize --shard`, on machines that Ray chooses.

    pip install ray
    python recipes/tokenize_on_ray.py wiki.txt.bz2 --out corpus --shards 8 [--address auto]

All machines must see the files and --out. Without --address, a cluster of this machine's cores is started. Finished shards are
kept, so the same command resumes after a failure. `ulmfit pretrain-lm corpus` reads the result.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ulmfit.config import TokenizerConfig
from ulmfit.text.corpus import Corpus
from ulmfit.text.counts import Counts, count, merge, path_of
from ulmfit.text.encoding import encode
from ulmfit.text.parallel import Workers
from ulmfit.text.readers import SplitOn, read_documents
from ulmfit.text.shards import Shard, limited
from ulmfit.text.tokenizer import Tokenizer


def texts(files: list[Path], split_on: SplitOn | None) -> Iterator[str]:
    """The stream of texts, the same on every machine."""
    for file in files:
        documents = read_documents(file, labelled=False, split_on=split_on)
        yield from limited((document.text for document in documents), str(file))


def count_shard(
    files: list[Path], split_on: SplitOn | None, config: TokenizerConfig, shard: Shard, out: Path
) -> None:
    """A Ray task that writes `out`/counts-i.json."""
    with Workers(1) as workers:  # one task is one process
        count(texts(files, split_on), config, workers, shard).save(out)


def encode_shard(files: list[Path], split_on: SplitOn | None, shard: Shard, out: Path) -> None:
    """A Ray task that writes `out`/shard-i."""
    tokenizer = Tokenizer.load(out / "tokenizer.json")
    seen = Counts.load(path_of(out, shard)).seen
    path = out / f"shard-{shard.number}"
    with Workers(1) as workers:
        encode(texts(files, split_on), tokenizer, path, workers, shard, expected=seen)


def tokenize(
    files: list[Path],
    out: Path,
    shards: int,
    config: TokenizerConfig = TokenizerConfig(),
    split_on: SplitOn | None = None,
) -> Corpus:
    """Counts all shards on the cluster that `ray.init` has joined, builds the vocabulary, then encodes all shards."""
    import ray

    def each(shards: list[Shard], task: Any, *given: Any) -> None:
        ray.get([ray.remote(task).remote(*given, shard, out) for shard in shards])

    files, out = [file.absolute() for file in files], out.absolute()
    parts = [Shard(number, shards) for number in range(1, shards + 1)]
    if not (out / "tokenizer.json").exists():
        uncounted = [shard for shard in parts if not path_of(out, shard).exists()]
        each(uncounted, count_shard, files, split_on, config)
        merge(out).save(out / "tokenizer.json")
    missing = [shard for shard in parts if not (out / f"shard-{shard.number}").exists()]
    each(missing, encode_shard, files, split_on)
    return Corpus.load(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--split-on", choices=["title", "blank-line", "line", "file"])
    parser.add_argument("--lang", default=TokenizerConfig.lang)
    parser.add_argument("--address", help="address of a running cluster; auto: find it")
    args = parser.parse_args()
    import ray

    ray.init(address=args.address)
    config = TokenizerConfig(lang=args.lang)
    corpus = tokenize(args.files, args.out, args.shards, config, args.split_on)
    print(f"{args.out}: {len(corpus):,} documents, {corpus.n_tokens:,} tokens")


if __name__ == "__main__":
    main()
