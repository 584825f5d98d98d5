"""Each recipe explains itself; those that train run here with tiny models."""

import importlib.util
import json
import lzma
import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tiny import TINY

import ulmfit
from ulmfit import pretrained
from ulmfit.classifier import TextClassifier
from ulmfit.cli import main
from ulmfit.config import ClassifierConfig, ModelConfig, TokenizerConfig
from ulmfit.ensemble import Ensemble
from ulmfit.files.checkpoint import load_json, read_tensors, save_json
from ulmfit.files.volumes import join
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import MultiLabel
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

Captured = pytest.CaptureFixture[str]
RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path[:] = [str(RECIPES), *(p for p in sys.path if p != str(RECIPES))]  # as when it is run
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.py")))
def test_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        recipe(name).main()
    assert ended.value.code == 0
    assert f"recipes/{name}.py" in capsys.readouterr().out


def test_wikitext_becomes_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, out = tmp_path / "wiki.valid.tokens.xz", tmp_path / "plain.txt"
    tokens.write_bytes(
        lzma.compress(b" \n = <unk> = \n \n A three @-@ masted ship of 3 @.@ 5 or 1 @,@ 000 m . \n")
    )
    monkeypatch.setattr("sys.argv", ["wikitext_plain", str(tokens), str(out)])
    recipe("wikitext_plain").main()
    assert out.read_text() == "= xxunk =\nA three-masted ship of 3.5 or 1,000 m .\n"


def test_ray_makes_the_corpus_of_one_machine(reviews: list[Document], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    (tmp_path / "a.txt").write_text("\n".join(d.text for d in reviews))
    given = [tmp_path / "a.txt"], tmp_path / "c", 3, TokenizerConfig(min_freq=2), "line"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        corpus = recipe("tokenize_on_ray").tokenize(*given)
    finally:
        ray.shutdown()
    tokenizer = Tokenizer.build((d.text for d in reviews), TokenizerConfig(min_freq=2))
    assert corpus.tokenizer == tokenizer
    assert [i.tolist() for i in corpus] == [tokenizer.encode(d.text).tolist() for d in reviews]


@pytest.mark.parametrize(
    ("variant", "protocol"), [("full", "honest"), ("quick", "fastai"), ("no-lm", "honest")]
)
def test_the_imdb_recipe_runs_on_toy_data(
    variant: str,
    protocol: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--smoke", "--variant", variant, "--protocol", protocol, "--directions", "forward"]
    monkeypatch.setattr("sys.argv", ["imdb", *flags, "--out", str(tmp_path / "run")])
    recipe("imdb").main()
    shown = capsys.readouterr().out
    measured = json.loads(shown.split("measured")[1].splitlines()[0])
    assert ("test" in measured) == (protocol == "honest")
    assert any("perplexity" in name for name in measured) == (variant == "full")
    assert "published" not in shown  # not beside toy numbers
    assert ("clearly above chance" in shown) == (variant == "full")
    assert ("its texts train the language model" in shown) == (protocol == "fastai")


def test_the_imdb_recipe_tells_a_broken_method(tmp_path: Path) -> None:
    imdb = recipe("imdb")
    save_json(tmp_path / "config.json", {"results": {"validation": {"accuracy": 0.52}}})
    for variant in ("full", "no-pretraining"):
        with pytest.raises(ValueError, match=r"0\.52 of toy reviews, expected 0\.75"):
            imdb.check_smoke(tmp_path, variant)
    imdb.check_smoke(tmp_path, "quick")


def test_the_imdb_recipe_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imdb, out = recipe("imdb"), tmp_path / "run"
    flags = ["imdb", "--smoke", "--variant", "no-lm", "--directions", "forward", "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*flags, "--max-minutes", "0"])
    with pytest.raises(SystemExit) as ended:
        imdb.main()
    assert ended.value.code == 75 and "the same command goes on" in capsys.readouterr().err
    record = json.loads((out / "config.json").read_text())
    save_json(out / "config.json", record | {"finished": True})
    monkeypatch.setattr("sys.argv", flags)
    with pytest.raises(SystemExit, match=r"finished run.*--overwrite"):
        imdb.main()
    for problem in (OSError("no network"), ValueError("no network")):

        def fails(*given: object, problem: Exception = problem, **named: object) -> None:
            raise problem

        monkeypatch.setattr(imdb, "fit", fails)
        monkeypatch.setattr("sys.argv", [*flags, "--overwrite"])
        with pytest.raises(SystemExit, match="no network"):
            imdb.main()


def test_the_imdb_recipe_starts_anew_for_other_texts_or_shapes(tmp_path: Path) -> None:
    imdb = recipe("imdb")
    texts = imdb.toy_reviews(40, 0)
    config = TokenizerConfig(min_freq=1)

    def made(texts: list[Document], model: ModelConfig) -> tuple[int, LanguageModel]:
        place = Path(imdb.random_start(texts, model, config, tmp_path / "x-random"))
        saved = place / "backward" / "language_model"
        return (saved / "model.safetensors").stat().st_mtime_ns, LanguageModel.load(saved)

    first, _ = made(texts, imdb.SMOKE_MODEL)
    again, _ = made(texts, imdb.SMOKE_MODEL)
    assert again == first
    other, lm = made(texts, TINY)
    assert other != first and lm.config.hidden_size == TINY.hidden_size
    _, lm = made([*texts, Document("unheard", "pos")], TINY)
    assert "unheard" in lm.tokenizer.vocab


def test_the_imdb_recipe_is_fastais() -> None:
    imdb = recipe("imdb")
    config = imdb.settings("full", "fastai", "both", "wt103")
    lm, classifier = config.lm, config.classifier
    assert (lm.batch_size, lm.bptt, lm.weight_decay, lm.dropout_scale) == (256, 80, 0.1, 1.0)
    assert (lm.frozen_epochs, lm.frozen_lr, lm.epochs, lm.lr) == (1.0, 2e-2, 10.0, 2e-3)
    assert (lm.valid_fraction, lm.softmax, lm.keep_words) == (0.1, "full", False)
    assert classifier.batch_size == 64 and classifier.lr == 0.1 * 64 / 128
    assert classifier.lr_divisors == (1, 2, 4, 20) and classifier.lr_decay == 2.6
    assert (classifier.max_grad_norm, classifier.weight_decay) == (0.1, 0.1)
    assert config.transductive and config.finetune
    assert not imdb.settings("no-lm", "honest", "both", "wt103").finetune
    small = imdb.settings("small", "honest", "forward", "wikipedia-small")
    assert small.lm.softmax == "sampled" and not small.transductive


def test_weights_are_handed_out_as_they_stand_and_before_they_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of time, then killed while scoring, then to the end: each call leaves the weights that it could."""
    wikipedia, weights, out = recipe("wikipedia"), tmp_path / "weights", tmp_path / "run"
    corpus = wikipedia.toy_corpus()
    Corpus.build([Document("the dog barks . " * 50)], corpus.tokenizer, path=tmp_path / "held")

    def call(*flags: object) -> None:
        told = ["wikipedia", "--smoke", "--epochs", "1", "--out", out, "--weights", weights, *flags]
        monkeypatch.setattr("sys.argv", [*map(str, told), "--score", str(tmp_path / "held")])
        wikipedia.main()

    def came_back(name: str) -> tuple[str, torch.Tensor]:
        joined = join(weights, tmp_path / name)
        words = LanguageModel.load(joined).net.state_dict()["encoder.embedding.weight"]
        return load_json(joined / "config.json")["card"]["made_by"], words

    def close(words: torch.Tensor, wanted: torch.Tensor) -> bool:
        return torch.allclose(words, wanted, rtol=0, atol=float(wanted.abs().max()) / 250)  # int8

    with pytest.raises(SystemExit, match="75"):
        call("--max-minutes", 0)
    said, half = came_back("half")
    assert said.startswith("pre-training, forward, UNFINISHED: stopped after 1 of ")
    tensors, _ = read_tensors(out / "resume" / "pre-training, forward.safetensors")
    assert close(half, tensors["net.encoder.embedding.weight"])

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(wikipedia, "score", killed)
        call()
    said, whole = came_back("whole")
    saved = LanguageModel.load(out / "forward" / "language_model").net.state_dict()
    wanted = saved["encoder.embedding.weight"]
    assert said == "pretrain_lm" and close(whole, wanted) and not close(half, wanted)
    call()
    assert load_json(out / "config.json")["results"]["held"]["perplexity"] > 1
    assert came_back("again")[0] == "pretrain_lm"
    out = tmp_path / "other"
    with pytest.raises(SystemExit, match=r"weights is not empty, and not of the run in .*other"):
        call()
    assert not out.exists() and came_back("untouched")[0] == "pretrain_lm"


def install(package: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would: its entry point, and its folder where Python looks."""
    project = tomllib.loads((package / "pyproject.toml").read_text())
    called = "ulmfit_" + name.replace("-", "_")
    assert project["tool"]["setuptools"]["packages"] == [called]
    patterns = project["tool"]["setuptools"]["package-data"][called]
    taken = {path for pattern in patterns for path in (package / called).glob(pattern)}
    assert {path for path in (package / called).rglob("*") if path.is_file()} <= taken
    ((group, points),) = project["project"]["entry-points"].items()
    information = package / f"{called}-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: ulmfit-{name}\nVersion: 0.1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (information / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    assert name not in pretrained.installed()
    monkeypatch.syspath_prepend(package)


def test_a_packaged_model_has_a_name(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Found by its entry point, loaded and listed by its name; nothing of it is imported."""
    saved, out = tmp_path / "saved", tmp_path / "models" / "film-reviews"
    TextClassifier.create(lm, ("bad", "good"), ClassifierConfig()).save(saved, card={"data": "toy"})
    recipe("package_model").package([saved], "film-reviews", "0.1.0", out, "int8")
    install(out, "film-reviews", monkeypatch)
    assert ulmfit.load("film-reviews").labels == ("bad", "good")
    weights, whole = out / "ulmfit_film_reviews" / "model.safetensors", saved / "model.safetensors"
    assert weights.stat().st_size < 0.6 * whole.stat().st_size
    assert "ulmfit_film_reviews" not in sys.modules
    main(["models"])
    assert "film-reviews\n  data: toy" in capsys.readouterr().out
    with pytest.raises(ValueError, match="the installed model is a forward classifier"):
        pretrained.load("film-reviews", "forward")


@pytest.mark.parametrize("named", [".", "forward/classifier backward/classifier"])
def test_both_directions_are_one_package(
    named: str,
    lm: LanguageModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    """What is installed predicts what the run does, with the temperature of its average."""
    run, out, texts = tmp_path / "run", tmp_path / "both", ["a lovely film", "dull"]
    for direction in ("forward", "backward"):
        reader = LanguageModel.create(lm.tokenizer, replace(TINY, direction=direction))
        member = TextClassifier.create(reader, ("bad", "good"), ClassifierConfig())
        member.save(run / direction / "classifier", card={"data": "toy"})
    save_json(run / "config.json", {"kind": "run", "finished": True})
    save_json(run / "calibration.json", {"temperature": 1.5})
    recipe("package_model").package([run / n for n in named.split()], "both-ways", "0.1.0", out)
    assert "calibrate" not in capsys.readouterr().out
    install(out, "both-ways", monkeypatch)
    packaged = ulmfit.load("both-ways")
    assert isinstance(packaged, Ensemble) and packaged.calibration.temperature == 1.5
    np.testing.assert_array_equal(
        packaged.probabilities(texts), ulmfit.load(run).probabilities(texts)
    )
    assert pretrained.models()["both-ways"] == {"data": "toy"}


def test_classifiers_of_two_runs_have_no_common_temperature(
    lm: LanguageModel, tmp_path: Path, capsys: Captured
) -> None:
    """That is said for classes; for several labels there is none anyway."""
    for kind, labels in (("one", ("bad", "good")), ("many", MultiLabel(("bad", "good")))):
        models = list[Path]()
        for direction in ("forward", "backward"):
            reader = LanguageModel.create(lm.tokenizer, replace(TINY, direction=direction))
            models.append(tmp_path / kind / f"of {direction}" / direction / "classifier")
            TextClassifier.create(reader, labels, ClassifierConfig()).save(models[-1])
            save_json(models[-1].parent.parent / "calibration.json", {"temperature": 1.5})
        out = tmp_path / f"{kind}-package"
        recipe("package_model").package(models, "both-ways", "0.1.0", out)
        assert not (out / "ulmfit_both_ways" / "calibration.json").exists()
        told = f"not calibrated: .* see ulmfit calibrate {re.escape(str(out / 'ulmfit_both_ways'))}"
        assert bool(re.search(told, capsys.readouterr().out)) is (kind == "one")


def test_what_can_not_be_packaged_is_refused(lm_directory: Path, tmp_path: Path) -> None:
    package, lm = recipe("package_model").package, lm_directory / "forward" / "language_model"
    export, empty = tmp_path / "export", tmp_path / "empty"
    save_json(empty / "config.json", {"kind": "run", "finished": True})
    save_json(export / "config.json", {"kind": "onnx"})
    for name, models, out, said in (
        ("Film reviews", [lm], "new", "small letters"),
        ("film", [lm], "", "exists"),
        ("film", [tmp_path / "none"], "new", "does not exist"),
        ("film", [lm, lm], "new", "2 models of kind language_model"),
        ("film", [empty], "new", "0 models"),
        ("film", [export], "new", "is an export"),
    ):
        with pytest.raises(ValueError, match=said):
            package(models, name, "0.1.0", tmp_path / out)
    assert not (tmp_path / "new").exists()
