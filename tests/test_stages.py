"""From documents to a saved classifier: every path, interruptions, and what must not leak."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit import checks, outputs, prepare_classifier, prepare_lm, pseudo_labels, stages
from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import FitConfig, OutOfTime, PretrainConfig, RuntimeConfig, TokenizerConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import CheckpointError, load_json
from ulmfit.identity import fingerprint
from ulmfit.language_model import LanguageModel
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import Calibration, fit_temperature
from ulmfit.training.log import read_records

Fit = Callable[..., Classifier]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fit(reviews: list[Document], lm_directory: Path, tmp_path: Path, said: list[str]) -> Fit:
    """`stages.fit` on the tiny corpus; settings of the FitConfig are given by name."""

    def run(
        *,
        out: str = "run",
        lm: dict = {},  # noqa: B006
        classifier: dict = {},  # noqa: B006
        minutes: float | None = None,
        **more: Any,
    ) -> Classifier:
        given = {
            k: more.pop(k)
            for k in list(more)
            if k in ("valid", "test", "overwrite", "labelled", "unlabelled")
        }
        config = replace(TINY_FIT, **{"pretrained": str(lm_directory)} | more)
        config = replace(
            config, lm=replace(config.lm, **lm), classifier=replace(config.classifier, **classifier)
        )
        return stages.fit(
            given.pop("labelled", reviews[:48]),
            config=config,
            runtime=RuntimeConfig(device="cpu", precision="fp32", max_minutes=minutes),
            out=tmp_path / out,
            say=said.append,
            **{"test": reviews[48:]} | given,
        )

    return run


def probabilities(classifier: Classifier, reviews: list[Document], runtime: Runtime) -> np.ndarray:
    return classifier.probabilities([d.text for d in reviews], runtime)


@pytest.mark.parametrize("directions", ["forward", "backward", "both"])
def test_saved_and_loaded_it_predicts_the_same(
    directions: str, fit: Fit, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    classifier = fit(directions=directions)
    assert isinstance(classifier, Ensemble if directions == "both" else TextClassifier)
    assert classifier.labels == ("bad", "good")
    loaded = ulmfit.load(tmp_path / "run")
    assert type(loaded) is type(classifier)
    expected = probabilities(classifier, reviews, runtime)
    assert np.array_equal(probabilities(loaded, reviews, runtime), expected)
    parts = ("forward", "backward") if directions == "both" else (directions,)
    for direction in parts:
        for kind in ("language_model", "classifier"):
            assert (tmp_path / "run" / direction / kind / "model.safetensors").exists()
    files = {p.name for p in (tmp_path / "run").iterdir()}
    assert files == {"config.json", "metrics.jsonl", "predictions", *parts}
    record = load_json(tmp_path / "run" / "config.json")
    assert record["finished"] and record["results"].keys() == {"validation", "test"}
    assert record["results"]["test"]["documents"] == 12
    assert record["labelled"] == fingerprint(reviews[:48])


def test_without_a_pretrained_model(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ulmfit.pretrained.SMALL", TINY)
    fit(pretrained="none", tokenizer=TokenizerConfig(min_freq=2, rules="clean"))
    lm = LanguageModel.load(tmp_path / "run" / "forward" / "language_model")
    assert lm.tokenizer.config.rules == "clean" and "great" in lm.tokenizer.vocab


def test_without_finetuning_the_encoder_starts_as_it_was(
    fit: Fit, lm: LanguageModel, tmp_path: Path
) -> None:
    fit(finetune=False)
    assert not (tmp_path / "run" / "forward" / "language_model").exists()
    assert TextClassifier.load(tmp_path / "run/forward/classifier").tokenizer == lm.tokenizer


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(0.4, "less than a minute"), (1.2, "about a minute"), (1.6, "about 2 minutes")],
)
def test_minutes(minutes: float, told: str) -> None:
    assert stages.told_minutes(minutes) == told


def test_the_quick_path_has_two_phases(fit: Fit, said: list[str]) -> None:
    fit(finetune=False, classifier={"unfreezing": "quick"})
    (plan,) = [line for line in said if line.startswith("classifier, forward")]
    assert len(plan.splitlines()) == 2 + 2


def test_the_classifier_has_its_language_models_vocabulary(fit: Fit, tmp_path: Path) -> None:
    fit()
    lm, classifier = (
        ulmfit.load(tmp_path / "run" / "forward" / k) for k in ("language_model", "classifier")
    )
    assert lm.tokenizer == classifier.tokenizer


def test_a_tiny_classifier_learns_its_training_set_by_heart(
    fit: Fit, reviews: list[Document], runtime: Runtime
) -> None:
    classifier = fit(
        finetune=False,
        classifier={
            "dropout_scale": 0.0,
            "epochs": (1, 1, 1, 40),
            "lr": 0.4,
            "bptt": 30,
            "lr_decay": 1.0,
            "ar": 0.0,
            "tar": 0.0,
            "batch_size": 8,
            "lr_divisors": (1, 1, 1, 1),
            "weight_decay": 0.0,
            "valid_fraction": 0.0,
        },
    )
    assert classifier.evaluate(reviews[:48], runtime)["accuracy"] == 1.0


@pytest.mark.parametrize("transductive", [False, True])
def test_test_texts_reach_the_language_model_only_when_told(
    transductive: bool, fit: Fit, reviews: list[Document], tmp_path: Path
) -> None:
    test = [Document(f"{d.text} zyzzyva", d.label) for d in reviews[48:]]
    valid = [Document(f"{d.text} quokka", d.label) for d in reviews[:12]]
    fit(test=test, valid=valid, transductive=transductive)
    vocab = LanguageModel.load(tmp_path / "run/forward/language_model").tokenizer.vocab
    assert {"zyzzyva", "quokka"} & set(vocab) == ({"zyzzyva", "quokka"} if transductive else set())


def test_stage_by_stage_is_the_whole(
    fit: Fit, lm: LanguageModel, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    """What the tutorial does by hand: a path, a runtime, two calls."""
    whole = fit(valid=[], test=[])
    with ulmfit.Run.open(tmp_path / "by-hand") as run:
        tuned = ulmfit.finetune_lm(lm, reviews[:48], config=TINY_FIT.lm, runtime=runtime, run=run)
        config = TINY_FIT.classifier
        made = ulmfit.train_classifier(tuned, reviews[:48], config=config, runtime=runtime, run=run)
        run.finish({})
    expected = probabilities(whole, reviews, runtime)
    assert np.array_equal(probabilities(made, reviews, runtime), expected)
    assert np.array_equal(probabilities(ulmfit.load(run.path), reviews, runtime), expected)


@pytest.mark.usefixtures("lm_directory")
def test_a_failed_run_is_given_back(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stages, "finetune_lm", killer(stages.finetune_lm, 0))
        with pytest.raises(Killed):
            fit()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]


# ---- interruptions ----


class Killed(BaseException):
    pass


def killer(function: Callable, after: int) -> Callable:
    calls = 0

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        return function(*args, **kwargs)

    return run


def killed(
    monkeypatch: pytest.MonkeyPatch, train: Callable[[], object], *points: tuple[Any, str, int]
) -> Iterator[None]:
    """Trains until each point in turn: a function, and so many calls of it that still go well."""
    for module, target, after in points:
        with monkeypatch.context() as patch:
            patch.setattr(module, target, killer(getattr(module, target), after))
            with pytest.raises(Killed):
                train()
        torch.rand(7)  # another process, another random state
        yield


def test_the_same_command_goes_on(
    fit: Fit,
    reviews: list[Document],
    runtime: Runtime,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Killed inside both trainings, between them and before the end: the same bits as in one go."""
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    whole = probabilities(fit(out="whole", directions="both"), reviews, runtime)
    for _ in killed(
        monkeypatch,
        lambda: fit(directions="both"),
        (prepare_lm, "lm_loss", 3),
        (stages, "classifier_stages", 0),
        (prepare_classifier, "classifier_loss", 9),
        (prepare_lm, "lm_loss", 15),
        (stages, "Ensemble", 0),
    ):
        with pytest.raises(CheckpointError, match="not finished"):
            ulmfit.load(tmp_path / "run")
    with pytest.raises(CheckpointError, match="other settings"):
        fit(directions="forward")
    said.clear()
    resumed = fit(directions="both")
    assert any("going on" in line for line in said)
    assert np.array_equal(probabilities(resumed, reviews, runtime), whole)


def curves(run: Path) -> list[dict[str, Any]]:
    """What was measured while training, but for the time it took."""
    return [
        {k: v for k, v in r.items() if k != "seconds"} for r in read_records(run / "metrics.jsonl")
    ]


def test_pseudo_labels_go_on_where_they_were(
    fit: Fit,
    reviews: list[Document],
    runtime: Runtime,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while labels are guessed, while the classifier learns them, and behind that: the same bits as in one go."""
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    few: dict[str, Any] = {
        "labelled": reviews[:16],
        "unlabelled": reviews[:48],  # whose labels are not looked at
        "classifier": {"pseudo_labels": 40, "update_bn": True},
        "directions": "both",
    }
    whole = probabilities(fit(out="whole", **few), reviews, runtime)
    guesses = [line for line in said if "are guessed" in line]
    assert len(guesses) == 2
    points = (
        (pseudo_labels, "guess", 0),
        (prepare_classifier, "classifier_loss", 5),
        (stages, "classifier_stages", 1),
        (prepare_classifier, "classifier_loss", 20),
        (TextClassifier, "update_bn", 0),
    )
    assert len([*killed(monkeypatch, lambda: fit(**few), *points)]) == 5
    resumed = fit(**few)
    assert np.array_equal(probabilities(resumed, reviews, runtime), whole)
    assert curves(tmp_path / "run") == curves(tmp_path / "whole")
    without = probabilities(fit(out="without", **few | {"classifier": {}}), reviews, runtime)
    assert not np.array_equal(without, whole)


def test_a_finished_run_is_refused_and_overwritten_when_told(fit: Fit, tmp_path: Path) -> None:
    fit(finetune=False)
    with pytest.raises(CheckpointError, match="finished run"):
        fit(finetune=False)
    fit(finetune=False, overwrite=True)


@pytest.mark.parametrize(
    "mistake",
    [
        {"pretrained": "nosuch"},
        {"test": [Document("x", "new")]},
        {"classifier": {"keep": "best"}},
        {"classifier": {"epochs": (1,)}},
    ],
    ids=str,
)
def test_a_mistake_costs_neither_time_nor_the_run_that_is_there(
    mistake: dict, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(finetune=False)
    monkeypatch.setattr(stages, "finetune_lm", killer(stages.finetune_lm, 0))
    with pytest.raises(ValueError):
        fit(**mistake, overwrite=True)
    assert (tmp_path / "run" / "forward" / "classifier" / "model.safetensors").exists()


def test_the_model_one_starts_from_is_not_overwritten(fit: Fit, tmp_path: Path) -> None:
    fit()
    for start in ("run", "run/forward/language_model"):
        with pytest.raises(ValueError, match="give another --out"):
            fit(pretrained=str(tmp_path / start), finetune=False, overwrite=True)
    assert (tmp_path / "run" / "forward" / "language_model" / "model.safetensors").exists()


# ---- the best epoch, dry runs, pre-training ----


def test_the_best_epoch_needs_many_to_choose_by(
    fit: Fit,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match=r"keep=best.*200 documents.*not 12"):
        fit(finetune=False, classifier={"keep": "best"}, valid=reviews[48:], test=[])
    accuracies = iter([0.1, 0.9, *[0.2] * 100])
    monkeypatch.setattr(checks, "BEST_NEEDS_DOCUMENTS", 12)
    seen: list[dict[str, torch.Tensor]] = []
    real = TextClassifier.probabilities_of

    def probabilities_of(self: TextClassifier, *args: Any) -> np.ndarray:
        seen.append({n: t.clone() for n, t in self.net.state_dict().items()})
        return real(self, *args)

    def metrics(*_: Any) -> dict[str, float]:
        return {"accuracy": next(accuracies)}

    monkeypatch.setattr(TextClassifier, "probabilities_of", probabilities_of)
    monkeypatch.setattr(outputs, "classification_metrics", metrics)
    made = fit(finetune=False, classifier={"keep": "best"}, valid=reviews[48:], test=[])
    assert isinstance(made, TextClassifier)
    assert all(torch.equal(t, seen[1][n]) for n, t in made.net.state_dict().items())
    assert any(not torch.equal(t, seen[-2][n]) for n, t in made.net.state_dict().items())
    card = load_json(tmp_path / "run" / "forward" / "classifier" / "config.json")["card"]
    assert card["best"]["valid_accuracy"] == 0.9 and "last" not in card


def test_the_card_tells_the_score_of_what_is_saved(
    fit: Fit, reviews: list[Document], tmp_path: Path, runtime: Runtime
) -> None:
    """New averages of BatchNorm come behind the last epoch."""
    told = {"directions": "both", "valid": reviews[48:], "test": []}
    made = fit(finetune=False, classifier={"update_bn": True}, **told)
    assert isinstance(made, Ensemble)
    for member in made.members:
        saved = tmp_path / "run" / member.config.direction / "classifier" / "config.json"
        measured = member.outputs.judge(*member.score(reviews[48:], runtime))
        noted = load_json(saved)["card"]["best"]
        assert noted == pytest.approx({f"valid_{k}": v for k, v in measured.items()}, rel=1e-4)


def test_a_run_opened_by_its_path_checks_each_stage(
    lm: LanguageModel,
    reviews: list[Document],
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)

    def train(documents: list[Document], dropout_scale: float) -> None:
        config = replace(TINY_FIT.lm, dropout_scale=dropout_scale)
        with Run.open(tmp_path / "run") as run:
            stages.finetune_lm(lm, documents, config=config, runtime=runtime, run=run)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(prepare_lm, "lm_loss", killer(prepare_lm.lm_loss, 3))
        train(reviews, 0.5)
    for documents, scale in ((reviews[::-1], 0.5), (reviews, 0.4)):
        with pytest.raises(CheckpointError, match="other settings or data"):
            train(documents, scale)
    train(reviews, 0.5)


def test_a_dry_run_plans_and_trains_nothing(
    reviews: list[Document], lm_directory: Path, said: list[str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    config = replace(TINY_FIT, pretrained=str(lm_directory))
    runtime = RuntimeConfig(device="cpu")
    stages.dry_run(reviews, config=config, runtime=runtime, say=said.append)
    assert sorted(tmp_path.rglob("*")) == before
    text = "\n".join(said)
    assert "pseudo" not in text
    few = replace(config, classifier=replace(config.classifier, pseudo_labels=40))
    told: dict[str, Any] = {"config": few, "runtime": runtime, "say": said.append}
    stages.dry_run(reviews[:16], unlabelled=reviews[16:], **told)
    assert sum("pseudo-labels, forward" in line for line in said) == 1
    assert "guessing labels and scoring" in said[-1]
    assert sorted(tmp_path.rglob("*")) == before
    for part in ("device cpu", "language model, forward", "classifier, forward", "M parameters",
                 "frozen", "training would take"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pretraining_makes_a_model_to_start_from(
    direction: str, fit: Fit, reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    run = Run.open(tmp_path / "lm", {}, "")
    made = stages.pretrain_lm(
        reviews,
        model=replace(TINY, direction=direction),
        tokenizer=TokenizerConfig(min_freq=2),
        config=PretrainConfig(batch_size=4, bptt=10, negatives=8, valid_fraction=0.2),
        runtime=runtime,
        run=run,
    )
    saved = LanguageModel.load(tmp_path / "lm" / direction / "language_model")
    for name, tensor in made.net.state_dict().items():
        assert torch.equal(tensor, saved.net.state_dict()[name])
    run.finish({})
    card = load_json(tmp_path / "lm" / direction / "language_model" / "config.json")["card"]
    assert card["last"]["valid_perplexity"] > 1
    fit(pretrained=str(tmp_path / "lm"), directions=direction, finetune=False)


def test_pretraining_does_not_go_on_with_other_texts(
    reviews: list[Document], runtime: Runtime, tmp_path: Path
) -> None:
    """Of a run opened by its path alone, too, in which an encoded corpus lies already."""
    told = {
        "model": TINY,
        "tokenizer": Tokenizer.build([d.text for d in reviews], TokenizerConfig(min_freq=2)),
        "config": PretrainConfig(batch_size=4, bptt=10, negatives=8, valid_fraction=0.2),
        "runtime": replace(runtime, ends_at=0.0),
    }
    with Run.open(tmp_path / "lm") as run, pytest.raises(OutOfTime):
        stages.pretrain_lm(reviews[:20], **told, run=run)
    with Run.open(tmp_path / "lm") as run, pytest.raises(CheckpointError, match="or data"):
        stages.pretrain_lm(reviews, **told, run=run)


def test_streams_of_documents_are_read_once(
    fit: Fit, reviews: list[Document], tmp_path: Path
) -> None:
    """As large tables give them: whatever was given as a list is the same run, and pseudo-labels included."""
    more = [Document(f"{d.text} again") for d in reviews]
    config: dict[str, Any] = {"finetune": False, "classifier": {"pseudo_labels": 200}}
    fit(labelled=reviews[:40], unlabelled=more, test=reviews[48:], out="a", **config)
    fit(
        labelled=iter(reviews[:40]),
        unlabelled=iter(more),
        test=iter(reviews[48:]),
        out="b",
        **config,
    )
    a, b = (load_json(tmp_path / name / "config.json") for name in "ab")
    assert a["data"] == b["data"] and a["stages"].keys() == b["stages"].keys()
    assert any(name.startswith("pseudo-labels") for name in b["stages"])


def test_without_validation_is_another_run(fit: Fit, tmp_path: Path) -> None:
    """One that stopped had shown its language model the texts that this one validates on."""
    with pytest.raises(OutOfTime):
        fit(valid=[], minutes=0.0)
    with pytest.raises(CheckpointError, match="their labels have changed"):
        fit(valid=None)


def test_the_default_config_is_the_documented_one() -> None:
    assert FitConfig().directions == "forward" and FitConfig().classifier.keep == "last"


@pytest.mark.parametrize("directions", ["forward", "both"])
def test_probabilities_are_calibrated_on_the_validation_set(
    directions: str, fit: Fit, reviews: list[Document], said: list[str], tmp_path: Path
) -> None:
    valid = [replace(d, text=f"Again {d.text}") for d in reviews]
    told = {"directions": directions, "valid": valid, "finetune": False}
    made = fit(**told, threshold_for="precision=0.3")
    members = made.members if isinstance(made, Ensemble) else (made,)
    assert all(m.calibration.temperature != 1 for m in members)
    assert made.calibration.thresholds.keys() == {"bad", "good"}
    loaded = ulmfit.load(tmp_path / "run")
    assert loaded.calibration == made.calibration  # pyright: ignore
    assert sum("temperature of" in line for line in said) == {"forward": 2, "both": 5}[directions]


def test_too_few_to_calibrate_is_said(fit: Fit, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"precision=0\.95, not 'high'"):
        fit(finetune=False, threshold_for="high")
    assert not (tmp_path / "run").exists()
    made = fit(finetune=False)
    assert made.calibration.temperature == 1
    assert any("temperature 1: 5 validation documents are too few" in line for line in said)


def test_the_temperature_is_that_of_what_is_saved(
    fit: Fit, reviews: list[Document], runtime: Runtime
) -> None:
    """New averages of BatchNorm come before it: they change how sure a classifier is."""
    valid = [replace(d, text=f"Again {d.text}") for d in reviews]
    learns = {"update_bn": True, "lr": 0.2, "epochs": (6, 1, 1, 2)}
    made = fit(finetune=False, classifier=learns, valid=valid, test=[])
    found = made.calibration.temperature
    made.calibration = Calibration()
    truth, rows = made.score(valid, runtime)
    assert 0.1 < found < 10 and found == pytest.approx(fit_temperature(rows, truth), rel=1e-3)
