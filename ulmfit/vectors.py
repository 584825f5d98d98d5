"""Embeddings from skip-gram or from another model: a start for a new language model, and a fast first fine-tuning."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulmfit.language_model import LanguageModel
from ulmfit.nn.heads import LMNet
from ulmfit.pretrained import find
from ulmfit.progress import Say, bar, silent
from ulmfit.text.corpus import Corpus

SKIPGRAM = "skipgram"
SPREAD = (
    0.08  # standard deviation of the scaled vectors; a random embedding, U(−0.1, 0.1), has 0.058
)
LINE = 2000  # tokens per training sentence
WINDOW = 5  # words of context on either side
RATE = 0.05  # initial learning rate; it falls linearly (docs/log.md)


def init_embeddings(
    lm: LanguageModel, source: str, corpus: Corpus, seed: int, say: Say = silent
) -> None:
    """Fill `lm`'s embedding: by "skipgram" on `corpus`, or with the rows of a language model by name or directory.

    Words without a vector keep their random row. The decoder's bias starts at the words' log frequency, which training
    would learn first. `say` is told how many words have a vector.
    """
    weight = lm.net.encoder.embedding.weight
    if source == SKIPGRAM:
        vectors = skipgram(corpus, *weight.shape, seed=seed)
        seen = vectors.any(axis=1)
        scaled = vectors * (SPREAD / vectors[seen].std())
        known, rows = torch.from_numpy(seen), torch.from_numpy(scaled)
    else:
        other = LanguageModel.load(find(source))
        place = {token: i for i, token in enumerate(other.tokenizer.vocab)}
        index = torch.tensor([place.get(token, -1) for token in lm.tokenizer.vocab])
        known, rows = index >= 0, other.net.encoder.embedding.weight.detach()[index]
    say(
        f"{int(known.sum()):,} of {len(known):,} embeddings start from those of {source}, the others at random"
    )
    counts = torch.from_numpy(corpus.counts(len(lm.tokenizer)) + 1.0)
    with torch.no_grad():
        weight[known] = rows[known]
        lm.net.decoder_bias.copy_((counts / counts.sum()).log())


def within(corpus: Corpus, passes: int, bound: int, seed: int) -> tuple[Corpus, int]:
    """(corpus, passes) for skip-gram to read at most `bound` tokens: with fewer passes or, if even one is too long, one pass
    over documents drawn at random (at least one), in their order."""
    if passes * corpus.n_tokens <= bound:
        return corpus, passes
    if corpus.n_tokens <= bound:
        return corpus, bound // corpus.n_tokens
    order = np.random.default_rng(seed).permutation(len(corpus))
    fitting = np.searchsorted(np.cumsum(corpus.lengths[order]), bound, side="right")
    return corpus.subset(np.sort(order[: max(1, fitting)])), 1


def continue_skipgram(net: LMNet, corpus: Corpus, epochs: int, seed: int) -> None:
    """Train the embedding of `net` further by skip-gram on `corpus`: a fine-tuning that costs seconds per million tokens.

    Words of the corpus move by the words around them there, and new words get vectors of their own; rows are rescaled to
    keep their mean norm, which the LSTMs expect. Words not in the corpus stay. The same seed gives the same vectors.
    """
    weight = net.encoder.embedding.weight
    before = weight.detach().numpy(force=True)
    vectors = skipgram(corpus, *weight.shape, seed=seed, epochs=epochs, start=before)
    seen = vectors.any(axis=1)
    old, new = (np.linalg.norm(rows[seen], axis=1).mean() for rows in (before, vectors))
    with torch.no_grad():
        scaled = torch.from_numpy(vectors[seen] * (old / new))
        weight[torch.from_numpy(seen)] = scaled.to(weight.device)


def skipgram(
    corpus: Corpus,
    vocab_size: int,
    size: int,
    *,
    seed: int,
    epochs: int = 1,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """(V, size) float32 skip-gram vectors with negative sampling (Mikolov et al. 2013), zero rows for unseen words.

    They start from `start` (V, size), or at random. In one thread: with several, gensim is not reproducible.
    """
    from gensim.models import Word2Vec
    from gensim.models.callbacks import CallbackAny2Vec

    model = Word2Vec(
        vector_size=size,
        window=WINDOW,
        negative=5,
        sg=1,
        min_count=1,
        sample=1e-4,
        alpha=RATE,
        workers=1,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as directory:
        lines = Path(directory) / "ids.txt"
        with open(lines, "w", encoding="ascii") as file:
            for document in range(len(corpus)):
                ids = corpus[document].tolist()
                for begin in range(0, len(ids), LINE):
                    file.write(" ".join(map(str, ids[begin : begin + LINE])) + "\n")
        model.build_vocab(corpus_file=str(lines))
        rows = [int(str(key)) for key in model.wv.index_to_key]
        if start is not None:
            model.wv.vectors[:] = start[rows]
        with bar("skip-gram", total=epochs, unit="passes") as advance:

            class Shown(CallbackAny2Vec):
                def on_epoch_end(self, model: Any) -> None:
                    advance(1, "")

            model.train(
                corpus_file=str(lines),
                total_words=model.corpus_total_words,
                total_examples=model.corpus_count,
                epochs=epochs,
                callbacks=[Shown()],
            )
    vectors = np.zeros((vocab_size, size), np.float32)
    vectors[rows] = model.wv.vectors
    return vectors
