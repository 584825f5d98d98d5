"""`recipes/imdb.py` in two halves: texts are encoded where there is everything, models are trained where there is only torch.

    python recipes/imdb_corpora.py --encode corpora --data-dir ~/aclImdb      # train, unlabelled, test: a minute
    python recipes/pack_corpus.py corpora/train --out carry/train             # and of the other two, to carry them
    python recipes/imdb_corpora.py --corpora carry --pretrained wikipedia-base-forward --direction forward \\
        --max-minutes 25 --out runs/imdb --weights weights/imdb
    python recipes/imdb_corpora.py --average runs/imdb runs/imdb-backward     # both directions as one

Variants and protocols are those of recipes/imdb.py, with two differences. Words are those of the texts to learn from in both
protocols: `fastai` lets the language model read the test texts, but its vocabulary does not know them. `honest` holds nothing
out for validation, since nothing is chosen: all 25,000 labels are learnt, and the test set is scored once. A run that is
stopped, also by --max-minutes, goes on with the same command. `--weights` are volumes of the classifier, its matrices as int8
rows, written before it is scored; of a training that ran out of time those of the model that was under way, which its card
then says: the classifier if it has begun, else the language model. Training needs nothing but torch, NumPy and safetensors.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from imdb import GO_ON, LM, PUBLISHED, QUICK, report
from wikipedia import (
    card_of,
    hand_out,
    open_corpus,
    or_as_it_stands,
    place_for,
    say,
    tokenizer_of,
)

from ulmfit.classifier import KIND
from ulmfit.config import BASE, ClassifierConfig, OutOfTime, RuntimeConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.prepare_classifier import classifier_stage
from ulmfit.prepare_lm import finetune_stage
from ulmfit.pretrained import find
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.stages import finetune_lm, train_classifier
from ulmfit.text.corpus import Corpus, chained
from ulmfit.training.stage import Stage

PARTS = ("train", "unlabelled", "test")
SCORED = "test.npz"  # in a run: truth and probabilities of the test set


def main() -> None:
    """Errors of the user's making end with one line; a training that ran out of its time ends with 75."""
    told = flags()
    try:
        if told.encode:
            encode(told.encode, told.data_dir)
        elif told.average:
            say(f"averaged: {average(told.average):.2%} right on the test set")
        else:
            train(told)
    except OutOfTime:
        print("the time is over; the same command goes on here", file=sys.stderr)
        sys.exit(GO_ON)
    except (ValueError, OSError, ImportError) as error:
        sys.exit("recipes/imdb_corpora.py: " + str(error).strip().replace("\n", " "))


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encode", type=Path, help="write the corpora here, and train nothing")
    parser.add_argument("--data-dir", type=Path, help="IMDB on disk, for --encode")
    parser.add_argument("--average", type=Path, nargs="+", help="runs to be scored as one")
    parser.add_argument("--corpora", type=Path, help="train, unlabelled, test, or their volumes")
    parser.add_argument("--variant", choices=list(PUBLISHED), default="full")
    parser.add_argument("--protocol", choices=("honest", "fastai"), default="honest")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--pretrained", help="a language model of that direction")
    parser.add_argument("--epochs", type=float, default=LM.epochs, help="of the language model")
    parser.add_argument("--dry-run", action="store_true", help="say how long it would take")
    parser.add_argument("--max-minutes", type=float, help="stop cleanly; the same command goes on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/imdb"))
    parser.add_argument("--overwrite", action="store_true", help="replace a run that is there")
    parser.add_argument("--weights", type=Path, help="a new directory for the classifier's volumes")
    told = parser.parse_args()
    if sum(map(bool, (told.encode, told.corpora, told.average))) != 1:
        parser.error("give --encode DIR to make corpora, --corpora DIR to train, or --average RUNS")
    if told.corpora and (told.variant == "no-pretraining") == bool(told.pretrained):
        parser.error("--pretrained names the language model to start from; no-pretraining has none")
    return told


def encode(out: Path, data_dir: Path | None) -> None:
    """The three parts as corpora of one vocabulary, that of the texts to learn from."""
    from ulmfit import datasets
    from ulmfit.text.tokenizer import Tokenizer

    documents = {p: list(datasets.load("imdb", p, data_dir=data_dir, say=print)) for p in PARTS}
    texts = [d.text for part in PARTS[:2] for d in documents[part]]
    tokenizer = Tokenizer.build(texts, TokenizerConfig())
    for part in PARTS:
        corpus = Corpus.build(documents[part], tokenizer, path=out / part)
        print(f"{out / part}: {len(corpus):,} documents, {corpus.n_tokens:,} tokens")


def train(told: argparse.Namespace) -> None:
    """Language model, classifier, its score on the test set, and its weights."""
    parts = {p: open_corpus(told.corpora / p) for p in PARTS}
    texts = chained([parts[p] for p in (PARTS if told.protocol == "fastai" else PARTS[:2])])
    runtime = Runtime.start(RuntimeConfig(seed=told.seed, max_minutes=told.max_minutes))
    say(runtime.describe())
    start = start_from(told.pretrained, told.direction, texts, told.seed)
    finetuned = told.variant in ("full", "no-pretraining")
    lm_config = replace(LM, epochs=told.epochs)
    config = QUICK if told.variant == "quick" else ClassifierConfig()
    valid = parts["test"] if told.protocol == "fastai" else ()
    if told.dry_run:
        lm_stage, lm = finetune_stage(start, texts, lm_config, TokenizerConfig(), runtime)
        stage, _ = classifier_stage(lm, parts["train"], valid, config, runtime)
        plan([lm_stage, stage] if finetuned else [stage], runtime)
        return
    asked = {
        k: str(v)
        for k, v in vars(told).items()
        if k not in ("out", "overwrite", "max_minutes", "weights", "dry_run")
    }
    opened = {"overwrite": told.overwrite, "say": say, "world": runtime.world}
    weights = told.weights if runtime.world.first else None
    place = place_for(weights, told.out)
    with Run.open(told.out, asked, texts.fingerprint, **opened) as run:
        run.keep(weights=place)
        if finetuned:
            with or_as_it_stands(weights, run, lambda: start.with_vocab(tokenizer_of(texts))):
                lm = finetune_lm(start, texts, config=lm_config, runtime=runtime, run=run)
        else:
            lm = start.with_vocab(tokenizer_of(texts))
        given = (lm, parts["train"], valid, config, runtime)
        with or_as_it_stands(weights, run, lambda: classifier_stage(*given)[1]):
            classifier = train_classifier(
                lm, parts["train"], valid=valid, config=config, runtime=runtime, run=run
            )
        if weights:
            hand_out(classifier, card_of(run, told.direction, KIND), weights)
        truth, rows = classifier.score(parts["test"], runtime, progress="scoring")
        np.savez(told.out / SCORED, truth=truth, rows=rows)
        run.finish({"test": classifier.outputs.metrics(truth, rows)})
    measured = report(told.out, told.variant, told.direction)
    say(f"measured   {json.dumps(measured | {'protocol': told.protocol, 'seed': told.seed})}")
    say(f"published  {json.dumps(PUBLISHED[told.variant])} (%, on the test set, protocol fastai)")


def plan(stages: Sequence[Stage], runtime: Runtime) -> None:
    """Say what the trainings would be, and how long they would take here."""
    for stage in stages:
        say(stage.plan())
        say(f"{stage.name}: {stage.estimate(runtime) / 60:.1f} minutes here, without scoring")


def average(runs: Sequence[Path]) -> float:
    """The share that the mean probabilities of finished runs, such as one a direction, get right (paper §3.3)."""
    scored = [np.load(run / SCORED) for run in runs]
    mean = np.mean([each["rows"] for each in scored], axis=0)
    return float((mean.argmax(axis=1) == scored[0]["truth"]).mean())


def start_from(name: str | None, direction: str, texts: Corpus, seed: int) -> LanguageModel:
    """A saved language model, or random weights. ValueError: it reads in the other direction."""
    if name is None:
        seed_everything(seed)
        return LanguageModel.create(tokenizer_of(texts), replace(BASE, direction=direction))
    lm = LanguageModel.load(find(name))
    if lm.config.direction != direction:
        raise ValueError(
            f"{name} reads {lm.config.direction}; give --direction {lm.config.direction}"
        )
    return lm


if __name__ == "__main__":
    main()
