"""Pre-trains a language model on a corpus that was tokenized elsewhere, for a bare machine with a GPU.

    python recipes/wikipedia.py --corpus carry/wikipedia --max-minutes 25 --dry-run    # how many epochs fit into that time
    python recipes/wikipedia.py --corpus carry/wikipedia --epochs 7 --max-minutes 25 --out runs/wikipedia \\
        --score carry/wikitext-valid carry/wikitext-test --weights weights/wikipedia
    python recipes/wikipedia.py --smoke --out runs/smoke                               # seconds: toy text, tiny model

fastai's recipe for WikiText-103 (256 streams of 80 tokens, learning rate 0.01, weight decay 0.1, a tenth of the dropout) and
BASE. `--corpus` and `--score` are saved corpora or their volumes (recipes/pack_corpus.py). A run that is stopped, also by
--max-minutes, is resumed by the same command. `--weights` gets the model as volumes of small files, its matrices as int8 rows,
written before it is scored; if the training runs out of time, the unfinished model, and its card says so. At home,
`python recipes/pack_corpus.py --join weights/wikipedia --out wikipedia-base-forward` makes a model of them again.
Needs only torch, NumPy and safetensors.
"""

import argparse
import math
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ulmfit.classifier import TextClassifier
from ulmfit.config import (
    BASE,
    SMALL,
    ModelConfig,
    OutOfTime,
    PretrainConfig,
    RuntimeConfig,
    TokenizerConfig,
)
from ulmfit.files.checkpoint import load_json, read_tensors
from ulmfit.files.volumes import cut, joined
from ulmfit.language_model import KIND, LanguageModel
from ulmfit.prepare_lm import pretrain_stage
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.stages import pretrain_lm
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

RECIPE = PretrainConfig(
    lr=1e-2,
    batch_size=256,
    bptt=80,
    weight_decay=0.1,
    max_grad_norm=0.1,
    dropout_scale=0.1,
    ar=2.0,
    tar=1.0,
    softmax="full",
)
MOST_EPOCHS = 12.0  # as many as fastai trained
SHARE = 0.85  # of the minutes that a plan fills; shuffling, evaluating and saving take the rest
SCORED_STREAMS = 20  # as for the figures in docs/results.md
WEIGHTS_MB = 11.0  # size of a volume: two can be carried in one call (docs/gpu.md)
Model = LanguageModel | TextClassifier
SMOKE_MODEL = ModelConfig(embedding_size=16, hidden_size=24, layers=2)
GO_ON = 75  # exit code for "repeat this later", as of the `ulmfit` command


def main() -> None:
    """An error that the user can mend ends with one line; a training that ran out of time ends with exit code 75."""
    try:
        run(flags())
    except OutOfTime:
        print("the time is over; the same command goes on here", file=sys.stderr)
        sys.exit(GO_ON)
    except (ValueError, OSError) as error:
        sys.exit("recipes/wikipedia.py: " + str(error).strip().replace("\n", " "))


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a saved corpus, or its volumes")
    parser.add_argument("--score", type=Path, nargs="*", default=[], help="corpora to score it on")
    parser.add_argument("--size", choices=("base", "small"), default="base")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--epochs", type=float, default=MOST_EPOCHS)
    parser.add_argument("--max-minutes", type=float, help="save and stop; the same command resumes")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and how long it would take"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/wikipedia"))
    parser.add_argument("--overwrite", action="store_true", help="replace a run in --out")
    parser.add_argument("--weights", type=Path, help="a new directory for the model's volumes")
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny model, on toy text if there is no --corpus"
    )
    args = parser.parse_args()
    if not args.corpus and not args.smoke:
        parser.error("--corpus is missing: what `ulmfit tokenize` wrote, or its volumes")
    return args


def run(args: argparse.Namespace) -> None:
    """Read, then plan, or train, write the weights, and score."""
    model = SMOKE_MODEL if args.smoke else {"base": BASE, "small": SMALL}[args.size]
    model, config = replace(model, direction=args.direction), replace(RECIPE, epochs=args.epochs)
    corpus = open_corpus(args.corpus) if args.corpus else toy_corpus()
    if args.smoke:
        config = replace(config, batch_size=4, bptt=20, valid_fraction=0.1)
    runtime = Runtime.start(RuntimeConfig(seed=args.seed, max_minutes=args.max_minutes))
    say(runtime.describe())
    say(
        f"{len(corpus):,} documents, {corpus.n_tokens:,} tokens, vocabulary {len(tokenizer_of(corpus)):,}"
    )
    if args.dry_run:
        plan(corpus, model, config, runtime, args.max_minutes)
        return
    scored = {path.name: open_corpus(path) for path in args.score}
    settings = {
        "recipe": "wikipedia",
        "model": asdict(model),
        "config": asdict(config),
        "seed": args.seed,
    }
    how = {"overwrite": args.overwrite, "say": say, "world": runtime.world}
    weights = args.weights if runtime.world.first else None
    place = place_for(weights, args.out)
    with Run.open(args.out, settings, corpus.fingerprint, **how) as ours:
        ours.keep(weights=place)
        blank = partial(LanguageModel.create, tokenizer_of(corpus), model)
        with or_as_it_stands(weights, ours, blank):
            lm = pretrain_lm(
                corpus,
                model=model,
                tokenizer=tokenizer_of(corpus),
                config=config,
                runtime=runtime,
                run=ours,
            )
        if weights:
            hand_out(lm, card_of(ours, model.direction, KIND), weights)
        ours.finish({name: score(lm, held, runtime, name) for name, held in scored.items()})


def open_corpus(path: Path) -> Corpus:
    """A saved corpus; volumes are joined beside them first."""
    return Corpus.load(joined(path, path.with_name(f"{path.name}-joined")))


def tokenizer_of(corpus: Corpus) -> Tokenizer:
    """The tokenizer of a saved corpus, which always has one."""
    assert corpus.tokenizer is not None
    return corpus.tokenizer


def plan(
    corpus: Corpus,
    model: ModelConfig,
    config: PretrainConfig,
    runtime: Runtime,
    minutes: float | None,
) -> None:
    """Print the plan, how long it would take here, and how many epochs fit into the minutes."""
    with TemporaryDirectory() as folder:
        tokenizer = tokenizer_of(corpus)
        stage, _ = pretrain_stage(corpus, (), model, tokenizer, config, runtime, Path(folder))
        say(stage.plan())
        each = stage.estimate(runtime) / 60 / config.epochs
    say(f"{each:.2f} minutes an epoch here, {each * config.epochs:.1f} in all")
    if minutes:
        say(
            f"into {minutes:g} minutes fit: --epochs {min(MOST_EPOCHS, SHARE * minutes / each):.2f}"
        )


def score(lm: LanguageModel, held: Corpus, runtime: Runtime, name: str) -> dict[str, float]:
    """Perplexity per token, and the bits of the whole text, which do not depend on the tokenization: divided by its characters
    they compare with any model. All streams but the first begin in the middle of the text, without context."""
    perplexity = lm.perplexity_of(held, runtime, batch_size=SCORED_STREAMS)
    bits = held.n_tokens * math.log2(perplexity)
    say(f"{name}: perplexity {perplexity:.2f}, {bits:,.0f} bits, {held.n_tokens:,} tokens")
    return {"perplexity": perplexity, "bits": bits, "tokens": held.n_tokens}


def place_for(weights: Path | None, out: Path) -> str | None:
    """The path of the weights, for the record of the run in `out`, which may replace them when it is resumed. ValueError, before
    anything is trained: the directory holds something else."""
    if weights is None:
        return None
    record, place = out / "config.json", str(weights.absolute())
    ours = record.exists() and load_json(record).get("weights") == place
    if weights.exists() and any(weights.iterdir()) and not ours:
        raise ValueError(
            f"{weights} is not empty, and not of the run in {out}; name a new directory for the weights"
        )
    return place


@contextmanager
def or_as_it_stands(weights: Path | None, run: Run, blank: Callable[[], Model]) -> Iterator[None]:
    """Around a training: if it runs out of time, its unfinished model is written to `weights`. `blank` makes a net of its shape."""
    try:
        yield
    except OutOfTime:
        if weights:
            model = blank()
            hand_out(model, stopped(model, run), weights)
        raise


def stopped(model: Model, run: Run) -> dict[str, Any]:
    """Fills `model` with the last weights that the training under way saved; returns a card that says after which step."""
    *_, (name, facts) = load_json(run.path / "config.json")["stages"].items()
    tensors, about = read_tensors(run.path / "resume" / f"{name}.safetensors")
    net = {k.removeprefix("net."): t for k, t in tensors.items() if k.startswith("net.")}
    model.net.load_state_dict(net)
    steps, position = [phase["steps"] for phase in facts["phases"]], about["position"]
    done = sum(steps[: position["phase"]]) + position["step"]
    origin = f"{name}, UNFINISHED: stopped after {done:,} of {sum(steps):,} steps"
    return {"made_by": origin, "data": f"{origin}; {facts['size']}"}


def card_of(run: Run, direction: str, kind: str) -> dict[str, Any]:
    """The card of a finished model in the run."""
    return load_json(run.path / direction / kind / "config.json")["card"]


def hand_out(model: Model, card: dict[str, Any], out: Path) -> None:
    """Write the model as volumes, its matrices as int8 rows, in place of what `out` held before."""
    with TemporaryDirectory() as folder:
        saved, volumes = Path(folder) / "model", Path(folder) / "volumes"
        model.save(saved, storage="int8", card=card)
        files = cut(saved, volumes, WEIGHTS_MB, preset=0)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(volumes, out)
    say(f"{len(files)} volumes of weights in {out}: {card['made_by']}")


def toy_corpus() -> Corpus:
    """Sentences whose second half follows from the first."""
    draw, animals = random.Random(0), ("dog", "cat", "cow", "duck")
    sounds = dict(zip(animals, ("barks", "mews", "moos", "quacks"), strict=True))
    texts = [
        " ".join(f"the {a} {sounds[a]} ." for a in draw.choices(animals, k=20)) for _ in range(60)
    ]
    tokenizer = Tokenizer.build(texts, TokenizerConfig(min_freq=1))
    return Corpus.build(map(Document, texts), tokenizer, description="")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
