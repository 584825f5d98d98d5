"""Which words of a text speak for a label, and which against it: a weight per word, in log-odds.

Two methods. `occlusion` reads the text once more for each word, without that word. `gradient` reads it a few times and follows
the gradient back to the embeddings (integrated gradients, Sundararajan et al. 2017).
"""

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import PAD_ID, UNKNOWN_ID
from ulmfit.ensemble import members_of
from ulmfit.runtime import Runtime
from ulmfit.shapes import Float, Tensor
from ulmfit.text.alignment import Alignment, align, spans
from ulmfit.text.corpus import Corpus

Method = Literal["occlusion", "gradient"]
STEPS = 8  # points on the straight line from xxunk to the text at which gradients are taken


@dataclass(frozen=True)
class Word:
    """A word of the user's text, and how much it speaks for the label: log-odds (nats), negative against it."""

    text: str
    start: int  # text[start:end], in characters
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """A text, the classifier's probability of a label, and the weight of each word for it."""

    text: str
    label: str  # the label explained
    probability: float  # of that label
    method: Method
    words: tuple[Word, ...]  # all words, split at white space, in order

    def top(self, n: int) -> list[Word]:
        """The `n` words of the largest weight, for or against, largest first."""
        return sorted(self.words, key=lambda word: -abs(word.weight))[:n]


def explain(
    classifier: Classifier,
    text: str,
    *,
    label: str | None = None,
    method: Method = "occlusion",
    runtime: Runtime | None = None,
) -> Explanation:
    """The weight of each word of `text` for `label` (None: the predicted one); for an ensemble, the members' mean.

    `occlusion` costs a prediction per word, `gradient` about 30 predictions, however long the text.
    ValueError: a blank text, an unknown label, or a language whose tokens can't be traced back to the words.
    """
    members = members_of(classifier, "weighing words")
    if label is not None and label not in classifier.labels:
        raise ValueError(
            f"the classifier does not know the label {label!r}; it knows {list(classifier.labels)}"
        )
    runtime = runtime or Runtime.choose()
    words = spans(text)
    if not words:
        raise ValueError("there are no words in this text; give one that is not blank")
    prediction = classifier.predict(text, runtime)
    explained: str = label or prediction.label
    weights = np.mean([_of_words(m, text, explained, method, runtime) for m in members], axis=0)
    return Explanation(
        text,
        explained,
        prediction.probabilities[explained],
        method,
        tuple(Word(text[a:b], a, b, float(w)) for (a, b), w in zip(words, weights, strict=True)),
    )


def _of_words(
    classifier: TextClassifier, text: str, label: str, method: Method, runtime: Runtime
) -> NDArray[np.float64]:
    """(words,) the sum of the weights of each word's tokens."""
    where, number = align(text, classifier.tokenizer), classifier.labels.index(label)
    weigh = occlusion if method == "occlusion" else gradient
    weights = weigh(classifier, where, number, runtime)
    # without xxbos, which belongs to no word
    return np.bincount(where.owners[1:], weights[1:], len(where.words)).astype(np.float64)


def occlusion(
    classifier: TextClassifier, where: Alignment, label: int, runtime: Runtime
) -> NDArray[np.float64]:
    """For each token, the log-odds of `label` lost when its word is left out, divided among the word's tokens."""
    ids, owners = where.ids, np.array(where.owners)
    owners[0] = -1  # xxbos stays
    of_words = np.unique(owners[1:])
    texts = [ids, *(ids[owners != word] for word in of_words)]
    offsets = np.cumsum([0, *map(len, texts)])
    corpus = Corpus(np.concatenate(texts), offsets, None, (), "", classifier.tokenizer)
    whole, *without = log_odds(classifier.probabilities_of(corpus, runtime), label)
    lost = np.zeros(len(ids))
    for word, rest in zip(of_words, without, strict=True):
        own = owners == word
        lost[own] = (whole - rest) / own.sum()
    return lost


def gradient(
    classifier: TextClassifier, where: Alignment, label: int, runtime: Runtime, steps: int = STEPS
) -> NDArray[np.float64]:
    """For each token, what its embedding adds to the log-odds of `label` on the straight line from xxunk to the text.

    With many `steps` the weights sum to the difference in log-odds between its two ends; not quite for a text longer than
    `max_len` tokens, since no gradient crosses the border of a chunk.
    """
    ids = torch.from_numpy(where.ids.astype(np.int64)).to(runtime.device)
    if backward := classifier.config.direction == "backward":
        ids = ids.flip(0)
    net = runtime.ready(classifier.net)
    # shares the weights, but has its own train/eval mode: another thread may be predicting
    net = copy.deepcopy(
        net, {id(weight): weight for weight in net.state_dict(keep_vars=True).values()}
    )
    if len(ids) <= net.max_len:
        net.bptt = len(ids)  # a single chunk: the same scores, and all gradients pass
    net.encoder.lstms.train()  # cuDNN needs it for gradients; these LSTMs have no dropout themselves
    temperature, table = classifier.calibration.temperature, net.encoder.embedding.weight.detach()
    start, change = table[UNKNOWN_ID], table[ids] - table[UNKNOWN_ID]
    total = torch.zeros(len(ids), device=ids.device)
    for step in range(steps):
        rows = (start + (step + 0.5) / steps * change).requires_grad_()
        (slope,) = torch.autograd.grad(_score(net, rows, label, temperature), rows)
        total += (slope * change).sum(1)
    weights = total / steps
    return (weights.flip(0) if backward else weights).double().cpu().numpy()


def log_odds(probabilities: NDArray[np.float32], label: int) -> NDArray[np.float64]:
    """(D,) log p/(1 − p) of (D, C) probabilities; a 0 counts as the smallest positive float32."""
    others = np.delete(probabilities, label, axis=1).sum(axis=1, dtype=np.float64)
    tiny = np.finfo(np.float32).tiny
    return np.log(np.maximum(probabilities[:, label], tiny)) - np.log(np.maximum(others, tiny))


def _score(
    net: torch.nn.Module, rows: Float[Tensor, "T E"], label: int, temperature: float
) -> Tensor:
    """The log-odds of a label for a text given as embeddings, which replace the embedding table, one row per token."""
    first = PAD_ID + 1  # the padding's row gets no gradient, so tokens begin after it
    table = torch.cat([rows.new_zeros(first, rows.shape[1]), rows])
    tokens = torch.arange(first, len(table), device=rows.device)[None]
    changed = {"encoder.embedding.weight": table}
    logits = functional_call(net, changed, (tokens, torch.tensor([len(rows)]))).logits[0].float()
    logits = logits / temperature
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return logits[label] - others.logsumexp(0)
