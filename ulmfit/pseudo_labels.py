"""Pseudo-labels (Lee 2013): if few texts are labelled, linear models guess the labels of others.

There are three: on TF-IDF of words, on the mean of the words' embeddings, and on the encoder's pooled features. For reviews the
first is best, for questions the last, and together they are about as good as the best one (docs/log.md). A classifier that is
first trained on the guesses ends up better.
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

FOLDS = 5  # of cross-validation, at most
LEAST_GAIN = 0.01  # over chance, at least, in a model's weight; 1: always right
SHARPNESS, ROUNDS, LEAST_SHARE = 10.0, 200, 1e-6  # of `_offsets`
# inverse regularisation strengths: strong, since there may be more features than labels
C_EMBEDDINGS, C_FEATURES = 0.1, 0.01


def texts_to_guess(
    documents: Sequence[Document], texts: Sequence[Document], config: ClassifierConfig, seed: int
) -> list[Document]:
    """The texts whose labels are to be guessed: drawn from those that are not labelled, as many as `documents` lack to make
    `config.pseudo_labels`. None if half of that number are labelled, if there are fewer such texts than labelled ones, or if the
    labels are not one class per text, of two classes at least."""
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
    """`texts_to_guess` with guessed labels.

    The guesses are saved in the file `kept` and read back from it, so that a resumed run trains on the same ones.
    """
    new = texts_to_guess(documents, texts, config, runtime.seed)
    if not new:
        return []
    outputs, world, of = outputs_for(documents, config), runtime.world, fingerprint(documents, new)
    before = load_json(kept) if world.first and kept and kept.exists() else {}
    known = before["guessed"] if before.get("of") == of else [-1] * len(new)
    guessed = torch.tensor(known, device=runtime.device)  # classes; −1: not guessed yet
    world.from_first([guessed])
    if guessed.min() < 0:
        say(
            f"{len(documents):,} labelled texts are few: the labels of {len(new):,} others are guessed"
        )
        reader = TextClassifier.create(lm, outputs, config)
        count = Counter(d.label for d in documents)
        # cross-validation needs two texts of each label, so the only one of a label is repeated
        labelled = [*documents, *(d for d in documents if count[d.label] == 1)]
        views = _views(reader, [d.text for d in labelled], [d.text for d in new], runtime)
        guessed.copy_(torch.from_numpy(guess(views, outputs.truth(labelled))))
        world.from_first([guessed])  # another machine may round differently
        if world.first and kept:
            save_json(kept, {"of": of, "guessed": guessed.tolist()})
    labels = (outputs.labels[i] for i in guessed.tolist())
    return [Document(d.text, label) for d, label in zip(new, labels, strict=True)]


def _views(
    reader: TextClassifier, known: Sequence[str], new: Sequence[str], runtime: Runtime
) -> list[tuple[Any, Any, Any]]:
    """For each linear model: itself, unfitted, and its inputs for the texts with and without labels."""
    texts, n = [*known, *new], len(known)
    pooled = reader.features(texts, runtime, progress="guessing labels").cpu().numpy()
    embedding = reader.net.encoder.embedding.weight.detach().float().cpu().numpy()
    means = np.stack([embedding[ids].mean(axis=0) for ids in reader.tokenizer.encode_all(texts)])
    return [
        (word_model(), known, new),
        (_linear(C_EMBEDDINGS), means[:n], means[n:]),
        (_linear(C_FEATURES), pooled[:n], pooled[n:]),
    ]


def guess(views: Sequence[tuple[Any, Any, Any]], truth: np.ndarray) -> np.ndarray:
    """(D,) the class that all models together find likeliest. A view: an unfitted model, its inputs for the labelled texts,
    whose classes are `truth` (at least two texts of each), and its inputs for the D others.

    Each model is also cross-validated on the labelled texts, and counts by the square of its accuracy above chance there.
    Offsets make each class predicted there as often as it is labelled, since models of few texts favour one class.
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
        except ValueError:  # no text has a word of two letters, as TF-IDF needs
            continue
        centre = np.mean([held[truth == c].mean(axis=0) for c in np.unique(truth)], axis=0)
        gain = balanced_accuracy_score(truth, (held - centre).argmax(axis=1), adjusted=True)
        weight = max(LEAST_GAIN, gain) ** 2 / (scores.std() or 1.0)
        unseen, votes = unseen + weight * (held - centre), votes + weight * (scores - centre)
    return (votes + _offsets(unseen, np.bincount(truth) / len(truth))).argmax(axis=1)


def _offsets(scores: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(C,) to be added to (D, C) scores so that each class is the largest in its share of the rows."""
    sharp, offsets = SHARPNESS / (scores.std() or 1.0), np.zeros(len(shares))
    for _ in range(ROUNDS):
        exponents = sharp * (scores + offsets)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        predicted = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
        offsets += np.log(shares / predicted.clip(LEAST_SHARE)) / sharp
    return offsets


def _scores(probabilities: Any) -> np.ndarray:
    """Log-probabilities, centred to mean 0 over the classes of each text."""
    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny))
    return logs - logs.mean(axis=1, keepdims=True)


def _linear(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
