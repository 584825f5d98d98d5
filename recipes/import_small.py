"""Take a small language model trained elsewhere into the product's format: matrices as int8 rows. The shipped
wikipedia-small-forward went on from such a one (its config.json says how).

    python recipes/import_small.py DIR --out ulmfit/weights/wikipedia-small-forward

DIR holds `model.safetensors` (embedding.weight, decoder.bias, lstm.N.weight_ih …), `vocab.json`, `config.json` and
`valid_ids.npy`, the encoded text its card states a perplexity on; that perplexity is measured again, as stored.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from ulmfit.config import ModelConfig, TokenizerConfig
from ulmfit.files.checkpoint import load_tensors
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import Corpus
from ulmfit.text.tokenizer import Tokenizer


def convert(source: Path) -> LanguageModel:
    """The model with its weights under the product's names."""
    described = json.loads((source / "config.json").read_text())
    vocab = tuple(json.loads((source / "vocab.json").read_text()))
    tokenizer = Tokenizer(TokenizerConfig(max_vocab=len(vocab)), vocab)
    config = ModelConfig(
        described["embedding"],
        described["hidden"],
        len(described["layers"]),
        described["direction"],
    )
    lm = LanguageModel.create(tokenizer, config)
    old = load_tensors(source / "model.safetensors")
    new = {"encoder.embedding.weight": old["embedding.weight"], "decoder_bias": old["decoder.bias"]}
    for layer in range(config.layers):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            new[f"encoder.lstms.{layer}.{name}_l0"] = old[f"lstm.{layer}.{name}"]
    lm.net.load_state_dict(new)
    return lm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lm = convert(args.source)
    ids = np.load(args.source / "valid_ids.npy").astype(np.uint16)
    corpus = Corpus(ids, np.array([0, len(ids)]), None, (), "")
    card: dict[str, object] = {
        "data": "English Wikipedia, 87.8 M words (121.6 M tokens) for skip-gram vectors, 9.77 M tokens for the model",
        "training": "embedding from skip-gram vectors; sampled softmax, 4,096 negatives; AdamW one-cycle to 6e-3, "
        "batch 64, bptt 70; 50 minutes on 2 CPU cores",
        "licence": "CC BY-SA 4.0 (made from Wikipedia)",
        "evaluation": "WikiText-103 valid in plain text, 252,260 tokens, 4.07 % xxunk, 20 streams, full softmax",
    }
    lm.save(args.out, storage="int8", card=card)
    stored = LanguageModel.load(args.out)
    for name, model in (("as given", lm), ("as stored", stored)):
        perplexity = model.perplexity_of(corpus, Runtime.start(), batch_size=20, bptt=70)
        card[f"perplexity_{name.replace(' ', '_')}"] = round(perplexity, 2)
        print(f"perplexity {name}: {perplexity:.2f}")
    lm.save(args.out, storage="int8", card=card)


if __name__ == "__main__":
    main()
