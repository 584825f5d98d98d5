"""Pseudo-labels (Lee 2013): where few texts are labelled, linear models guess the labels of others.

They know words, the words' embeddings, and what the encoder makes of a text. On reviews the first is best, on questions the last,
and together they are about as good as the best one (docs/log.md). A classifier that has read the guesses makes more of the labels.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulmfit.baseline import word_model
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import outputs_for
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.labels import kind_of, label_names
from ulmfit.text.splits import wants_guesses, without

FOLDS = 5  # of the labelled texts, at most
LEAST_GAIN = 0.01  # over chance; 1 is always right
SHARPNESS, ROUNDS, LEAST_SHARE = 10.0, 200, 1e-6  # of `_offsets`
# inverse regularisation strengths: of features there may be more than labels
C_EMBEDDINGS, C_FEATURES = 0.1, 0.01


def texts_to_guess(
    documents: Sequence[Document], texts: Sequence[Document], config: ClassifierConfig, seed: int
) -> list[Document]:
    """Some of the texts nobody labelled, as many as `documents` lack to be `config.pseudo_labels`; none where half of that
    are labelled, where there are fewer texts than labelled ones, and where a label is more than one class or the only one."""
    if not wants_guesses(len(documents), config):
        return []
    labels = [d.label for d in documents]
    if kind_of(labels) != "single" or len(label_names(labels)) < 2:
        return []
    if len(pool := without(texts, documents)) < len(documents):
        return []
    wanted = min(config.pseudo_labels - len(documents), len(pool))
    return random.Random(seed).sample(pool, wanted)


def pseudo_labelled(
    lm: LanguageModel,
    documents: Sequence[Document],
    texts: Sequence[Document],
    config: ClassifierConfig,
    runtime: Runtime,
    *,
    say: Say = silent,
    kept: Path | None = None,
) -> list[Document]:
    """`texts_to_guess` with their labels.

    What was guessed is written to the file `kept`, and taken from there: a run that goes on must not see other guesses.
    """
    some = texts_to_guess(documents, texts, config, runtime.seed)
    if not some:
        return []
    outputs, world, of = outputs_for(documents, config), runtime.world, fingerprint(documents, some)
    before = load_json(kept) if world.first and kept and kept.exists() else {}
    found = before["guessed"] if before.get("of") == of else [-1] * len(some)
    guessed = torch.tensor(found, device=runtime.device)
    world.from_first([guessed])
    if guessed.min() < 0:
        say(
            f"{len(documents):,} labelled texts are few: the labels of {len(some):,} others are guessed"
        )
        reader = TextClassifier.create(lm, outputs, config)
        count = Counter(d.label for d in documents)
        # cross-validation needs two texts of a label: one that is alone stands there twice
        known = [*documents, *(d for d in documents if count[d.label] == 1)]
        told = (reader, [d.text for d in known], [d.text for d in some], runtime)
        guessed.copy_(torch.from_numpy(guess(_views(*told), outputs.truth(known))))
        world.from_first([guessed])  # another machine may round otherwise
        if world.first and kept:
            save_json(kept, {"of": of, "guessed": guessed.tolist()})
    labels = (outputs.labels[i] for i in guessed.tolist())
    return [Document(d.text, label) for d, label in zip(some, labels, strict=True)]


def _views(
    reader: TextClassifier, known: Sequence[str], new: Sequence[str], runtime: Runtime
) -> list[tuple[Any, Any, Any]]:
    """Models, and what they are given of texts with and without labels."""
    texts, n = [*known, *new], len(known)
    read = reader.features(texts, runtime, progress="guessing labels").cpu().numpy()
    embedding = reader.net.encoder.embedding.weight.detach().float().cpu().numpy()
    means = np.stack([embedding[ids].mean(axis=0) for ids in reader.tokenizer.encode_all(texts)])
    return [
        (word_model(), known, new),
        (_linear(C_EMBEDDINGS), means[:n], means[n:]),
        (_linear(C_FEATURES), read[:n], read[n:]),
    ]


def guess(views: Sequence[tuple[Any, Any, Any]], truth: np.ndarray) -> np.ndarray:
    """(D,) the class that all models together think likeliest. A view: an untrained model, what it is given of the labelled
    texts, whose classes are `truth` (two texts of each or more), and of the D others.

    Each is asked about labelled texts it has not seen, too: what it says counts with the square of how much better than chance
    it is there. And there each class must be named as often as the labels do, since models of few texts lean to one.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(min(FOLDS, *np.bincount(truth)), shuffle=True, random_state=0)
    unseen: Any = 0.0
    votes: Any = 0.0
    for model, known, new in views:
        try:
            held = _scores(cross_val_predict(model, known, truth, cv=folds, method="predict_proba"))
            scores = _scores(model.fit(known, truth).predict_proba(new))
        except ValueError:  # texts without a word of two letters, which TF-IDF can't be made of
            continue
        centre = np.mean([held[truth == c].mean(axis=0) for c in np.unique(truth)], axis=0)
        right = balanced_accuracy_score(truth, (held - centre).argmax(axis=1), adjusted=True)
        share = max(LEAST_GAIN, right) ** 2 / (scores.std() or 1.0)
        unseen, votes = unseen + share * (held - centre), votes + share * (scores - centre)
    return (votes + _offsets(unseen, np.bincount(truth) / len(truth))).argmax(axis=1)


def _offsets(scores: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(C,) what to add to (D, C) scores so that each class is the largest in its share of the rows."""
    sharp, offsets = SHARPNESS / (scores.std() or 1.0), np.zeros(len(shares))
    for _ in range(ROUNDS):
        exponents = sharp * (scores + offsets)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        named = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
        offsets += np.log(shares / named.clip(LEAST_SHARE)) / sharp
    return offsets


def _scores(probabilities: Any) -> np.ndarray:
    """Logarithms, whose mean over the classes of a text is 0."""
    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny))
    return logs - logs.mean(axis=1, keepdims=True)


def _linear(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
