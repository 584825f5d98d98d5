"""`recipes/imdb.py` in two halves: texts are encoded on a machine with all packages, models trained on one that has only torch.

    python recipes/imdb_corpora.py --encode corpora --data-dir ~/aclImdb      # train, unlabelled, test: a minute
    python recipes/pack_corpus.py corpora/train --out carry/train             # and the other two, to carry them
    python recipes/imdb_corpora.py --corpora carry --pretrained wikipedia-base-forward --direction forward \\
        --max-minutes 25 --out runs/imdb --weights weights/imdb
    python recipes/imdb_corpora.py --average runs/imdb runs/imdb-backward     # both directions as one

Variants and protocols are those of recipes/imdb.py, with two differences. The vocabulary is that of the train and unlabelled texts
in both protocols: `fastai` lets the language model read the test texts, but their new words stay unknown. `honest` holds nothing
out for validation, since nothing is chosen: it trains on all 25,000 labels, and scores the test set once. A run that is stopped,
also by --max-minutes, is resumed by the same command. `--weights` gets the classifier as volumes, its matrices as int8 rows, written
before it is scored; if a training runs out of time, the model under way (the classifier if it has begun, else the language model),
and its card says so. Training needs only torch, NumPy and safetensors.
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
    """An error that the user can mend ends with one line; a training that ran out of time ends with exit code 75."""
    args = flags()
    try:
        if args.encode:
            encode(args.encode, args.data_dir)
        elif args.average:
            say(f"averaged: {average(args.average):.2%} right on the test set")
        else:
            train(args)
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
    parser.add_argument("--average", type=Path, nargs="+", help="finished runs to score as one")
    parser.add_argument(
        "--corpora", type=Path, help="directory of train, unlabelled, test, or volumes"
    )
    parser.add_argument("--variant", choices=list(PUBLISHED), default="full")
    parser.add_argument("--protocol", choices=("honest", "fastai"), default="honest")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--pretrained", help="a language model of that direction")
    parser.add_argument("--epochs", type=float, default=LM.epochs, help="of the language model")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and how long it would take"
    )
    parser.add_argument("--max-minutes", type=float, help="save and stop; the same command resumes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/imdb"))
    parser.add_argument("--overwrite", action="store_true", help="replace a run in --out")
    parser.add_argument("--weights", type=Path, help="a new directory for the classifier's volumes")
    args = parser.parse_args()
    if sum(map(bool, (args.encode, args.corpora, args.average))) != 1:
        parser.error("give --encode DIR to make corpora, --corpora DIR to train, or --average RUNS")
    if args.corpora and (args.variant == "no-pretraining") == bool(args.pretrained):
        parser.error("--pretrained names the language model to start from; no-pretraining has none")
    return args


def encode(out: Path, data_dir: Path | None) -> None:
    """Write the three parts as corpora of one vocabulary, that of the train and unlabelled texts."""
    from ulmfit import datasets
    from ulmfit.text.tokenizer import Tokenizer

    documents = {p: list(datasets.load("imdb", p, data_dir=data_dir, say=print)) for p in PARTS}
    texts = [d.text for part in PARTS[:2] for d in documents[part]]
    tokenizer = Tokenizer.build(texts, TokenizerConfig())
    for part in PARTS:
        corpus = Corpus.build(documents[part], tokenizer, path=out / part)
        print(f"{out / part}: {len(corpus):,} documents, {corpus.n_tokens:,} tokens")


def train(args: argparse.Namespace) -> None:
    """Train language model and classifier, write the weights, and score the test set."""
    parts = {p: open_corpus(args.corpora / p) for p in PARTS}
    texts = chained([parts[p] for p in (PARTS if args.protocol == "fastai" else PARTS[:2])])
    runtime = Runtime.start(RuntimeConfig(seed=args.seed, max_minutes=args.max_minutes))
    say(runtime.describe())
    start = start_from(args.pretrained, args.direction, texts, args.seed)
    finetuned = args.variant in ("full", "no-pretraining")
    lm_config = replace(LM, epochs=args.epochs)
    config = QUICK if args.variant == "quick" else ClassifierConfig()
    valid = parts["test"] if args.protocol == "fastai" else ()
    if args.dry_run:
        lm_stage, lm = finetune_stage(start, texts, lm_config, TokenizerConfig(), runtime)
        stage, _ = classifier_stage(lm, parts["train"], valid, config, runtime)
        plan([lm_stage, stage] if finetuned else [stage], runtime)
        return
    settings = {
        k: str(v)
        for k, v in vars(args).items()
        if k not in ("out", "overwrite", "max_minutes", "weights", "dry_run")
    }
    how = {"overwrite": args.overwrite, "say": say, "world": runtime.world}
    weights = args.weights if runtime.world.first else None
    place = place_for(weights, args.out)
    with Run.open(args.out, settings, texts.fingerprint, **how) as run:
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
            hand_out(classifier, card_of(run, args.direction, KIND), weights)
        truth, rows = classifier.score(parts["test"], runtime, progress="scoring")
        np.savez(args.out / SCORED, truth=truth, rows=rows)
        run.finish({"test": classifier.outputs.metrics(truth, rows) | {"documents": len(truth)}})
    measured = report(args.out, args.variant, args.direction)
    say(f"measured   {json.dumps(measured | {'protocol': args.protocol, 'seed': args.seed})}")
    say(f"published  {json.dumps(PUBLISHED[args.variant])} (%, on the test set, protocol fastai)")


def plan(stages: Sequence[Stage], runtime: Runtime) -> None:
    """Print the plan of each training, and how long it would take here."""
    for stage in stages:
        say(stage.plan())
        say(f"{stage.name}: {stage.estimate(runtime) / 60:.1f} minutes here, without scoring")


def average(runs: Sequence[Path]) -> float:
    """The accuracy of the mean probabilities of finished runs, such as one per direction (paper §3.3)."""
    scored = [np.load(run / SCORED) for run in runs]
    for run, each in zip(runs, scored, strict=True):
        if not np.array_equal(each["truth"], scored[0]["truth"]):
            raise ValueError(f"{run} was scored on another test set than {runs[0]}")
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
