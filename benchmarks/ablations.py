"""What each part of the method contributes: the demo with three seeds, as a whole and with one part left out or changed.

    python -m benchmarks.ablations --out runs/ablations
    python -m benchmarks.ablations --out runs/ablations --variants whole "no pretraining"   # the two that the demo shows
    python -m benchmarks.ablations --out runs/trec6 --data trec6 train.parquet [--labels 100] --variants whole …

The demo: 1,000 labels, 18,904 reviews without, 5,000 held out. `--data`: a fifth of that file is held out, so that nothing is chosen
on a test part. If only the classifier differs, it uses the language model of the whole method with the same seed. Appends a JSON
line per training to benchmarks/results/ablations.jsonl, and for the demo writes the means that `ulmfit demo` shows as recorded. A
training takes one to eight minutes on one thread, twice that beside other work; finished ones are not repeated.
"""

import argparse
import time
from collections import defaultdict
from dataclasses import replace
from hashlib import sha256
from math import nan
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from benchmarks import record
from benchmarks.few_labels import draw
from ulmfit.baseline import baseline_accuracy
from ulmfit.config import NONE, FitConfig, RuntimeConfig
from ulmfit.demo import CONFIG, RECORDED, Reviews, load_reviews
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.runtime import Runtime
from ulmfit.stages import fit
from ulmfit.text.document import Document
from ulmfit.text.readers import read_documents
from ulmfit.text.splits import distinct, hold_out

WHOLE = "whole"
CLASSIFIER = CONFIG.classifier


def classifier(**changed: Any) -> FitConfig:
    """The whole method with these settings of the classifier changed."""
    return replace(CONFIG, classifier=replace(CLASSIFIER, **changed))


def language_model(**changed: Any) -> FitConfig:
    """The whole method with these settings of the language model's fine-tuning changed."""
    return replace(CONFIG, lm=replace(CONFIG.lm, **changed))


VARIANTS = {
    WHOLE: CONFIG,
    "no pretraining": replace(CONFIG, pretrained=NONE),
    "no skip-gram": language_model(skipgram_epochs=0),
    # the default until 2026-11-30; for large corpora, such as the demo's, max_tokens makes it equal to the whole method
    "ten passes": language_model(epochs=10.0, dropout_scale=0.3, full_dropout_passes=0.0),
    "no LM fine-tuning": replace(CONFIG, finetune=False),
    # fastai's `fine_tune`: straight from the pretrained model, the head, then everything
    "quick": replace(classifier(unfreezing="quick"), finetune=False),
    # as in the paper; the whole method here trains the head for an epoch, then everything
    "gradual unfreezing": classifier(epochs=(1, 1, 1, 3)),
    "everything at once": classifier(epochs=(0, 0, 0, 6)),
    "an epoch less": classifier(epochs=(1, 0, 0, 4)),
    "one rate for all layers": classifier(lr_decay=1.0),
    "rates as in the paper": classifier(schedule="slanted_triangular"),
}
DEMO = "demo"  # the data without --data
RECIPE = sha256(repr(CONFIG).encode()).hexdigest()[:8]  # lines of other defaults are ignored
SHOWN = {WHOLE: "ULMFiT, shipped language model", "no pretraining": "ULMFiT, no pretraining"}
HELD_OUT = 0.2  # of other data


def divided(file: Path, labels: int | None) -> Reviews:
    """A fifth is held out; of the rest, `labels` texts keep their labels. Always the same division."""
    rest, held = hold_out(distinct(read_documents(file)), HELD_OUT, seed=0)
    labelled = rest if labels is None else draw(rest, labels, seed=0)
    chosen = {document.text for document in labelled}
    return Reviews(labelled, [Document(d.text) for d in rest if d.text not in chosen], held)


def on_the_same_language_model(config: FitConfig, whole: Path) -> FitConfig:
    """`config`; if it differs from the whole method in the classifier alone, starting from that method's fine-tuned model."""
    if config == CONFIG or replace(config, classifier=CLASSIFIER) != CONFIG:
        return config
    return replace(config, pretrained=str(whole), finetune=False)


def run(reviews: Reviews, config: FitConfig, seed: int, threads: int | None, out: Path) -> float:
    """Accuracy on the held-out reviews."""
    fit(
        reviews.labelled,
        unlabelled=reviews.unlabelled,
        valid=[],
        test=reviews.held_out,
        config=config,
        runtime=RuntimeConfig(seed=seed, threads=threads),
        out=out,
        say=lambda line: print(line, flush=True),
    )
    return load_json(out / "config.json")["results"]["test"]["accuracy"]


def finished(out: Path) -> bool:
    """Whether that run is finished; its line was appended right after it."""
    file = out / "config.json"
    return file.exists() and load_json(file)["finished"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--data", nargs=2, metavar=("NAME", "FILE"), default=(DEMO, None))
    parser.add_argument("--labels", type=int, default=None, help="of FILE, the others without")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    name, file = args.data
    reviews = divided(Path(file), args.labels) if file else load_reviews()
    for seed in args.seeds:
        whole = args.out / f"{WHOLE}-{seed}"
        for variant in args.variants:
            out = args.out / f"{variant.replace(' ', '-')}-{seed}"
            if finished(out):
                continue
            began = time.monotonic()
            config = on_the_same_language_model(VARIANTS[variant], whole)
            accuracy = run(reviews, config, seed, args.threads, out)
            line = {"data": name, "labels": len(reviews.labelled), "recipe": RECIPE}
            line |= {"variant": variant, "seed": seed, "accuracy": accuracy}
            line |= {
                "seconds": round(time.monotonic() - began),
                "torch": torch.__version__,
                "runtime": Runtime.choose(RuntimeConfig(seed=seed), training=True).describe(),
            }
            record.append("ablations", line)
    report(name, baseline_accuracy(reviews.labelled, reviews.held_out))


def report(data: str, baseline: float) -> None:
    """Print mean and spread of the lines recorded with the present defaults, the latest of each seed. Differences are from the
    whole method with the same seed."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for line in record.read("ablations"):
        if (line.get("data"), line.get("recipe")) == (data, RECIPE):
            found[line["variant"]][line["seed"]] = line["accuracy"]
    whole = found[WHOLE]
    print(f"{'TF-IDF + logistic regression':30} {baseline:.1%}")
    for variant in (v for v in VARIANTS if len(found[v]) >= 3):
        figures = found[variant]
        apart = mean(figures[seed] - whole.get(seed, nan) for seed in figures)
        each = ", ".join(f"{figures[seed]:.1%}" for seed in sorted(figures))
        spread = f"± {stdev(figures.values()):.1%}"
        print(f"{variant:30} {mean(figures.values()):.1%} {spread}  {apart:+.1%}  ({each})")
    new = {SHOWN[v]: mean(found[v].values()) for v in SHOWN if len(found[v]) >= 3}
    if data == DEMO:
        save_json(RECORDED, (load_json(RECORDED) if RECORDED.exists() else {}) | new)


if __name__ == "__main__":
    main()
