"""The card says what was recorded, where, and what was not; its front matter is YAML."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit.card import NAME, model_card
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig, RuntimeConfig
from ulmfit.files.checkpoint import load_json, save_json
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import BoundedNumber, MultiLabel
from ulmfit.text.document import Document


def front(card: str) -> dict[str, Any]:
    """The front matter, a line of JSON a key."""
    _, head, _ = card.split("---\n", 2)
    return {k: json.loads(v) for k, v in (line.split(": ", 1) for line in head.splitlines())}


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n\n")[1].split("\n\n## ")[0]


@pytest.fixture
def run(lm_directory: Path, reviews: list[Document], tmp_path: Path) -> Path:
    config = replace(TINY_FIT, pretrained=str(lm_directory), finetune=False)
    cpu = RuntimeConfig(device="cpu")
    ulmfit.fit(reviews[:40], test=reviews[40:], config=config, runtime=cpu, out=tmp_path / "run")
    return tmp_path / "run"


def test_a_finished_run_tells_its_scores(run: Path) -> None:
    record = load_json(run / "config.json")
    card = (run / "forward" / "classifier" / NAME).read_text(encoding="utf-8")
    test = record["results"]["test"]
    head = front(card)
    assert head["language"] == ["en"] and head["pipeline_tag"] == "text-classification"
    assert head["metrics"] == ["accuracy", "f1"] and "license" not in head
    (model,) = head["model-index"]
    by_set = {r["dataset"]["name"]: r["metrics"] for r in model["results"]}
    assert by_set.keys() == {"test set", "validation set"}
    accuracy = {"type": "accuracy", "name": "accuracy", "value": test["accuracy"]}
    assert accuracy in by_set["test set"]
    metrics = section(card, "Metrics")
    assert f"test set, {test['documents']} documents" in metrics
    assert (
        f"| accuracy | {test['accuracy']:.4g} | {record['baseline']['test']['accuracy']:.4g} |"
        in metrics
    )
    assert record["data"] in section(card, "Data") and "documents" in section(card, "Data")
    origin = section(card, "How it was made")
    for told in (record["identity"], "torch " + record["versions"]["torch"], "train_classifier"):
        assert told in origin
    assert "one of 2 labels: `bad`, `good`" in card
    assert "Not stated" in section(card, "Licence")


def test_yaml_reads_the_front_matter_as_it_was_meant(run: Path) -> None:
    yaml = pytest.importorskip("yaml")
    card = model_card(run / "forward" / "classifier")
    assert yaml.safe_load(card.split("---\n", 2)[1]) == front(card)


def test_the_hub_reads_it(run: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(run / "forward" / "classifier" / NAME)
    assert card.data.library_name == "ulmfit" and card.data.eval_results


def test_loading_ignores_it(run: Path) -> None:
    (run / "forward" / "classifier" / NAME).write_text("---\nbroken: [\n")
    ulmfit.load(run)
    (run / "forward" / "classifier" / NAME).unlink()
    ulmfit.load(run)


def test_scores_of_two_models_together_are_not_one_models(run: Path) -> None:
    record = load_json(run / "config.json")
    record["config"]["config"]["directions"] = "both"
    save_json(run / "config.json", record)
    card = model_card(run / "forward" / "classifier")
    assert "the average of this model and its twin" in card and "test set: accuracy" in card
    results = front(card).get("model-index", [{"results": []}])[0]["results"]
    assert "test set" not in [r["dataset"]["name"] for r in results]


def test_what_a_run_did_not_make_tells_nothing_of_it(run: Path, lm: LanguageModel) -> None:
    made = TextClassifier.load(run / "forward" / "classifier")
    for place in ("kept/classifier", "forward/mine", "backward/classifier"):
        made.save(run / place)
        assert "saved outside of a run" in section((run / place / NAME).read_text(), "Data")
    lm.save(run / "forward" / "classifier")
    assert "# ULMFiT language model" in (run / "forward" / "classifier" / NAME).read_text()


def test_random_weights_are_no_language_model(run: Path) -> None:
    record = load_json(run / "config.json")
    assert "Training started from the language model `" in model_card(
        run / "forward" / "classifier"
    )
    record["config"]["config"]["pretrained"] = "none"
    save_json(run / "config.json", record)
    card = model_card(run / "forward" / "classifier")
    assert (
        section(card, "Data").endswith("Training started from random weights.")
        and "`none`" not in card
    )


def test_saved_by_hand_it_says_that_nothing_is_known(lm: LanguageModel, tmp_path: Path) -> None:
    for number, labels in enumerate(
        [("a`b\n", "c"), MultiLabel(("x", "y")), BoundedNumber(1.0, 5.0)]
    ):
        TextClassifier.create(lm, labels, ClassifierConfig()).save(tmp_path / str(number))
    first, several, numbers = ((tmp_path / str(i) / NAME).read_text() for i in range(3))
    assert "Not recorded: this model was saved outside of a run" in section(first, "Data")
    assert section(first, "Metrics").startswith("No scores on a named set")
    assert section(first, "How it was made") == "Not recorded.\n"
    assert "one of 2 labels: `a'b`, `c`" in first and "were not calibrated" in first
    assert "any of 2 labels: `x`, `y`" in several and "a number from 1 to 5" in numbers
    assert "model-index" not in front(first)


def test_language_models_and_their_licences(lm: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "forward" / "language_model"
    last = {"kind": "epoch", "valid_loss": 4.0, "valid_perplexity": 54.6}
    lm.save(folder, card={"made_by": "finetune_lm", "size": "12 documents", "last": last})
    save_json(
        tmp_path / "run" / "config.json",
        {"kind": "run", "config": {"config": {"pretrained": "wikipedia-small"}}},
    )
    card = model_card(folder)
    assert (
        front(card)["license"] == "cc-by-sa-4.0"
        and front(card)["pipeline_tag"] == "text-generation"
    )
    assert front(card)["metrics"] == ["perplexity"] and "| perplexity | 54.6 | – |" in card
    assert "is derived from `wikipedia-small`" in section(card, "Licence")
    lm.save(tmp_path / "own", card={"licence": "mine, all of it"})
    assert section((tmp_path / "own" / NAME).read_text(), "Licence") == "mine, all of it."


def test_directions_and_tokenizers_are_told(lm: LanguageModel, tmp_path: Path) -> None:
    twin = LanguageModel(lm.net, lm.tokenizer, replace(TINY, direction="backward"))
    twin.save(tmp_path / "twin")
    assert (
        "reads backward, token by token; tokens are words" in (tmp_path / "twin" / NAME).read_text()
    )
