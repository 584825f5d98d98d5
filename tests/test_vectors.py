"""Where an embedding may start: neighbours in text, or another model's words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from ulmfit.language_model import LanguageModel
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.vectors import SPREAD, continue_skipgram, init_embeddings, skipgram, within


@pytest.fixture
def corpus(reviews: list[Document], tokenizer: Tokenizer) -> Corpus:
    return Corpus.build(reviews, tokenizer)


def test_rows_of_another_model_are_copied(
    lm: LanguageModel, lm_directory: Path, corpus: Corpus
) -> None:
    vocab = (*lm.tokenizer.vocab[:9], "unheard", *lm.tokenizer.vocab[12:8:-1])  # in another order
    new = LanguageModel.create(Tokenizer(lm.tokenizer.config, vocab), TINY)
    random_row = new.net.encoder.embedding.weight[9].clone()
    said: list[str] = []
    init_embeddings(new, str(lm_directory), corpus.subset([]), 0, said.append)
    assert said[0].startswith("13 of 14 embeddings start from those of ")
    weight = new.net.encoder.embedding.weight
    places = [*range(9), 12, 11, 10, 9]
    assert torch.equal(weight[[*range(9), *range(10, 14)]], lm.net.encoder.embedding.weight[places])
    assert torch.equal(weight[9], random_row)


def test_the_bias_is_the_log_frequency(
    lm: LanguageModel, lm_directory: Path, corpus: Corpus
) -> None:
    init_embeddings(lm, str(lm_directory), corpus, 0)
    counts = np.bincount(corpus.ids, minlength=len(lm.tokenizer)) + 1
    wanted = torch.from_numpy(np.log(counts / counts.sum())).float()
    torch.testing.assert_close(lm.net.decoder_bias.data, wanted)


def test_skipgram_vectors(lm: LanguageModel, corpus: Corpus, tokenizer: Tokenizer) -> None:
    vectors = skipgram(corpus, len(tokenizer), 8, seed=1)
    assert vectors.shape == (len(tokenizer), 8) and vectors.dtype == np.float32
    seen = np.bincount(corpus.ids, minlength=len(tokenizer)) > 0
    assert np.array_equal(vectors.any(axis=1), seen)
    init_embeddings(lm, "skipgram", corpus, 1)
    weight = lm.net.encoder.embedding.weight.detach().numpy()
    assert weight[seen].std() == pytest.approx(SPREAD, rel=1e-4)


def test_skipgram_goes_on_from_an_embedding(lm: LanguageModel, corpus: Corpus) -> None:
    """Words met move and keep their mean length, others stay; the same seed gives the same bits."""
    weight = lm.net.encoder.embedding.weight
    before = weight.detach().clone()
    part = corpus.subset(range(len(corpus) // 2))
    words = set(part.ids.tolist())
    continue_skipgram(lm.net, part, 20, 0)
    met = (weight != before).any(dim=1)
    assert met.any() and set(met.nonzero().flatten().tolist()) <= words
    lengths = weight[met].norm(dim=1).mean().item(), before[met].norm(dim=1).mean().item()
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-4)
    first = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(before)
    continue_skipgram(lm.net, part, 20, 0)
    assert torch.equal(weight, first)


def test_skipgram_keeps_within_its_bound(corpus: Corpus) -> None:
    """Fewer passes first; then fewer documents, whole ones and in their order, others with another seed."""
    n = corpus.n_tokens
    for bound, passes in ((3 * n, 3), (3 * n - 1, 2), (n, 1)):
        assert within(corpus, 3, bound, 0) == (corpus, passes)
    part, passes = within(corpus, 3, n // 2, 0)
    assert passes == 1 and n // 3 < part.n_tokens <= n // 2
    texts = [ids.tobytes() for ids in corpus]
    places = [texts.index(ids.tobytes()) for ids in part]
    assert places == sorted(set(places))
    assert within(corpus, 3, n // 2, 1)[0].fingerprint != part.fingerprint
    assert len(within(corpus, 3, 1, 0)[0]) == 1


def test_skipgram_leaves_each_word_near_its_own_row(lm: LanguageModel, corpus: Corpus) -> None:
    """After one pass over few texts; the more passes, the further it goes."""
    weight, moved = lm.net.encoder.embedding.weight, list[float]()
    before = weight.detach().clone()
    for passes in (1, 20):
        with torch.no_grad():
            weight.copy_(before)
        continue_skipgram(lm.net, corpus, passes, 0)
        after = weight.detach()
        met = (after != before).any(dim=1)
        likeness = torch.cosine_similarity(after[met], before[met])
        moved.append(1 - likeness.min().item())
    assert met.sum() > 20 and moved[0] < 0.1 < moved[1]
