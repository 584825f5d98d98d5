"""Embeddings by skip-gram, or from another model: where a new language model starts, and how texts make words known fast."""

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
    0.08  # standard deviation the vectors are scaled to; the embedding's own U(−0.1, 0.1) has 0.058
)
LINE = 2000  # tokens per training sentence
WINDOW = 5  # words of context on either side
RATE = 0.05  # learning rate at the beginning; it falls linearly (docs/log.md)


def init_embeddings(
    lm: LanguageModel, source: str, corpus: Corpus, seed: int, say: Say = silent
) -> None:
    """Fill `lm`'s embedding: by "skipgram" on `corpus`, or with the rows of a language model by name or directory.

    Words without a vector keep their random row. The decoder's bias starts at the words' log frequency, where
    training would take it first. `say` hears how many words were found.
    """
    weight = lm.net.encoder.embedding.weight
    if source == SKIPGRAM:
        vectors = skipgram(corpus, *weight.shape, seed=seed)
        met = vectors.any(axis=1)
        known, rows = (
            torch.from_numpy(met),
            torch.from_numpy(vectors * (SPREAD / vectors[met].std())),
        )
    else:
        other = LanguageModel.load(find(source))
        place = {token: i for i, token in enumerate(other.tokenizer.vocab)}
        index = torch.tensor([place.get(token, -1) for token in lm.tokenizer.vocab])
        known, rows = index >= 0, other.net.encoder.embedding.weight.detach()[index]
    say(
        f"{int(known.sum()):,} of {len(known):,} embeddings begin with those of {source}, the others at random"
    )
    counts = torch.from_numpy(corpus.counts(len(lm.tokenizer)) + 1.0)
    with torch.no_grad():
        weight[known] = rows[known]
        lm.net.decoder_bias.copy_((counts / counts.sum()).log())


def within(corpus: Corpus, passes: int, bound: int, seed: int) -> tuple[Corpus, int]:
    """What skip-gram reads, and how often, so that it reads no more than `bound` tokens: fewer passes, at last one over
    documents drawn at random (one at least), in their order."""
    if passes * corpus.n_tokens <= bound:
        return corpus, passes
    if corpus.n_tokens <= bound:
        return corpus, bound // corpus.n_tokens
    order = np.random.default_rng(seed).permutation(len(corpus))
    fitting = np.searchsorted(np.cumsum(corpus.lengths[order]), bound, side="right")
    return corpus.subset(np.sort(order[: max(1, fitting)])), 1


def continue_skipgram(net: LMNet, corpus: Corpus, epochs: int, seed: int) -> None:
    """Train the embedding of `net` further by skip-gram on `corpus`, a fine-tuning that costs seconds a million tokens.

    Words of the corpus move by the company they keep in it, new ones get vectors of their own; their mean length stays
    as it was, which the LSTMs know. The same seed gives the same vectors. Words not in the corpus stay.
    """
    weight = net.encoder.embedding.weight
    before = weight.detach().numpy(force=True)
    vectors = skipgram(corpus, *weight.shape, seed=seed, epochs=epochs, start=before)
    met = vectors.any(axis=1)
    scale = np.linalg.norm(before[met], axis=1).mean() / np.linalg.norm(vectors[met], axis=1).mean()
    with torch.no_grad():
        weight[torch.from_numpy(met)] = torch.from_numpy(vectors[met] * scale).to(weight.device)


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

    They begin with `start` (V, size), or at random. One thread, or gensim would not repeat itself.
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
