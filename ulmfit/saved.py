"""`load`: the model in a directory, or of a name, as the right class; and saving a calibration beside it."""

from pathlib import Path

from ulmfit.card import NAME as CARD
from ulmfit.card import tell_calibrated
from ulmfit.classifier import KIND as CLASSIFIER
from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.deploy.exported import ExportedClassifier
from ulmfit.deploy.onnx import KIND as EXPORTED
from ulmfit.ensemble import Ensemble, members_of
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import KIND as LANGUAGE_MODEL
from ulmfit.language_model import LanguageModel
from ulmfit.pretrained import DIRECTIONS, PUBLISHED, models, on_disk, published, shipped
from ulmfit.progress import Say, silent
from ulmfit.training.calibration import Calibration

# of an ensemble, in its run; a single classifier's is in its config.json
CALIBRATION = "calibration.json"


def load(path: str | Path) -> LanguageModel | Classifier:
    """The model saved in a directory, or known by name: shipped, or published and then downloaded once. A path of that name
    wins, with a note on standard error. A run gives its classifier (an `Ensemble` if it has both directions) or, without
    classifiers, its language model. CheckpointError: no such directory or name, or no model in it that can be loaded."""
    path = Path(path) if on_disk(path) else shipped(path) or published(path) or Path(path)
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise CheckpointError(
            f"{path} {problem}; give the directory of a run or of a saved model, "
            f"or a model's name ({', '.join([*models(), *PUBLISHED])})"
        )
    kind, folders = models_in(path)
    if kind == EXPORTED:
        return ExportedClassifier(path)
    if kind == CLASSIFIER:
        classifiers = [TextClassifier.load(folder) for folder in folders]
        return classifiers[0] if len(classifiers) == 1 else _ensemble(classifiers, path)
    if len(folders) == 1:
        return LanguageModel.load(folders[0])
    raise CheckpointError(
        f"{path} holds no finished classifier, and {len(folders)} language models, not one; name a directory below it"
    )


def models_in(path: Path) -> tuple[str, list[Path]]:
    """(kind, directories) of the models that a directory stands for: itself, or a run's classifiers, or else its language
    models, if any. CheckpointError: a run that is not finished."""
    saved = load_json(path / "config.json")
    kind = saved.get("kind")
    if kind in (LANGUAGE_MODEL, CLASSIFIER, EXPORTED):
        return kind, [path]
    if kind == "run" and not saved.get("finished"):
        raise CheckpointError(
            f"{path} is a run that is not finished; repeat its command to go on ({saved.get('command')}), "
            "or name a model's directory below it"
        )
    folders = [path / d / CLASSIFIER for d in DIRECTIONS]
    if classifiers := [folder for folder in folders if folder.exists()]:
        return CLASSIFIER, classifiers
    folders = [path / d / LANGUAGE_MODEL for d in DIRECTIONS]
    return LANGUAGE_MODEL, [folder for folder in folders if (folder / "config.json").exists()]


def load_classifier(path: str | Path) -> Classifier:
    """As `load`. CheckpointError also for anything but a classifier."""
    model = load(path)
    if not isinstance(model, Classifier):
        raise CheckpointError(
            f"{path} holds a language model, not a classifier; train one with `ulmfit train-classifier`"
        )
    return model


def check_own(path: str | Path) -> None:
    """ValueError if `path` is only the name of an installed model: files that pip installed must not be changed."""
    if not Path(path).exists() and (installed := shipped(path)):
        raise ValueError(
            f"{path} is installed by pip and must not be changed; copy its directory ({installed}) and name the copy"
        )


def save_calibration(classifier: Classifier, path: str | Path, *, say: Say = silent) -> None:
    """Writes the calibration into the run or classifier directory that `classifier` was loaded from or saved in, and updates
    the model card; if that sentence of the card was edited, `say` is told instead.

    ValueError: a model's name, not a directory. CheckpointError: a directory without the classifier.
    """
    check_own(path)
    path = Path(path)
    if isinstance(classifier, Ensemble):
        for member in classifier.members:
            _update(path / member.config.direction / CLASSIFIER, member.calibration, say)
        if classifier.calibration == Calibration():
            (path / CALIBRATION).unlink(missing_ok=True)
        else:
            save_json(path / CALIBRATION, classifier.calibration.to_json())
        return
    (member,) = members_of(classifier, "calibrating")
    inside = path / member.config.direction / CLASSIFIER
    _update(inside if inside.exists() else path, classifier.calibration, say)


def _update(folder: Path, calibration: Calibration, say: Say) -> None:
    record = load_json(folder / "config.json")
    if record.get("kind") != CLASSIFIER:
        raise CheckpointError(
            f"{folder} holds no classifier of that direction; name the directory it was loaded from"
        )
    save_json(folder / "config.json", record | {"calibration": calibration.to_json()})
    if not tell_calibrated(folder, calibration.temperature != 1.0):
        say(f"{folder / CARD} was edited by hand: check what it says about probabilities")


def _ensemble(members: list[TextClassifier], path: Path) -> Ensemble:
    ensemble = Ensemble(members)
    if (path / CALIBRATION).exists():
        try:
            ensemble.calibration = Calibration(**load_json(path / CALIBRATION))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path / CALIBRATION} is not a calibration ({error})") from None
    return ensemble
