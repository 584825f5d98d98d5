"""Examines texts before training: figures and places of what may be wrong. What to do about it is `advice`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import ClassifierConfig, FitConfig, TokenizerConfig
from ulmfit.insight.characters import PASSAGES, Passage, beginning
from ulmfit.insight.doctor_report import Coverage, Example, Found, Overlap, Part, Place, Report
from ulmfit.insight.duplicates import number, similarity
from ulmfit.pretrained import NONE, find
from ulmfit.progress import track
from ulmfit.text.document import Document, Label
from ulmfit.text.labels import kind_of, names_of
from ulmfit.text.splits import same
from ulmfit.text.tokenizer import Tokenizer, make_vocab
from ulmfit.text.words import Words

SHOWN = 3  # examples of each finding
COMPARED = 20  # texts of a group, among which the most similar one is sought for an example
WORDS_SHOWN = 10  # of those outside the pretrained model's vocabulary


@dataclass(frozen=True)
class _Text:
    place: Place
    text: str


def examine(
    labelled: Iterable[Document],
    *,
    unlabelled: Iterable[Document] = (),
    valid: Iterable[Document] = (),
    test: Iterable[Document] = (),
    pretrained: str = FitConfig.pretrained,
    classifier: ClassifierConfig = FitConfig.classifier,
) -> Report:
    """Examines the documents that `fit` would be given, and changes nothing.

    `pretrained`: as for `fit`; a model that fastai has published is downloaded when first named. ValueError: there are no
    texts, or no such model.
    """
    given = {"train": labelled, "unlabelled": unlabelled, "valid": valid, "test": test}
    lists = {part: list(of_part) for part, of_part in given.items()}
    documents = {part: of_part for part, of_part in lists.items() if of_part}
    texts = [
        _Text(Place(part, row, _shown(d.label)), d.text)
        for part, of_part in documents.items()
        for row, d in enumerate(of_part, 1)
        if d.text.strip()
    ]
    if not texts:
        raise ValueError("there are no texts to examine; give a file with at least one")
    tokenizer = None if pretrained == NONE else Tokenizer.load(find(pretrained) / "tokenizer.json")
    strings = [t.text for t in texts]
    lengths, (copies, groups) = _lengths(strings, tokenizer), number(strings)
    learnt = [t.text for t in texts if t.place.part in ("train", "unlabelled")]
    rows = {
        part: np.array([i for i, t in enumerate(texts) if t.place.part == part], np.int64)
        for part in documents
    }
    labels = {part: _labels(of_part) for part, of_part in documents.items()}
    known = labels.get("train", Counter[str]())
    return Report(
        parts={
            part: _part(of_part, lengths[i], copies[i], groups[i], classifier)
            for (part, of_part), i in zip(documents.items(), rows.values(), strict=True)
        },
        label_kind=kind_of(d.label for d in documents.get("train", ())),
        classes=dict(known.most_common()),
        new_labels={
            part: new
            for part, names in labels.items()
            if part != "unlabelled" and known and (new := sorted(names.keys() - known.keys()))
        },
        two_labels=_two_labels(texts, copies),
        near_two_labels=_two_labels(texts, groups, apart=copies),
        overlaps=tuple(_overlaps(texts, rows, copies, groups)),
        characters={name: _found(texts, passage) for name, passage in PASSAGES.items()},
        max_len=classifier.max_len,
        coverage=_coverage(pretrained, tokenizer, learnt) if tokenizer and learnt else None,
    )


def _shown(label: Label | None) -> str | None:
    if label is None:
        return None
    if kind_of([label]) == "number":
        return f"{label:g}"
    return ", ".join(names_of(label)) or "no label"


def _labels(documents: Sequence[Document]) -> Counter[str]:
    return Counter(name for d in documents if d.label is not None for name in names_of(d.label))


# ---- tokens ----


def _lengths(texts: Sequence[str], tokenizer: Tokenizer | None) -> NDArray[np.int64]:
    """(N,) the number of tokens of each text; without a pretrained tokenizer, by one as `fit` would build."""
    tokenizer = tokenizer or Tokenizer.build(texts, TokenizerConfig())
    encoded = tokenizer.encode_all(track(texts, "counting tokens", unit="texts"))
    return np.array([len(ids) for ids in encoded], np.int64)


def _count(texts: Sequence[str], tokenizer: Tokenizer) -> Counter[str]:
    """How often each token occurs, whether in the vocabulary or not."""
    if tokenizer.model is not None:
        return Counter(token for text in texts for token in tokenizer.tokenize(text))
    return Words(tokenizer.config.lang, tokenizer.config.rules, tokenizer.patterns).count(texts)


def _part(
    documents: Sequence[Document],
    lengths: NDArray[np.int64],
    copies: NDArray[np.int64],
    groups: NDArray[np.int64],
    classifier: ClassifierConfig,
) -> Part:
    distinct, long = len(np.unique(copies)), lengths[lengths > classifier.max_len]
    # Pooling leaves out whole chunks from the beginning until at most max_len tokens remain (`ClassifierNet.read`).
    left_out = -(-(long - classifier.max_len) // classifier.bptt) * classifier.bptt
    marks = np.percentile(lengths, [50, 90, 99, 100], method="higher") if len(lengths) else [0] * 4
    return Part(
        texts=len(documents),
        empty=len(documents) - len(lengths),
        copies=len(lengths) - distinct,
        near_copies=distinct - len(np.unique(groups)),
        tokens=dict(zip(("median", "90%", "99%", "longest"), map(int, marks), strict=True)),
        long=len(long),
        pooled=float(np.mean(1 - left_out / long)) if len(long) else 1.0,
        unlabelled=sum(d.label is None for d in documents),
    )


def _coverage(name: str, tokenizer: Tokenizer, texts: Sequence[str]) -> Coverage:
    count = _count(texts, tokenizer)
    total, known = count.total(), set(tokenizer.vocab)
    unknown = Counter({token: n for token, n in count.items() if token not in known})
    added, defaults = set[str](), TokenizerConfig()
    if tokenizer.model is None:  # fine-tuning adds words, but no pieces
        added = set(make_vocab(count, defaults.max_vocab, defaults.min_freq))
    rest = sum(n for token, n in unknown.items() if token not in added)
    return Coverage(
        model=name,
        rules=tokenizer.config.rules,
        unknown=unknown.total() / total,
        unknown_after=rest / total,
        words=dict(unknown.most_common(WORDS_SHOWN)),
    )


# ---- copies ----


def _two_labels(
    texts: Sequence[_Text], groups: NDArray[np.int64], apart: NDArray[np.int64] | None = None
) -> Found:
    """Labelled texts of one group with different labels. `apart`: copy numbers; a group that differs only within copies is left
    out."""
    members = defaultdict[int, list[int]](list)
    for i, group in enumerate(groups.tolist()):
        if texts[i].place.label is not None:
            members[group].append(i)
    counts, examples = Counter[str](), list[Example]()
    for group in members.values():
        labels = defaultdict[str | None, list[int]](list)
        for i in group:
            labels[texts[i].place.label].append(i)
        if len(labels) < 2:
            continue
        first = [found[0] for found in labels.values()]
        if apart is not None and len(set(apart[first].tolist())) < 2:
            continue  # copies of one text, reported as such
        counts.update(texts[i].place.part for i in group)
        examples.append(_example([texts[i] for i in first]))
    return Found(dict(counts), tuple(examples[:SHOWN]))


def _overlaps(
    texts: Sequence[_Text],
    rows: dict[str, NDArray[np.int64]],
    copies: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> Iterator[Overlap]:
    for first, second in combinations(rows, 2):
        here, there = rows[first], rows[second]
        equal = np.isin(copies[there], copies[here])
        near = np.isin(groups[there], groups[here]) & ~equal
        examples = list[Example]()
        for i in (*there[equal][:1], *there[near][: SHOWN - 1]):
            numbers = copies if copies[i] in copies[here] else groups
            alike = here[numbers[here] == numbers[i]][:COMPARED]
            twin = max(alike, key=lambda j, i=i: similarity(texts[j].text, texts[i].text))
            examples.append(_example([texts[twin], texts[i]]))
        yield Overlap(first, second, int(equal.sum()), int(near.sum()), tuple(examples))


def _example(texts: Sequence[_Text]) -> Example:
    """The places of copies or near copies, the beginning of the first, and how similar the second is."""
    first, second = texts[0].text, texts[1].text
    alike = "" if same(first) == same(second) else f" ({similarity(first, second):.0%} alike)"
    return Example(tuple(t.place for t in texts), beginning(first) + alike)


def _found(texts: Sequence[_Text], passage: Passage) -> Found:
    """The texts with damage of the kind that `passage` detects."""
    counts, examples = Counter[str](), list[Example]()
    for text in texts:
        if shown := passage(text.text):
            counts[text.place.part] += 1
            if len(examples) < SHOWN:
                examples.append(Example((text.place,), shown()))
    return Found(dict(counts), tuple(examples))
