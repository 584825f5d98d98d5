"""The paper's IMDB experiment as fastai's `nbs/examples/ulmfit.ipynb` trains it: 100,000 texts, 50,000 labels, BASE.

    python recipes/imdb.py --out runs/imdb                                 # a GPU; hours, resumable
    python recipes/imdb.py --data-dir ~/aclImdb --max-minutes 60 --out runs/imdb
    python recipes/imdb.py --variant small --out runs/imdb-small           # two CPU cores, two hours a direction
    python recipes/imdb.py --smoke --out runs/smoke                        # seconds: toy data, tiny model

Variants: `full` = Wikipedia weights, fine-tuned language model, gradual unfreezing; `quick` = fastai's
`fine_tune(4, 1e-2)` straight from the Wikipedia weights; `no-lm` = gradual unfreezing without language-model
fine-tuning; `no-pretraining` = `full` from random weights (with --smoke the same run, since `full` has no pretrained weights
there either); `small` = the shipped small model, trained as long as two CPU cores can in an evening. The protocol `fastai`
validates on the test set and lets the language model read its texts, as the notebook does; `honest` does neither, and scores the
test set once.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from ulmfit import datasets
from ulmfit.config import (
    BASE,
    SMALL_CLASSIFIER,
    SMALL_FINETUNE,
    ClassifierConfig,
    FinetuneConfig,
    FitConfig,
    ModelConfig,
    OutOfTime,
    RuntimeConfig,
    TokenizerConfig,
)
from ulmfit.files.checkpoint import load_json
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.runtime import seed_everything
from ulmfit.stages import fit
from ulmfit.text.document import Document
from ulmfit.text.splits import distinct
from ulmfit.text.tokenizer import Tokenizer

Directions = Literal["forward", "backward", "both"]
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "imdb.jsonl"
# Accuracies in %, all on the test set. Sources: ulmfit.ipynb (by phase, forward); fastai's text tutorial (quick);
# ULMFit.ipynb of fastai v1 (both directions); Howard & Ruder 2018, table 4 (no pretraining, both directions).
PUBLISHED = {
    "full": {
        "perplexity": "36.63",
        "phases": "92.2, 93.7, 94.2, 94.1, 94.5",
        "forward": "94.5",
        "both": "95.4",
    },
    "quick": {"phases": "82.4, 87.6, 89.8, 91.8, 93.1", "forward": "92.6–93.1"},
    "no-lm": {"forward": "92–93"},
    "no-pretraining": {"both": "94.4"},
}
LM = FinetuneConfig(batch_size=256, bptt=80, keep_words=False)  # the rest are the defaults
QUICK = ClassifierConfig(
    lr=1e-2, unfreezing="quick", epochs=(1, 4), weight_decay=0.01, max_grad_norm=None
)
# Three epochs over all reviews, larger batches, and a small validation set, which chooses nothing: 25,000 labels are many.
SMALL = FitConfig(
    tokenizer=TokenizerConfig(max_vocab=20_000),
    lm=replace(
        SMALL_FINETUNE,
        keep_words=False,
        skipgram_epochs=1,
        epochs=3.0,
        max_tokens=None,
        batch_size=64,
        negatives=4096,
        dropout_scale=0.2,
        full_dropout_passes=0.0,
    ),
    classifier=replace(SMALL_CLASSIFIER, epochs=(1, 0, 0, 3), valid_fraction=0.06),
)
SMOKE_MODEL = ModelConfig(embedding_size=16, hidden_size=24, layers=2)
SMOKE_ACCURACY = 0.75  # of `full` at least; chance is 0.5, four seeds gave 0.93 to 0.99
GO_ON = 75  # exit code for "repeat this later", as of the `ulmfit` command


def settings(variant: str, protocol: str, directions: Directions, pretrained: str) -> FitConfig:
    """The settings of `fit` for a variant. The vocabulary is that of the texts alone, as in fastai (`keep_words=False`)."""
    transductive = protocol == "fastai"
    if variant == "small":
        return replace(
            SMALL, directions=directions, transductive=transductive, pretrained=pretrained
        )
    return FitConfig(
        pretrained=pretrained,
        directions=directions,
        finetune=variant in ("full", "no-pretraining"),
        transductive=transductive,
        lm=LM,
        classifier=QUICK if variant == "quick" else ClassifierConfig(),
    )


def random_start(
    texts: Sequence[Document], model: ModelConfig, config: TokenizerConfig, out: Path
) -> str:
    """The directory `out` with untrained language models of both directions over the vocabulary of `texts`.

    A model already there is reused only if it was made for the same texts, shape and tokenizer settings.
    """
    made_for = {"texts": fingerprint(texts), "model": asdict(model), "tokenizer": asdict(config)}
    built = None
    for direction in ("forward", "backward"):
        saved = out / direction / "language_model"
        record = saved / "config.json"
        if record.exists() and load_json(record).get("card", {}).get("made_for") == made_for:
            continue
        built = built or Tokenizer.build([d.text for d in texts], config)
        record.unlink(missing_ok=True)  # so that an interrupted rebuild does not look finished
        seed_everything(0)
        lm = LanguageModel.create(built, replace(model, direction=direction))
        lm.save(saved, card={"made_for": made_for})
    return str(out)


def toy_reviews(n: int, seed: int) -> list[Document]:
    """Reviews of twenty words, eight of which reveal the label."""
    draw = random.Random(seed)
    neutral = ["the", "a", "film", "plot", "actor", "scene", "was", "and", "of", "in", "it", "with"]
    verdicts = {"pos": ("great", "lovely", "funny"), "neg": ("awful", "dull", "boring")}
    reviews = []
    for label in ("pos", "neg") * (n // 2):
        words = draw.choices(neutral, k=12) + draw.choices(verdicts[label], k=8)
        draw.shuffle(words)
        reviews.append(Document(" ".join(words), label))
    return reviews


def report(run: Path, variant: str, directions: str) -> dict[str, object]:
    """The results that `fit` recorded, epoch by epoch and at the end."""
    measured: dict[str, object] = {"variant": variant, "directions": directions}
    for record in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        if record["kind"] != "epoch":
            continue
        if "valid_perplexity" in record:
            measured[f"{record['stage']}: perplexity"] = round(record["valid_perplexity"], 2)
        elif "valid_accuracy" in record:
            by_phase = measured.setdefault(f"{record['stage']}: accuracy by epoch", [])
            assert isinstance(by_phase, list)
            by_phase.append(round(100 * record["valid_accuracy"], 2))
    results = load_json(run / "config.json")["results"]
    return measured | {name: round(100 * r["accuracy"], 2) for name, r in results.items()}


def main() -> None:
    """An error that the user can mend ends with one line; a training that ran out of time ends with exit code 75."""
    try:
        run(flags())
    except OutOfTime:
        print("the time is over; the same command goes on here", file=sys.stderr)
        sys.exit(GO_ON)
    except (ValueError, OSError, ImportError) as error:
        sys.exit("recipes/imdb.py: " + str(error).strip().replace("\n", " "))


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", choices=[*PUBLISHED, "small"], default="full")
    parser.add_argument("--protocol", choices=("honest", "fastai"), default="honest")
    parser.add_argument("--directions", choices=("forward", "backward", "both"), default="both")
    parser.add_argument(
        "--pretrained",
        help="language model to start from; left out: wt103, or wikipedia-small for the variant small",
    )
    parser.add_argument(
        "--data-dir", type=Path, help="IMDB on disk: aclImdb, its archive, or Parquet files"
    )
    parser.add_argument("--max-minutes", type=float, help="save and stop; the same command resumes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--overwrite", action="store_true", help="replace a run in --out")
    parser.add_argument("--smoke", action="store_true", help="toy data and a tiny model")
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    """Read, train, and print the measured results beside the published ones."""
    if args.smoke:
        train, test, unlabelled = toy_reviews(120, 0), toy_reviews(100, 1), toy_reviews(200, 2)
    else:
        train, test, unlabelled = (
            list(datasets.load("imdb", part, data_dir=args.data_dir, say=print))
            for part in ("train", "test", "unlabelled")
        )
    pretrained = args.pretrained or (SMALL.pretrained if args.variant == "small" else "wt103")
    if args.smoke or args.variant == "no-pretraining":
        texts, model = distinct([*train, *unlabelled]), SMOKE_MODEL if args.smoke else BASE
        start = args.out.with_name(f"{args.out.name}-random")
        pretrained = random_start(texts, model, TokenizerConfig(), start)
    if args.protocol == "fastai":
        print(
            "protocol fastai: the test set is the validation set, and its texts train the language model"
        )
    fit(
        train,
        unlabelled=unlabelled,
        valid=test if args.protocol == "fastai" else None,
        test=() if args.protocol == "fastai" else test,
        config=settings(args.variant, args.protocol, args.directions, pretrained),
        runtime=RuntimeConfig(seed=args.seed, max_minutes=args.max_minutes),
        out=args.out,
        overwrite=args.overwrite,
        say=lambda line: print(line, flush=True),
    )
    measured = report(args.out, args.variant, args.directions) | {
        "protocol": args.protocol,
        "seed": args.seed,
    }
    print(f"measured   {json.dumps(measured)}")
    if args.smoke:
        check_smoke(args.out, args.variant)
        return
    if published := PUBLISHED.get(args.variant):
        print(
            f"published  {json.dumps(published)} (accuracies in %, on the test set, protocol fastai)"
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(json.dumps(measured) + "\n")


def check_smoke(out: Path, variant: str) -> None:
    """ValueError if the whole method has not learnt to tell the toy reviews apart."""
    results = load_json(out / "config.json")["results"]
    accuracy = results.get("test", results["validation"])["accuracy"]
    if variant in ("full", "no-pretraining"):
        if accuracy < SMOKE_ACCURACY:
            raise ValueError(
                f"smoke: accuracy {accuracy:.2f} of toy reviews, expected {SMOKE_ACCURACY} at least: something is broken"
            )
        print(f"smoke: accuracy {accuracy:.2f} is clearly above chance")


if __name__ == "__main__":
    main()
