"""Stores a trained language model small enough to ship, with a card that records its origin.

    python recipes/ship_model.py RUN/backward/language_model --valid wikitext-valid.txt --data "…" --command "…" \
        --out ulmfit/weights/wikipedia-small-backward

Matrices become int8 with a scale per row, everything else fp16. The perplexity on the card is that of the stored file: the plain
text (recipes/wikitext_plain.py) by the model's own tokenizer, in 20 parallel streams, full softmax.
"""

import argparse
from pathlib import Path

import numpy as np

from ulmfit.config import RuntimeConfig
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--command", required=True)
    args = parser.parse_args()
    runtime = Runtime.start(RuntimeConfig())
    LanguageModel.load(args.model).save(args.out, storage="int8")
    lm = LanguageModel.load(args.out)
    corpus = Corpus.build([Document(args.valid.read_text(encoding="utf-8"))], lm.tokenizer)
    perplexity = lm.perplexity_of(corpus, runtime, batch_size=20)
    card = {
        "data": args.data,
        "training": args.command,
        "licence": "CC BY-SA 4.0 (made from Wikipedia)",
        "evaluation": f"{args.valid.name}, {corpus.n_tokens:,} tokens, "
        f"{np.mean(corpus.ids == 0):.2%} xxunk, 20 streams, full softmax",
        "perplexity_as_stored": round(perplexity, 2),
    }
    lm.save(args.out, storage="int8", card=card)
    print(f"perplexity as stored: {perplexity:.2f}")


if __name__ == "__main__":
    main()
