"""What a new language model's embedding may start from: skip-gram vectors of its corpus, or another model's words."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from ulmfit.language_model import LanguageModel
from ulmfit.pretrained import find
from ulmfit.text.corpus import Corpus

SKIPGRAM = "skipgram"
SPREAD = (
    0.08  # standard deviation the vectors are scaled to; the embedding's own U(−0.1, 0.1) has 0.058
)
LINE = 2000  # tokens per training sentence


def init_embeddings(lm: LanguageModel, source: str, corpus: Corpus, seed: int) -> None:
    """Fill `lm`'s embedding: by "skipgram" on `corpus`, or with the rows of a language model by name or directory.

    Words without a vector keep their random row. The decoder's bias starts at the words' log frequency, where
    training would take it first.
    """
    weight = lm.net.encoder.embedding.weight
    if source == SKIPGRAM:
        vectors = skipgram(corpus, len(lm.tokenizer), weight.shape[1], seed)
        known = torch.from_numpy(vectors.any(axis=1))
        rows = torch.from_numpy(vectors)
    else:
        other = LanguageModel.load(find(source))
        if other.config.embedding_size != weight.shape[1]:
            raise ValueError(
                f"{source} has embeddings of {other.config.embedding_size} numbers, this model {weight.shape[1]}"
            )
        place = {token: i for i, token in enumerate(other.tokenizer.vocab)}
        index = torch.tensor([place.get(token, -1) for token in lm.tokenizer.vocab])
        known, rows = index >= 0, other.net.encoder.embedding.weight.detach()[index]
    counts = torch.from_numpy(np.bincount(corpus.ids, minlength=len(lm.tokenizer)) + 1.0)
    with torch.no_grad():
        weight[known] = rows[known]
        lm.net.decoder_bias.copy_((counts / counts.sum()).log())


def skipgram(corpus: Corpus, vocab_size: int, size: int, seed: int) -> np.ndarray:
    """(V, size) float32 skip-gram vectors with negative sampling (Mikolov et al. 2013), zero rows for unseen words."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise ImportError(
            'init_embeddings="skipgram" needs gensim: pip install "ulmfit[vectors]"'
        ) from None
    with tempfile.TemporaryDirectory() as directory:
        lines = Path(directory) / "ids.txt"
        with open(lines, "w", encoding="ascii") as file:
            for document in range(len(corpus)):
                ids = corpus[document].tolist()
                for start in range(0, len(ids), LINE):
                    file.write(" ".join(map(str, ids[start : start + LINE])) + "\n")
        trained = Word2Vec(
            corpus_file=str(lines),
            vector_size=size,
            window=5,
            negative=5,
            sg=1,
            min_count=1,
            sample=1e-4,
            epochs=1,
            workers=torch.get_num_threads(),
            seed=seed,
        ).wv
    vectors = np.zeros((vocab_size, size), np.float32)
    rows = [int(str(key)) for key in trained.index_to_key]
    vectors[rows] = trained.vectors
    return vectors * (SPREAD / vectors[vectors.any(axis=1)].std())
