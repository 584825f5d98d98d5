"""Turns WikiText's tokens back into plain text, which any tokenizer can read: the shipped models are scored on it.

    python recipes/wikitext_plain.py wiki.valid.tokens wikitext-valid.txt
    python recipes/ship_model.py RUN/forward/language_model --valid wikitext-valid.txt …

` @-@ `, ` @,@ ` and ` @.@ ` become the character in them, `<unk>` becomes xxunk; empty lines and spaces around lines are removed.
Other spaces stay where WikiText has them. The file may be compressed (.gz, .bz2, .xz).
"""

import argparse
from pathlib import Path

from ulmfit.text.compression import open_decompressed

HIDDEN = {" @-@ ": "-", " @,@ ": ",", " @.@ ": ".", "<unk>": "xxunk"}


def plain(tokens: str) -> str:
    """The plain text of a WikiText file's content."""
    for hidden, sign in HIDDEN.items():
        tokens = tokens.replace(hidden, sign)
    lines = (line.strip() for line in tokens.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokens", type=Path, help="such as wiki.valid.tokens")
    parser.add_argument("out", type=Path, help="file of plain text to write")
    args = parser.parse_args()
    with open_decompressed(args.tokens) as file:
        text = plain(file.read().decode("utf-8"))
    args.out.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(text):,} characters in {args.out}")


if __name__ == "__main__":
    main()
