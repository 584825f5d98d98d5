"""How accuracy grows with the number of labels, on the user's own texts, beside the linear baseline.

The language model is fine-tuned once, without labels and without the held-out texts. Each point is a classifier of its own, on
labels drawn independently for every size and draw, so that the spread between draws can be carried over to a forecast
(`insight.power_law`).
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ulmfit.baseline import baseline_accuracy
from ulmfit.checks import check, directions
from ulmfit.classifier import Classifier
from ulmfit.config import CURVE_FIT, FitConfig, OutOfTime, RuntimeConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stages
from ulmfit.prepare_lm import start_lm
from ulmfit.progress import Say, silent
from ulmfit.pseudo_labels import pseudo_labelled
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import finetune_lm
from ulmfit.text.document import Document, class_name
from ulmfit.text.labels import SAID, kind_of
from ulmfit.text.splits import Parts, divide, hold_out

HALVINGS = 4  # default sizes: all labels, a half of them, …, a sixteenth
OF_EACH = 2  # documents of every label in a draw, at least: as many as training needs
POINTS = Path("resume", "points.json")  # in the run directory; --overwrite clears it


@dataclass(frozen=True)
class Point:
    """One classifier, and the baseline on the same labels."""

    labels: int
    draw: int
    accuracy: float  # on the held-out documents
    baseline: float  # the same, of TF-IDF + logistic regression
    seconds: float


@dataclass(frozen=True)
class LabelCurve:
    """What was measured, in order of labels and draws."""

    points: list[Point]
    at_hand: int  # labels to draw from
    held_out: int  # documents that every point is scored on
    missing: int = 0  # points asked for but not begun within the budget

    def by_size(self, what: str = "accuracy") -> dict[int, list[float]]:
        """Number of labels → `accuracy`, `baseline` or `seconds` of each draw."""
        found = defaultdict[int, list[float]](list)
        for point in self.points:
            found[point.labels].append(getattr(point, what))
        return dict(found)


def label_curve(
    labelled: Sequence[Document],
    *,
    unlabelled: Sequence[Document] = (),
    test: Sequence[Document] = (),
    sizes: Sequence[int] | None = None,
    draws: int = 3,
    budget_minutes: float | None = None,
    config: FitConfig = CURVE_FIT,
    runtime: RuntimeConfig = RuntimeConfig(),
    out: str | Path,
    overwrite: bool = False,
    say: Say = silent,
) -> LabelCurve:
    """Accuracy at growing numbers of labels.

    Points are scored on `test`; if that is empty, on `config.classifier.valid_fraction` of the labelled documents.
    `sizes=None`: all labels, a half, a quarter, … Finished points are kept in `out`: the same call resumes, also with more
    sizes or draws. Once the language model is fine-tuned, no point is begun that is not expected to end within
    `budget_minutes`. `OutOfTime`: `runtime.max_minutes` are over before a point begins.
    """
    if (kind := kind_of(d.label for d in labelled)) != "single":
        raise ValueError(
            f"a label curve needs texts of one class each; here a text has {SAID[kind]} (--label-kind reads labels as another kind)"
        )
    began, machine = time.monotonic(), Runtime.start(runtime)
    say(machine.describe())
    parts = _parts(labelled, unlabelled, test, config, machine.seed, say)
    sizes = _sizes(sizes, draws, parts.train, config)
    check(config, parts, Path(out))
    settings = {"config": asdict(config), "runtime": asdict(runtime)}
    data = fingerprint(labelled, unlabelled, test)
    with Run.open(out, settings, data, overwrite=overwrite, say=say) as run:
        points = _saved(run)
        language_models = _language_models(parts, config, machine, run)
        todo = [(n, d) for d in range(draws) for n in sizes if (n, d) not in points]
        ends = None if budget_minutes is None else began + 60 * budget_minutes
        for labels, draw in _in_time(todo, points, ends):
            if machine.out_of_time():
                raise OutOfTime
            point = _measure(language_models, parts, labels, draw, config, machine)
            points[labels, draw] = point
            save_json(run.path / POINTS, {"points": [asdict(p) for p in points.values()]})
            say(
                f"{labels:,} labels, draw {draw + 1} of {draws}: {point.accuracy:.1%}, TF-IDF {point.baseline:.1%}"
                f" ({point.seconds / 60:.1f} minutes)"
            )
    if missing := sum(key not in points for key in todo):
        say(
            f"{missing} of {len(sizes) * draws} points would not have finished within the budget; repeat the command to go on"
        )
    asked = [points[n, d] for n in sizes for d in range(draws) if (n, d) in points]
    return LabelCurve(asked, len(parts.train), len(parts.test), missing)


def draw_labels(pool: Sequence[Document], size: int, seed: str) -> list[Document]:
    """`size` random documents, at least two of every label."""
    first, rest, seen = list[Document](), list[Document](), Counter[str]()
    for document in random.Random(seed).sample(list(pool), len(pool)):
        (first if seen[str(document.label)] < OF_EACH else rest).append(document)
        seen[str(document.label)] += 1
    if size < len(first):
        raise ValueError(
            f"{size} labels are too few to learn {len(seen)} classes: give sizes of at least {len(first)}, "
            f"{OF_EACH} of each class"
        )
    return [*first, *rest][:size]


def default_sizes(at_hand: int, least: int) -> list[int]:
    """All labels, a half of them, a quarter, …, ascending, none below `least`."""
    halves = [round(at_hand / 2**k) for k in range(HALVINGS, -1, -1)]
    return [n for n in halves if n >= least]


def _parts(
    labelled: Sequence[Document],
    unlabelled: Sequence[Document],
    test: Sequence[Document],
    config: FitConfig,
    seed: int,
    say: Say,
) -> Parts:
    """The documents divided as in `fit`, but with a held-out test set in place of a validation set."""
    if not test:
        known = [d for d in labelled if d.label is not None]
        rest, test = hold_out(known, config.classifier.valid_fraction, seed)
        if not test:
            raise ValueError(
                f"{len(known)} labelled documents are too few to hold any out; give more, or a test set"
            )
        say(f"{len(test):,} labelled documents are held out; every point is scored on them")
        labelled = [*rest, *(d for d in labelled if d.label is None)]
    return divide(labelled, unlabelled, [], test, config, seed, say)


def _sizes(
    asked: Sequence[int] | None, draws: int, pool: Sequence[Document], config: FitConfig
) -> list[int]:
    """The numbers of labels to measure at, ascending."""
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    least = OF_EACH * len({class_name(d.label) for d in pool if d.label is not None})
    if asked is None:  # below `head_only_below` only the head is trained, which gives another curve
        first = max(least, config.classifier.head_only_below)
        if sizes := default_sizes(len(pool), first):
            return sizes
        raise ValueError(
            f"{len(pool)} labels are left for training, but sizes start at {first}: with fewer, only the head is"
            " trained. Give smaller sizes with --sizes"
        )
    if not asked or min(asked) < least or max(asked) > len(pool):
        raise ValueError(
            f"sizes {' '.join(map(str, asked))}: expected numbers of labels from {least} ({OF_EACH} of each class) "
            f"to {len(pool)}, which is what is left for training"
        )
    return sorted(set(asked))


def _language_models(
    parts: Parts, config: FitConfig, machine: Runtime, run: Run
) -> list[LanguageModel]:
    """One per direction, fine-tuned if the config says so; loaded from `run` if they are finished there."""
    models = []
    for direction in directions(config):
        lm = start_lm(
            config.pretrained, direction, parts.texts, config.tokenizer, machine.seed, run.say
        )
        if config.finetune:
            how = {"config": config.lm, "tokenizer": config.tokenizer}
            lm = finetune_lm(lm, parts.texts, **how, runtime=machine, run=run)
        models.append(lm)
    return models


def _measure(
    language_models: Sequence[LanguageModel],
    parts: Parts,
    labels: int,
    draw: int,
    config: FitConfig,
    machine: Runtime,
) -> Point:
    """Train on one draw, and score. The number of the draw also seeds head, dropout and the order of documents."""
    began, members = time.monotonic(), []
    documents = draw_labels(parts.train, labels, f"{machine.seed}/{labels}/{draw}")
    seeded = replace(machine, seed=machine.seed + draw)
    texts = [*parts.train, *parts.unlabelled]
    for lm in language_models:
        guessed = pseudo_labelled(lm, documents, texts, config.classifier, seeded)
        stages, member = classifier_stages(lm, documents, [], config.classifier, seeded, guessed)
        for stage in stages:
            stage.train(seeded)
        if config.classifier.update_bn:
            member.update_bn(documents, seeded)
        members.append(member)
    classifier: Classifier = members[0] if len(members) == 1 else Ensemble(members)
    accuracy = classifier.evaluate(parts.test, seeded, progress=f"scoring {labels:,} labels")
    baseline = baseline_accuracy(documents, parts.test)
    return Point(labels, draw, accuracy["accuracy"], baseline, time.monotonic() - began)


def _in_time(
    todo: Sequence[tuple[int, int]], points: dict[tuple[int, int], Point], ends: float | None
) -> Iterator[tuple[int, int]]:
    """The (labels, draw) pairs expected to end in time. The estimate scales the seconds of the largest finished point of at most
    as many labels in proportion to the labels, which overestimates; without such a point, a pair is begun."""
    for labels, draw in todo:
        done = [p for p in points.values() if p.labels <= labels]
        longest = max(done, key=lambda p: (p.labels, p.seconds), default=None)
        seconds = longest.seconds * labels / longest.labels if longest else 0.0
        if ends is None or time.monotonic() + seconds <= ends:
            yield labels, draw


def _saved(run: Run) -> dict[tuple[int, int], Point]:
    """The finished points of an interrupted run."""
    path = run.path / POINTS
    found = load_json(path)["points"] if path.exists() else []
    return {(p["labels"], p["draw"]): Point(**p) for p in found}
