"""A saved corpus in volumes small enough to be carried to a machine that has no network, and back together there.

    ulmfit tokenize wiki/*.txt --out wikipedia          # on a machine that has everything
    python recipes/pack_corpus.py wikipedia --piece-mb 9 --out carry/wikipedia
    python recipes/wikipedia.py --corpus carry/wikipedia --out runs/wikipedia     # there; joins what it was given

    python recipes/pack_corpus.py --join carry/wikipedia --out wikipedia          # by hand; of weights, too

Each volume is checked by its SHA-256 before anything is joined. Needs nothing but torch, NumPy and safetensors.
"""

import argparse
import sys
from pathlib import Path

from ulmfit.files.volumes import MEGABYTE, cut, join
from ulmfit.text.corpus import Corpus


def main() -> None:
    """Errors of the user's making end with one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a saved corpus; with --join its volumes")
    parser.add_argument("--out", type=Path, required=True, help="a new directory")
    parser.add_argument("--piece-mb", type=float, default=9.0, help="millions of bytes a volume")
    parser.add_argument("--join", action="store_true", help="put volumes together again")
    told = parser.parse_args()
    try:
        if told.join:
            print(f"joined as {join(told.source, told.out)}")
        else:
            pack(told.source, told.out, told.piece_mb)
    except (ValueError, OSError) as error:
        sys.exit("recipes/pack_corpus.py: " + str(error).strip().replace("\n", " "))


def pack(source: Path, out: Path, megabytes: float) -> None:
    """Cut a corpus, and say what became of it."""
    corpus = Corpus.load(source)
    files = cut(source, out, megabytes)
    size = sum(file.stat().st_size for file in files)
    print(
        f"{len(corpus):,} documents, {corpus.n_tokens:,} tokens: {len(files)} volumes, "
        f"{size / MEGABYTE:,.1f} MB, {8 * size / corpus.n_tokens:.2f} bits a token, in {out}"
    )


if __name__ == "__main__":
    main()
