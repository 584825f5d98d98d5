"""Holding documents out: stratified by label, seeded, and equal texts always on one side."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ulmfit.config import FitConfig
from ulmfit.text.corpus import Document


def hold_out(
    documents: Sequence[Document], fraction: float, seed: int
) -> tuple[list[Document], list[Document]]:
    """(rest, held): about `fraction` of every label's documents are held, at least one where the label has two texts.

    Documents with equal text move together, so a held text is never trained on. Order within the parts is kept.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"a fraction to hold out lies in [0, 1), not {fraction}")
    groups: dict[str, list[int]] = defaultdict(list)  # text → its rows
    for row, document in enumerate(documents):
        groups[document.text].append(row)
    by_label: dict[object, list[list[int]]] = defaultdict(list)
    for rows in groups.values():
        by_label[documents[rows[0]].label].append(rows)
    held: set[int] = set()
    for label in sorted(by_label, key=str):
        candidates = by_label[label]
        wanted = fraction * sum(map(len, candidates))
        random.Random(f"{seed}/{label}").shuffle(candidates)
        taken = 0
        for rows in candidates[:-1]:  # one text of each label always stays
            if fraction == 0 or (taken and taken + len(rows) / 2 > wanted):
                break
            held.update(rows)
            taken += len(rows)
    rest = [d for row, d in enumerate(documents) if row not in held]
    return rest, [documents[row] for row in sorted(held)]


def without(documents: Iterable[Document], excluded: Iterable[Document]) -> list[Document]:
    """The documents whose text is not among those of `excluded`."""
    texts = {d.text for d in excluded}
    return [d for d in documents if d.text not in texts]


def distinct(documents: Iterable[Document]) -> list[Document]:
    """The first document of every text, in the order given."""
    seen: set[str] = set()
    first = []
    for document in documents:
        if document.text not in seen:
            seen.add(document.text)
            first.append(document)
    return first


@dataclass(frozen=True)
class Parts:
    """What a run does with its documents."""

    train: list[Document]  # labelled, for the classifier
    valid: list[Document]
    test: list[Document]
    texts: list[Document]  # for the language model; labels are not looked at


def divide(
    labelled: Sequence[Document],
    unlabelled: Sequence[Document],
    valid: Sequence[Document] | None,
    test: Sequence[Document],
    config: FitConfig,
    seed: int,
    say: Callable[[str], None],
) -> Parts:
    """Sort the documents of a run, refuse what can't be trained on, and say what is left out and why."""
    if missing := [d for d in labelled if d.label is None]:
        say(f"{len(missing)} documents of the labelled set have no label: used as unlabelled texts")
        labelled, unlabelled = [d for d in labelled if d.label is not None], [*unlabelled, *missing]
    check_labels(labelled)
    train, seen = list(labelled), {d.label for d in labelled}
    for name, part in (("validation", valid or ()), ("test", test)):
        if unknown := sorted({str(d.label) for d in part} - {str(label) for label in seen}):
            raise ValueError(
                f"the {name} set has labels that the training set lacks: {', '.join(unknown)}"
            )
        if overlap := len(train) - len(rest := without(train, part)):
            say(f"{overlap} labelled documents occur in the {name} set: left out of training")
            train = rest
    check_labels(train)
    if valid is None:
        train, valid = hold_out(train, config.classifier.valid_fraction, seed)
    held = [*valid, *test]
    texts = distinct([*train, *unlabelled, *(held if config.transductive else ())])
    if not config.transductive:
        known, texts = len(texts), without(texts, held)
        if known > len(texts):
            say(
                f"{known - len(texts)} texts of the validation and test sets are kept out of the language model"
            )
    say(
        f"{len(train):,} documents to train the classifier, {len(valid):,} to validate, {len(test):,} to test; "
        f"{len(texts):,} texts for the language model"
    )
    return Parts(train, list(valid), list(test), texts)


def check_labels(documents: Sequence[Document]) -> None:
    """ValueError where there is nothing to learn: no documents, one class, or a label with a single example."""
    count = Counter(str(d.label) for d in documents)
    if len(count) < 2:
        raise ValueError(
            f"a classifier needs at least two labels; found {list(count) or 'no documents'}"
        )
    if single := sorted(label for label, n in count.items() if n == 1):
        raise ValueError(
            f"{len(single)} labels have a single example ({', '.join(single[:5])}); give each at least two, or remove them"
        )
