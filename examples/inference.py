"""What the models do once they are trained: a language model writes and judges texts, a classifier labels them.

    python examples/inference.py                            # the shipped model; the IMDB sample, downloaded once
    python examples/inference.py --model wt103-forward      # fastai's larger model, downloaded once
    python examples/inference.py --data reviews.csv         # any labelled file; nothing is downloaded

The classifier is trained first, on few steps: some minutes on a CPU with the shipped model.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ulmfit

WORDS = "The film was directed by a young man from Paris ."
SHUFFLED = "Paris young film by from was a directed man The ."
REVIEWS = ("I really liked that movie!", "Two dull hours that I will never get back.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="wikipedia-small-forward", help="language model")
    parser.add_argument("--data", default="imdb-sample", help="labelled file, or data set by name")
    parser.add_argument("--prompt", default="The film", help="what the text begins with")
    parser.add_argument("--out", default="runs/inference", help="run directory; replaced")
    args = parser.parse_args(arguments)

    lm = ulmfit.load(args.model)
    assert isinstance(lm, ulmfit.LanguageModel), f"{args.model} is no language model"
    print(lm.generate(args.prompt, ulmfit.SamplingConfig(tokens=40, temperature=0.7)))
    for name, text in (("as written", WORDS), ("shuffled", SHUFFLED)):
        print(f"perplexity {name}: {lm.perplexity([text]):,.0f}")

    if Path(args.data).exists():
        documents = list(ulmfit.read_documents(args.data, say=print))
    else:
        documents = ulmfit.datasets.load(args.data, "train", say=print)
    default = ulmfit.FitConfig(pretrained=args.model, directions=lm.config.direction)
    quick = replace(default, lm=replace(default.lm, max_tokens=300_000))
    classifier = ulmfit.fit(documents, config=quick, out=args.out, overwrite=True, say=print)
    for prediction, text in zip(classifier.predict(REVIEWS), REVIEWS, strict=True):
        print(f"{prediction.label} {prediction.probability:.3f}  {text}")


if __name__ == "__main__":
    main()
