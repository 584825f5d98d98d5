"""What trained models do: a language model writes texts and scores them by perplexity, a classifier labels them.

    python examples/inference.py                            # the shipped model; the IMDB sample, downloaded once
    python examples/inference.py --model wt103-forward      # fastai's larger model, downloaded once
    python examples/inference.py --data reviews.csv         # any labelled file; nothing is downloaded

The classifier is trained only briefly: some minutes on a CPU with the shipped model.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ulmfit

WORDS = "The film was directed by a young man from Paris ."
SHUFFLED = "Paris young film by from was a directed man The ."
REVIEWS = ("I really liked that movie!", "Two dull hours that I will never get back.")


def main(arguments: Sequence[str] | None = None) -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--model", default="wikipedia-small-forward", help="language model")
    parser.add_argument("--data", default="imdb-sample", help="labelled file, or data set by name")
    parser.add_argument("--data-dir", help="the data set on disk: folder or archive")
    parser.add_argument("--prompt", default="The film", help="text to continue")
    parser.add_argument("--out", default="runs/inference", help="run directory; it is replaced")
    args = parser.parse_args(arguments)
    try:
        show(args)
    except (ValueError, OSError) as error:
        sys.exit(f"examples/inference.py: {error}")


def show(args: argparse.Namespace) -> None:
    lm = ulmfit.load(args.model)
    if not isinstance(lm, ulmfit.LanguageModel):
        raise ValueError(f"{args.model} is a classifier; --model wants a language model")
    print(lm.generate(args.prompt, ulmfit.SamplingConfig(tokens=40, temperature=0.7)))
    for name, text in (("as written", WORDS), ("shuffled", SHUFFLED)):
        print(f"perplexity {name}: {lm.perplexity([text]):,.0f}")

    data, where = args.data, args.data_dir
    if ulmfit.datasets.is_name(data) and (where or not Path(data).exists()):
        read = ulmfit.datasets.documents_for
        documents = read(data, "train", labelled=True, data_dir=where, say=print)
    else:
        documents = list(ulmfit.read_documents(data, say=print))
    default = ulmfit.FitConfig(pretrained=args.model, directions=lm.config.direction)
    quick = replace(default, lm=replace(default.lm, max_tokens=300_000))
    classifier = ulmfit.fit(documents, config=quick, out=args.out, overwrite=True, say=print)
    for prediction, text in zip(classifier.predict(REVIEWS), REVIEWS, strict=True):
        print(f"{prediction.label} {prediction.probability:.3f}  {text}")


if __name__ == "__main__":
    main()
