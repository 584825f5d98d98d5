"""Holding documents out: stratified by label, seeded, and equal texts always on one side.

Texts are equal where they differ in white space only.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ulmfit.config import NONE, ClassifierConfig, FitConfig
from ulmfit.progress import Say
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document, shown
from ulmfit.text.labels import SAID, kind_of, label_names, names_of

LISTED = 5  # labels named in a message
NEARLY_ALL = 0.9  # of the labels
SWAPPED = "nearly all labels do: are --text-column and --label-column swapped?"


def same(text: str) -> str:
    """The text by which two are compared: a copy with other white space is still a copy."""
    return " ".join(text.split())


def hold_out(
    documents: Sequence[Document], fraction: float, seed: int, *, stratify: bool = True
) -> tuple[list[Document], list[Document]]:
    """(rest, held): about `fraction` of the documents is held out, at least one where labels and equal texts allow it;
    none of fewer than three different texts.

    `stratify`: about the same share of every label, but never all of it; a label with few documents may give none. Of
    several labels on one text the rarest counts. Numbers are drawn at random. Documents with equal text stay together, so
    that no held text is trained on. Order within the parts is kept.
    """
    labels = [(d.label is not None and stratify and names_of(d.label)) or ("",) for d in documents]
    held = _rows_held((same(d.text) for d in documents), labels, fraction, seed)
    rest = [d for row, d in enumerate(documents) if row not in held]
    return rest, [documents[row] for row in sorted(held)]


def hold_out_encoded(corpus: Corpus, fraction: float, seed: int) -> tuple[Corpus, Corpus]:
    """As `hold_out` without labels, for a corpus: documents with equal ids stay together, and no ids are copied."""
    keys = (hashlib.blake2b(ids.tobytes(), digest_size=8).digest() for ids in corpus)
    held = _rows_held(keys, [("",)] * len(corpus), fraction, seed)
    rest = [row for row in range(len(corpus)) if row not in held]
    return corpus.subset(rest), corpus.subset(sorted(held))


def _rows_held(
    keys: Iterable[Hashable], labels: Sequence[tuple[str, ...]], fraction: float, seed: int
) -> set[int]:
    """The rows to hold out; those of one key stay together. `labels`: by which each row is stratified."""
    if not 0 <= fraction < 1:
        raise ValueError(f"the fraction to hold out must lie in [0, 1), not be {fraction}")
    groups: dict[Hashable, list[int]] = defaultdict(list)  # key → its rows
    for row, key in enumerate(keys):
        groups[key].append(row)
    if fraction == 0 or len(groups) < 3:
        return set()
    wanted = max(1, round(fraction * len(labels)))
    left, held = Counter(chain.from_iterable(labels)), set[int]()
    rarest = [min(names, key=left.__getitem__) for names in labels]
    for rows in _in_turn(list(groups.values()), rarest, random.Random(seed)):
        gone = Counter(name for row in rows for name in labels[row])
        stays = all(left[label] > n for label, n in gone.items())
        if stays and len(held) + len(rows) / 2 <= wanted:
            held.update(rows)
            left.subtract(gone)
    return held


def _in_turn(
    groups: list[list[int]], labels: Sequence[str], draw: random.Random
) -> list[list[int]]:
    """Shuffled so that the first m groups, for any m, have about the same share of every label: a label's k-th of n
    documents stands at (k + offset) / n. The offset is random, so that labels with few documents take turns."""
    size, before = Counter(labels), Counter[str]()
    offset = {label: draw.random() for label in sorted(size)}
    draw.shuffle(groups)
    places: list[float] = []
    for rows in groups:
        label = labels[rows[0]]
        places.append((before[label] + offset[label]) / size[label])
        before[label] += len(rows)
    return [groups[i] for i in sorted(range(len(groups)), key=places.__getitem__)]


def without(documents: Iterable[Document], excluded: Iterable[Document]) -> list[Document]:
    """The documents whose text is not among those of `excluded`."""
    texts = {same(d.text) for d in excluded}
    return [d for d in documents if same(d.text) not in texts]


def distinct(documents: Iterable[Document]) -> list[Document]:
    """The first document of every text, in the order given."""
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(same(document.text), document)
    return list(first.values())


def wants_guesses(labelled: int, config: ClassifierConfig) -> bool:
    """Whether so few documents are labelled that pseudo-labels are wanted: fewer than half of `config.pseudo_labels`."""
    return 2 * labelled < config.pseudo_labels


@dataclass(frozen=True)
class Parts:
    """What a run does with its documents."""

    train: list[Document]  # labelled, for the classifier
    valid: list[Document]
    test: list[Document]
    # for the language model, or a new vocabulary; empty where neither is learnt. Labels are not read
    texts: list[Document]
    # for pseudo-labels; without held texts
    unlabelled: list[Document] = field(default_factory=list[Document])


def divide(
    labelled: Sequence[Document],
    unlabelled: Sequence[Document],
    valid: Sequence[Document] | None,
    test: Sequence[Document],
    config: FitConfig,
    seed: int,
    say: Say,
) -> Parts:
    """Sort the documents of a run, refuse what can't be trained on, and say what is left out and why."""
    read = config.finetune or config.pretrained == NONE
    given, missing = unlabelled, [d for d in labelled if d.label is None]
    if missing:
        labelled, unlabelled = [d for d in labelled if d.label is not None], [*unlabelled, *missing]
    if valid and (shared := len(valid) - len(rest := without(valid, test))):
        say(
            f"{shared} documents of the validation set are also in the test set: left out of validation"
        )
        valid = rest
    train = list(labelled)
    for name, part in (("validation", valid or ()), ("test", test)):
        if overlap := len(train) - len(rest := without(train, part)):
            say(f"{overlap} labelled documents are also in the {name} set: left out of training")
            train = rest
    check_labels(train)  # only now: a label may have occurred in held texts alone
    for name, part in (("validation", valid or ()), ("test", test)):
        _check_alike(train, part, name)
    if valid is None:
        train, valid = hold_out(train, config.classifier.valid_fraction, seed)
    guessed = wants_guesses(len(train), config.classifier)
    if unused := _unused(() if read or guessed else given, config):
        say(f"the language model is not fine-tuned: {unused} not used")
    if missing:
        use = "used as unlabelled texts" if read or guessed else "left out"
        say(f"{len(missing)} documents of the labelled set have no label: {use}")
    held = [*valid, *test]
    pool = [*train, *unlabelled, *(held if config.transductive else ())]
    texts = distinct(pool) if read else []
    if not config.transductive:
        before, texts = len(texts), without(texts, held)
        if before > len(texts):
            say(
                f"{before - len(texts)} texts of the validation and test sets are not used for the language model"
            )
    reader = "the language model" if config.finetune else "a new vocabulary"
    say(
        f"{len(train):,} documents to train the classifier, {len(valid):,} to validate, {len(test):,} to test"
        + (f"; {len(texts):,} texts for {reader}" if read else "")
    )
    return Parts(train, list(valid), list(test), texts, without(distinct(unlabelled), held))


def _unused(texts: Sequence[Document], config: FitConfig) -> str:
    """What goes unused because the language model is not fine-tuned; empty where nothing does."""
    unused = [f"{len(texts):,} unlabelled texts"] if texts else []
    if config.lm != FitConfig.lm:
        unused.append("the settings lm.*")
    return "" if config.finetune or not unused else " and ".join(unused) + " are"


def check_labels(documents: Sequence[Document]) -> None:
    """ValueError where there is nothing to learn: no documents, one class or number, a label with a single example, or
    labels that all texts have; and where labels are of several kinds."""
    labels = [d.label for d in documents if d.label is not None]
    kind = kind_of(labels)
    if kind == "number":
        if len(set(labels)) < 2:
            raise ValueError(
                f"there is nothing to learn: all {len(labels)} numbers are {labels[0]:g}"
            )
        return
    count = Counter(name for label in labels for name in names_of(label))
    if kind == "single" and len(count) < 2:
        raise ValueError(
            f"a classifier needs at least two labels; found {list(count) or 'no documents'}"
        )
    if single := sorted(label for label, n in count.items() if n == 1):
        have = "1 label has" if len(single) == 1 else f"{len(single):,} labels have"
        mend = SWAPPED if looks_swapped(count) else "give each at least two, or remove them"
        raise ValueError(f"{have} a single example ({listed(single)}); {mend}")
    if min(count.values(), default=len(labels)) == len(labels):
        raise ValueError(
            f"there is nothing to learn: all texts have the same labels ({', '.join(count) or 'none'})"
        )


def _check_alike(train: Sequence[Document], part: Sequence[Document], name: str) -> None:
    """ValueError where a text of a part has no label, one of another kind than those of the training set, or an unknown one."""
    if missing := sum(d.label is None for d in part):
        raise ValueError(
            f"{missing:,} of {len(part):,} documents of the {name} set have no label; label them, or leave them out"
        )
    kind = kind_of(d.label for d in train)
    if part and (its := kind_of(d.label for d in part)) != kind:
        raise ValueError(
            f"the training set has {SAID[kind]} per text, the {name} set {SAID[its]}; read both with the same --label-kind"
        )
    if unknown := sorted(
        {*label_names(d.label for d in part)} - {*label_names(d.label for d in train)}
    ):
        raise ValueError(
            f"the {name} set has labels that the training set lacks: {listed(unknown)}"
        )


def looks_swapped(sizes: Mapping[str, int]) -> bool:
    """Whether nearly every label has one text only, as where texts were taken for labels. `sizes`: texts per label."""
    single = sum(n == 1 for n in sizes.values())
    return single > LISTED and single >= NEARLY_ALL * len(sizes)


def listed(names: Sequence[str]) -> str:
    """Labels as messages list them: the first few, each cut."""
    more = f", … ({len(names):,} in all)" if len(names) > LISTED else ""
    return ", ".join(map(shown, names[:LISTED])) + more
