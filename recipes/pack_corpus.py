"""Cuts a saved corpus into volumes small enough to be carried to a machine without a network, and joins them there.

    ulmfit tokenize wiki/*.txt --out wikipedia          # on a machine with all packages
    python recipes/pack_corpus.py wikipedia --piece-mb 9 --out carry/wikipedia
    python recipes/wikipedia.py --corpus carry/wikipedia --out runs/wikipedia     # there; joins the volumes itself

    python recipes/pack_corpus.py --join carry/wikipedia --out wikipedia          # by hand; also for volumes of weights

Each volume is checked by its SHA-256 before anything is joined. Needs only torch, NumPy and safetensors.
"""

import argparse
import sys
from pathlib import Path

from ulmfit.files.volumes import MEGABYTE, cut, join
from ulmfit.text.corpus import Corpus


def main() -> None:
    """An error that the user can mend ends with one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a saved corpus; with --join its volumes")
    parser.add_argument("--out", type=Path, required=True, help="a new directory")
    parser.add_argument("--piece-mb", type=float, default=9.0, help="size of a volume in MB")
    parser.add_argument("--join", action="store_true", help="join volumes")
    args = parser.parse_args()
    try:
        if args.join:
            print(f"joined as {join(args.source, args.out)}")
        else:
            pack(args.source, args.out, args.piece_mb)
    except (ValueError, OSError) as error:
        sys.exit("recipes/pack_corpus.py: " + str(error).strip().replace("\n", " "))


def pack(source: Path, out: Path, megabytes: float) -> None:
    """Cut a corpus into volumes, and print their number and size."""
    corpus = Corpus.load(source)
    files = cut(source, out, megabytes)
    size = sum(file.stat().st_size for file in files)
    print(
        f"{len(corpus):,} documents, {corpus.n_tokens:,} tokens: {len(files)} volumes, "
        f"{size / MEGABYTE:,.1f} MB, {8 * size / corpus.n_tokens:.2f} bits a token, in {out}"
    )


if __name__ == "__main__":
    main()
