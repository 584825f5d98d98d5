"""`export`: a trained classifier as a directory that predicts without PyTorch, checked against PyTorch before it counts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import RuntimeConfig
from ulmfit.deploy.graph import classifier_graph
from ulmfit.deploy.onnx import FORMAT, KIND, Predictor
from ulmfit.ensemble import Ensemble, members_of
from ulmfit.files.checkpoint import save_json
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime
from ulmfit.text.corpus import whole_directory
from ulmfit.text.rules import SPECIAL_TOKENS
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import Calibration

LARGEST_DIFFERENCE = 1e-4  # of a probability, allowed in full precision
LEAST_AGREEMENT = 0.998  # of labels, expected in low precision (docs/results.md)
MADE_UP = 16  # texts the check is done on where none are given


@dataclass(frozen=True)
class Check:
    """The export beside PyTorch, on the same texts."""

    texts: int
    made_up: bool  # of words of the vocabulary; otherwise they were given
    largest_difference: float  # of a probability
    agreement: float  # share of the texts that get the same label

    def __str__(self) -> str:
        what = "texts made of the vocabulary" if self.made_up else "texts"
        return (
            f"{self.texts:,} {what}: {self.agreement:.2%} get the label that PyTorch gives,"
            f" probabilities differ by {self.largest_difference:.1e} at most"
        )


def export(
    classifier: Classifier,
    out: str | Path,
    texts: Sequence[str] = (),
    *,
    low_precision: bool = False,
    say: Say = silent,
) -> Check:
    """Writes `classifier` for onnxruntime: config.json and, for each direction, model.onnx and tokenizer.json. All of it
    or nothing: it is read back and compared with PyTorch on `texts` first (full precision, none given: on made-up
    ones). Needs the extra `onnx`.

    ValueError: `out` is there already, low precision without texts, or probabilities that differ by more than 1e-4 in
    full precision.
    """
    members = members_of(classifier, "exporting")
    out = Path(out)
    if out.exists():
        raise ValueError(f"{out} is there already; give another directory, or delete it")
    if low_precision and not texts:
        raise ValueError(
            "low precision changes predictions: give texts like those it will read, to see how many"
        )
    _need_packages()
    with whole_directory(out) as folder:
        for member in members:
            _write(member, folder / member.config.direction, low_precision)
        content = {
            "kind": KIND,
            "format": FORMAT,
            "labels": list(classifier.labels),
            "calibration": _of_all(classifier).to_json(),
            "directions": [member.config.direction for member in members],
            "precision": "int8" if low_precision else "fp32",
        }
        save_json(folder / "config.json", content)
        check = _compare(classifier, Predictor(folder), texts or _made_up(members[0]), not texts)
        if not low_precision and not check.largest_difference <= LARGEST_DIFFERENCE:
            raise ValueError(
                f"the export is wrong, so it was not written: on {check}, allowed are {LARGEST_DIFFERENCE:.0e};"
                " please report this with the versions of onnx and onnxruntime"
            )
        save_json(folder / "config.json", content | {"checked": asdict(check)})
    size = sum(file.stat().st_size for file in out.rglob("*.*"))
    say(f"{out}: {size / 1e6:.1f} MB, checked on {check}")
    if check.agreement < LEAST_AGREEMENT:
        say(
            f"that is less than {LEAST_AGREEMENT:.1%}: compare both by `ulmfit evaluate` before use"
        )
    return check


def _of_all(classifier: Classifier) -> Calibration:
    """What is left to do behind the graphs, each of which has its member's temperature in it."""
    if isinstance(classifier, Ensemble):
        return classifier.calibration
    return replace(classifier.calibration, temperature=1.0)


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"export needs {error.name}, which is missing: pip install onnx onnxruntime"
        ) from None


def _write(member: TextClassifier, folder: Path, low_precision: bool) -> None:
    folder.mkdir()
    model = classifier_graph(
        member.net.eval(),
        temperature=member.calibration.temperature,
        low_precision=low_precision,
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    member.tokenizer.save(folder / "tokenizer.json")


def _compare(
    classifier: Classifier, exported: Predictor, texts: Sequence[str], made_up: bool
) -> Check:
    runtime = Runtime.choose(RuntimeConfig(device="cpu", precision="fp32"))
    wanted = classifier.probabilities(texts, runtime, progress="PyTorch")
    found = exported.probabilities(texts)
    return Check(
        len(texts),
        made_up,
        float(np.abs(wanted - found).max()),
        float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean()),
    )


def _made_up(member: TextClassifier) -> list[str]:
    """Random words, from a single one to more than are pooled."""
    net, tokenizer = member.net, member.tokenizer
    lengths = np.geomspace(1, net.max_len + 2 * net.bptt, MADE_UP).astype(int)
    return [_words(tokenizer, int(n), seed) for seed, n in enumerate(lengths)]


def _words(tokenizer: Tokenizer, n: int, seed: int) -> str:
    ids = np.random.default_rng(seed).integers(len(SPECIAL_TOKENS), len(tokenizer), n)
    return tokenizer.decode(ids.tolist())
