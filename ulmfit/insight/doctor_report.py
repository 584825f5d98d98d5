"""The doctor's report: figures and places, as plain data."""

from dataclasses import dataclass

from ulmfit.config import LabelKind


@dataclass(frozen=True)
class Place:
    """Where a text is: the part, and its number among the part's texts, from 1."""

    part: str
    row: int
    label: str | None = None


@dataclass(frozen=True)
class Example:
    """Places, and the beginning of their text or the passage in question."""

    places: tuple[Place, ...]
    text: str


@dataclass(frozen=True)
class Found:
    """How many texts of each part have some property, and the first few of them."""

    texts: dict[str, int]
    examples: tuple[Example, ...] = ()

    def __bool__(self) -> bool:
        return any(self.texts.values())


@dataclass(frozen=True)
class Part:
    """The figures of one part."""

    texts: int
    empty: int  # texts of nothing but white space; not counted in the following figures
    copies: int  # equal to an earlier text but for white space
    near_copies: int  # not equal, but nearly, to an earlier one
    tokens: dict[str, int]  # per text: median, 90%, 99%, longest
    long: int  # texts with more than `max_len` tokens
    pooled: float  # share of a long text's tokens that the classifier pools, on average
    unlabelled: int  # texts without a label


@dataclass(frozen=True)
class Overlap:
    """Texts of part `second` that occur in `first` too: equal, or only nearly."""

    first: str
    second: str
    equal: int
    near: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Coverage:
    """How much of the training and unlabelled texts is in a pretrained model's vocabulary."""

    model: str
    rules: str
    unknown: float  # share of tokens that become xxunk
    unknown_after: float  # the same once fine-tuning has added the frequent words
    words: dict[str, int]  # the most frequent unknown words, with their counts


@dataclass(frozen=True)
class Report:
    """What `examine` found. Parts: those of train, unlabelled, valid and test that were given."""

    parts: dict[str, Part]
    label_kind: LabelKind  # of the texts in train
    classes: dict[str, int]  # texts per label in train, most first; none where they are numbers
    new_labels: dict[str, list[str]]  # part → labels that train lacks
    two_labels: Found  # equal texts, different labels
    near_two_labels: Found  # nearly equal texts, different labels
    overlaps: tuple[Overlap, ...]
    # "mojibake"; "lost": U+FFFD; "html": what the rules "fastai" and "clean" read differently
    characters: dict[str, Found]
    max_len: int  # most tokens that the classifier pools
    coverage: Coverage | None  # None: no pretrained model
