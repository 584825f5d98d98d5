"""What to do about what the doctor found, in words: a `Finding` for each check, also if all is well."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ulmfit.config import TokenizerConfig
from ulmfit.insight.doctor_report import Example, Overlap, Place, Report
from ulmfit.text.document import shown
from ulmfit.text.splits import listed, looks_swapped

FEW = 10  # texts; figures for a class with fewer can't be trusted
CLASSES_SHOWN = 6  # of more, the two largest and the two smallest are shown
UNEVEN = 10  # ratio of the largest to the smallest class that is worth a note
SMALL_SHARE = 0.01  # of the texts; HTML misread in fewer hardly matters
LONG_SHARE = 0.05  # of the texts; if more are long, a larger max_len may help
STRANGE = 0.10  # share of unknown tokens that suggests another language or kind of text
NOTHING = "Nothing needs doing."


@dataclass(frozen=True)
class Finding:
    """What was found and what to do about it. `level`: "ok", "note" (worth knowing) or "do"."""

    about: str
    level: Literal["ok", "note", "do"]
    found: str
    advice: str = NOTHING
    examples: tuple[Example, ...] = ()


def findings(report: Report, skipped: Sequence[str] = ()) -> list[Finding]:
    """The findings of all checks, the most harmful first.

    `skipped`: messages of the file reader about rows it left out.
    """
    checks = [_labels, _classes, _spellings, _two_labels, _overlap, _copies, _characters, _html, _length, _words]  # fmt: skip
    return [*_empty(report, skipped), *(finding for check in checks for finding in check(report))]


def _empty(report: Report, skipped: Sequence[str]) -> Iterator[Finding]:
    empty = {name: part.empty for name, part in report.parts.items()}
    mend = "Fill or remove them: `ulmfit fit` stops at them."
    for line in skipped:
        advice = f"{mend} The numbers below count the remaining texts."
        yield Finding("unusable rows", "do", line, advice)
    if any(empty.values()):
        yield Finding("empty texts", "do", _counts(empty), mend)
    elif not skipped:
        yield Finding("empty texts", "ok", "none")


def _labels(report: Report) -> Iterator[Finding]:
    without = {n: p.unlabelled for n, p in report.parts.items() if n != "unlabelled"}
    if train := without.pop("train", 0):
        advice = "Nothing needs doing: `ulmfit fit` takes them as unlabelled texts."
        yield Finding("no label", "note", _counts({"train": train}), advice)
    if any(without.values()):
        yield Finding("no label", "do", _counts(without), "Label or remove them.")
    for part, labels in report.new_labels.items():
        found = f"{part} has labels that train lacks: {listed(labels)}"
        advice = "Correct them, or add examples to train; `ulmfit fit` stops at them."
        yield Finding("labels", "do", found, advice)


def _classes(report: Report) -> Iterator[Finding]:
    if "train" not in report.parts:
        return
    sizes = report.classes
    if report.label_kind == "number":
        yield Finding("labels", "ok", "numbers; they are not checked")
        return
    several = report.label_kind == "multi"  # then a single label, present or absent, can be learnt
    if len(sizes) < (1 if several else 2):
        needed = "one label" if several else "two labels"
        advice = (
            f"A classifier needs at least {needed}: choose another --label-column, or add texts."
        )
        yield Finding("classes", "do", f"{len(sizes)} in train", advice)
        return
    largest, (least, smallest) = max(sizes.values()), [*sizes.items()][-1]
    names = [f"{shown(label)} ({n:,})" for label, n in sizes.items()]
    if len(names) > CLASSES_SHOWN:
        names[2:-2] = ["…"]
    found = f"{len(sizes)} in train: {', '.join(names)}"
    few = [label for label, n in sizes.items() if n < FEW]
    if few:
        found += f"; {len(few)} with fewer than {FEW} texts: {listed(few[::-1])}"
        advice = "Label more texts of these classes, or merge them with others."
        if looks_swapped(sizes):
            advice = "Nearly all have only one text: are --text-column and --label-column swapped?"
        elif smallest < 2:
            advice += " `ulmfit fit` needs two of each."
        yield Finding("classes", "do", found, advice)
    elif largest >= UNEVEN * smallest:
        advice = f"Judge by macro-F1, not by accuracy (`ulmfit evaluate` prints both); label more of {shown(least)}."
        yield Finding("classes", "note", found, advice)
    else:
        yield Finding("classes", "ok", found)


def _spellings(report: Report) -> Iterator[Finding]:
    alike = defaultdict[str, list[str]](list)
    for label in report.classes:
        alike[" ".join(label.split()).casefold()].append(repr(shown(label)))
    if same := [" and ".join(names) for names in alike.values() if len(names) > 1]:
        found = f"{len(same)} written in several ways: {', '.join(same[:CLASSES_SHOWN])} differ in case or spaces only"
        yield Finding(
            "spellings", "do", found, "Write them alike; so far they are different classes."
        )


def _two_labels(report: Report) -> Iterator[Finding]:
    if not report.classes:
        return
    equal, near = report.two_labels, report.near_two_labels
    if equal:
        advice = "Correct the labels, or remove the rows: nothing can be learnt from them."
        yield Finding("two labels", "do", _counts(equal.texts), advice, equal.examples)
    if near:
        found = f"nearly equal texts with different labels: {_counts(near.texts)}"
        advice = "Read some of them: does the meaning differ, or only the label?"
        yield Finding("two labels", "note", found, advice, near.examples)
    if not equal and not near:
        yield Finding("two labels", "ok", "no text occurs under two labels")


def _overlap(report: Report) -> Iterator[Finding]:
    apart = list[str]()
    for overlap in report.overlaps:
        about = f"{overlap.first} ∩ {overlap.second}"
        found = f"{overlap.equal:,} of {overlap.second} equal, {overlap.near:,} more nearly equal"
        if not overlap.equal and not overlap.near:
            apart.append(about)
        elif (overlap.first, overlap.second) == ("train", "unlabelled"):
            advice = "Nothing needs doing: the language model reads equal texts once."
            yield Finding(about, "ok", found, advice)
        else:
            yield Finding(about, *_leak(overlap, found), overlap.examples)
    if apart:
        yield Finding("overlap", "ok", f"nothing in common: {', '.join(apart)}")


def _leak(overlap: Overlap, found: str) -> tuple[Literal["note", "do"], str, str]:
    loser, keeper = overlap.first, overlap.second
    if loser == "valid":
        equal = "`ulmfit fit` leaves equal texts out of valid"
    else:
        equal = f"`ulmfit fit` leaves equal texts out of {'training' if loser == 'train' else 'the language model'}"
    if not overlap.near:
        return "note", found, f"Nothing needs doing: {equal}."
    return (
        "do",
        found,
        f"{equal}, but not nearly equal ones: remove those from {loser}, or the score on {keeper} will be too high.",
    )


def _copies(report: Report) -> Iterator[Finding]:
    equal = {name: part.copies for name, part in report.parts.items()}
    near = {name: part.near_copies for name, part in report.parts.items()}
    if not any(equal.values()) and not any(near.values()):
        yield Finding("copies", "ok", "none within a file")
        return
    if any(equal.values()):
        advice = "Nothing needs doing: copies stay on one side of a split, but they count twice. Remove them if that is not intended."
        yield Finding("copies", "note", f"equal to an earlier text: {_counts(equal)}", advice)
    if any(near.values()):
        found, train = f"nearly equal to an earlier text: {_counts(near)}", near.get("train", 0)
        advice, alone = NOTHING, "valid" not in report.parts
        if train and alone:
            advice = "Part of train will be held out, and near copies may end up on both sides: give --valid, or remove them."
        yield Finding("near copies", "note", found, advice)


def _characters(report: Report) -> Iterator[Finding]:
    mojibake, lost = report.characters["mojibake"], report.characters["lost"]
    if mojibake:
        advice = "The file was once read in a wrong encoding: export it again as UTF-8, or repair each text with Python's `ftfy.fix_encoding`."
        yield Finding("mojibake", "do", _counts(mojibake.texts), advice, mojibake.examples)
    if lost:
        advice = "U+FFFD stands for characters that are lost: export the file again, as UTF-8."
        yield Finding("lost characters", "do", _counts(lost.texts), advice, lost.examples)
    if not mojibake and not lost:
        yield Finding("encoding", "ok", "no mojibake, no lost characters")


def _html(report: Report) -> Iterator[Finding]:
    html = report.characters["html"]
    share = sum(html.texts.values()) / sum(part.texts for part in report.parts.values())
    if not html:
        yield Finding("HTML", "ok", "fastai's rules and the clean ones read all texts alike")
        return
    found = f"fastai's rules misread, the clean ones do not: {_counts(html.texts)} ({share:.1%})"
    if share < SMALL_SHARE:
        yield Finding("HTML", "note", found, f"So few hardly matter. {NOTHING}", html.examples)
    elif report.coverage is None:
        yield Finding("HTML", "do", found, "Train with --tokenizer.rules clean.", html.examples)
    elif report.coverage.rules == "clean":
        advice = f"Nothing needs doing: {report.coverage.model} was made with the clean rules."
        yield Finding("HTML", "ok", found, advice, html.examples)
    else:
        advice = (
            "Unescape the file (Python's `html.unescape`), or use --tokenizer.rules clean with --pretrained none or with "
            f"a model made with them; {report.coverage.model} was made with fastai's."
        )
        yield Finding("HTML", "do", found, advice, html.examples)


def _length(report: Report) -> Iterator[Finding]:
    parts = [p for name, p in report.parts.items() if name != "unlabelled"]
    long, texts = sum(p.long for p in parts), sum(p.texts for p in parts)
    if not parts:
        return
    if not long:
        found = f"no text has more than the {report.max_len:,} tokens that the classifier pools"
        yield Finding("length", "ok", found)
        return
    pooled = sum(p.pooled * p.long for p in parts) / long
    found = (
        f"{_texts(long)} ({long / texts:.1%}) with more than {report.max_len:,} tokens; of these the classifier pools "
        f"the last {pooled:.0%} on average and reads the rest without gradient"
    )
    if long < LONG_SHARE * texts:
        yield Finding("length", "note", found)
    else:
        enough = max(p.tokens["99%"] for p in parts)
        advice = f"If beginnings matter: --classifier.max-len {enough} pools 99 of 100 texts whole, at a cost in memory and time."
        yield Finding("length", "note", found, advice)


def _words(report: Report) -> Iterator[Finding]:
    known = report.coverage
    if known is None:
        return
    found = f"{known.unknown:.1%} of the tokens are unknown to {known.model}, {known.unknown_after:.1%} once it is fine-tuned"
    if known.words:
        found += f"; the commonest: {', '.join(f'{_visible(w)} ({n:,})' for w, n in known.words.items())}"
    if known.unknown < STRANGE:
        advice = f"Nothing needs doing: fine-tuning learns the words that occur {TokenizerConfig.min_freq} times."
        yield Finding("vocabulary", "ok", found, advice)
    else:
        advice = (
            "Is it another language or kind of text? Then pre-train on such texts (`ulmfit pretrain-lm`) and name the "
            "run with --pretrained; otherwise give many --unlabelled texts."
        )
        yield Finding("vocabulary", "do", found, advice)


def _visible(word: str) -> str:
    """The word, or its repr if it is white space or holds control characters."""
    return word if word.isprintable() and word.strip() else repr(word)


def _texts(n: int) -> str:
    return f"{n:,} text{'s'[: n != 1]}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} in {part}" for part, n in counts.items() if n)


def where(places: tuple[Place, ...]) -> str:
    """The places in words: `train 3 (pos), test 17 (neg)`."""
    return ", ".join(
        f"{p.part} {p.row}" + (f" ({shown(p.label)})" if p.label else "") for p in places
    )
