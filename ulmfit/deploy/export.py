"""`export`: writes a trained classifier as a directory that predicts without PyTorch, after comparing it with PyTorch."""

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
LEAST_AGREEMENT = 0.998  # share of equal labels expected in low precision (docs/results.md)
MADE_UP = 16  # texts of random words for the check, if none are given


@dataclass(frozen=True)
class Check:
    """The export compared with PyTorch on the same texts."""

    texts: int
    made_up: bool  # True: random words of the vocabulary; False: texts that were given
    largest_difference: float  # of a probability
    agreement: float  # share of the texts that get the same label

    def __str__(self) -> str:
        what = "texts of random words" if self.made_up else "texts"
        return (
            f"{self.texts:,} {what}: {self.agreement:.2%} get the same label as from PyTorch,"
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
    """Writes `classifier` for onnxruntime: config.json and, for each direction, model.onnx and tokenizer.json; all or nothing.
    It is read back and compared with PyTorch on `texts` first (in full precision, on random words if there are none). Needs the
    extra `onnx`.

    ValueError: `out` exists already, low precision without texts, or probabilities that differ by more than 1e-4 in full
    precision.
    """
    members = members_of(classifier, "exporting")
    out = Path(out)
    if out.exists():
        raise ValueError(f"{out} already exists; give another directory, or delete it")
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
                f"the export is wrong and was not written: on {check}, but only {LARGEST_DIFFERENCE:.0e} is allowed;"
                " please report this with the versions of onnx and onnxruntime"
            )
        save_json(folder / "config.json", content | {"checked": asdict(check)})
    size = sum(file.stat().st_size for file in out.rglob("*.*"))
    say(f"{out}: {size / 1e6:.1f} MB, checked on {check}")
    if check.agreement < LEAST_AGREEMENT:
        say(
            f"that is less than {LEAST_AGREEMENT:.1%}: compare both with `ulmfit evaluate` before use"
        )
    return check


def _of_all(classifier: Classifier) -> Calibration:
    """The calibration to apply to the graphs' output: each graph already contains its member's temperature."""
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
    expected = classifier.probabilities(texts, runtime, progress="PyTorch")
    actual = exported.probabilities(texts)
    return Check(
        len(texts),
        made_up,
        float(np.abs(expected - actual).max()),
        float((expected.argmax(axis=1) == actual.argmax(axis=1)).mean()),
    )


def _made_up(member: TextClassifier) -> list[str]:
    """Texts of random words, from a single word to more than are pooled."""
    net, tokenizer = member.net, member.tokenizer
    lengths = np.geomspace(1, net.max_len + 2 * net.bptt, MADE_UP).astype(int)
    return [_words(tokenizer, int(n), seed) for seed, n in enumerate(lengths)]


def _words(tokenizer: Tokenizer, n: int, seed: int) -> str:
    ids = np.random.default_rng(seed).integers(len(SPECIAL_TOKENS), len(tokenizer), n)
    return tokenizer.decode(ids.tolist())
