"""A model card: README.md beside a saved model, in the format of the Hugging Face Hub. It is written from what was recorded,
and says what was not. Loading a model ignores it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ulmfit.config import NONE
from ulmfit.files.checkpoint import atomic, load_json

NAME = "README.md"
SHIPPED = Path(__file__).parent / "weights"
SHIPPED_LICENCE = "cc-by-sa-4.0"  # the Hub's name for it
MOST_LABELS = 50
TASKS = {"classifier": "text-classification", "language_model": "text-generation"}
CALIBRATED = {
    True: "Probabilities were calibrated on held-out texts.",
    False: "Probabilities were not calibrated; read them as an order, not as shares.",
}
MEASURES = {"macro_f1": "f1", "micro_f1": "f1"}  # the Hub's names for ours


def write_card(folder: Path) -> None:
    """Writes README.md beside a saved classifier or language model, from its config.json and, if it lies in a run, the run's."""
    with atomic(folder / NAME) as temporary:
        temporary.write_text(model_card(folder), encoding="utf-8", errors="replace")


def tell_calibrated(folder: Path, calibrated: bool) -> bool:
    """Update the sentence of a classifier's card on whether its probabilities are calibrated, and nothing else: the rest may
    have been edited by hand. False if that sentence was edited too, and so was not updated."""
    path = folder / NAME
    if not path.exists():
        return True
    right, wrong = (CALIBRATED[key].encode() for key in (calibrated, not calibrated))
    content = path.read_bytes()
    if wrong in content:
        with atomic(path) as temporary:
            temporary.write_bytes(content.replace(wrong, right))
    return wrong in content or right in content


def model_card(folder: Path) -> str:
    """The card's text: YAML front matter (its values as JSON, which is valid YAML), then Markdown."""
    saved = load_json(folder / "config.json")
    tokenizer = load_json(folder / "tokenizer.json")["config"]
    run = _run(folder, saved)
    sections = {
        f"# {_title(saved, run)}": [_what(saved, tokenizer)],
        "## Use": [_use(saved)],
        "## Intended use": [_intended(saved)],
        "## Data": list(_data(saved, run)),
        "## Metrics": list(_metrics(saved, run)),
        "## Limits": list(_limits(saved, tokenizer)),
        "## Licence": [_licence(saved, run)],
        "## How it was made": list(_origin(saved, run)),
    }
    head = "".join(f"{k}: {_plain(v)}\n" for k, v in _front(saved, tokenizer, run).items())
    body = "\n\n".join("\n\n".join([title, *parts]) for title, parts in sections.items())
    return f"---\n{head}---\n\n{body}\n"


def _run(folder: Path, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the run that made the model in RUN/direction/kind; empty if the model lies elsewhere."""
    folder = folder.resolve()
    record = folder.parent.parent / "config.json"
    own = (folder.parent.name, folder.name) == (saved["model"]["direction"], saved["kind"])
    found = load_json(record) if own and record.exists() else {}
    return found | {"name": record.parent.name} if found.get("kind") == "run" else {}


def _front(
    saved: Mapping[str, Any], tokenizer: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "ulmfit", "pipeline_tag": TASKS[saved["kind"]]}
    if tokenizer["kind"] == "words" and tokenizer["lang"] != "xx":
        front["language"] = [tokenizer["lang"]]
    if _base(run) in _shipped():
        front["license"] = SHIPPED_LICENCE
    front["tags"] = ["ulmfit", "awd-lstm", "safetensors"]
    scores: list[dict[str, Any]] = [
        {"task": {"type": TASKS[saved["kind"]]}, "dataset": {"type": "own", "name": f"{name} set"}}
        | {
            "metrics": [
                {"type": MEASURES.get(k, k), "name": k, "value": round(v, 4)}
                for k, v in _scores(of)
            ]
        }
        for name, of in _results(saved, run).items()
    ]
    if scores:
        front["metrics"] = sorted({m["type"] for score in scores for m in score["metrics"]})
        front["model-index"] = [{"name": _title(saved, run), "results": scores}]
    return front


def _title(saved: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    kind = saved["kind"].replace("_", " ")
    return f"{run['name']}: {saved['model']['direction']} {kind}" if run else f"ULMFiT {kind}"


def _what(saved: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> str:
    model = saved["model"]
    tokens = "pieces of words (SentencePiece)" if tokenizer["kind"] != "words" else "words"
    net = (
        f"an AWD-LSTM of {model['layers']} layers with {model['hidden_size']} units (embeddings of {model['embedding_size']})"
        f" that reads {model['direction']}, token by token; tokens are {tokens}, split as for `{tokenizer['lang']}`"
    )
    if saved["kind"] == "language_model":
        return f"A language model: {net}."
    return f"A text classifier, ULMFiT (Howard & Ruder 2018): {net}. It gives {_outputs(saved)}."


def _outputs(saved: Mapping[str, Any]) -> str:
    if "y_range" in saved:
        return "a number from {:g} to {:g}".format(*saved["y_range"])
    names, kind = saved["labels"], saved.get("label_kind", "single")
    shown = ", ".join(f"`{_one_line(name)}`" for name in names[:MOST_LABELS])
    more = f" and {len(names) - MOST_LABELS} more" if len(names) > MOST_LABELS else ""
    return f"{'one' if kind == 'single' else 'any'} of {len(names)} labels: {shown}{more}"


def _use(saved: Mapping[str, Any]) -> str:
    verb = "predict" if saved["kind"] == "classifier" else "generate"
    return (
        "```python\nimport ulmfit\n\n"
        f'model = ulmfit.load(ulmfit.pull("owner/name", revision="…"))  # or a directory\n'
        f'print(model.{verb}("A text."))\n```'
    )


def _intended(saved: Mapping[str, Any]) -> str:
    if saved["kind"] == "language_model":
        return "To train classifiers on (`ulmfit fit --pretrained DIRECTORY`). Text that it generates is not reliable information."
    return (
        "Texts like those it was trained on: the same language, source and kind of label. On other texts,"
        " measure first (`ulmfit evaluate`). Not for decisions about people unless a person reviews them."
    )


def _data(saved: Mapping[str, Any], run: Mapping[str, Any]) -> Iterable[str]:
    card = saved["card"]
    yield _sentence(
        card.get("data")
        or card.get("size")
        or "Not recorded: this model was saved outside of a run."
    )
    if run.get("data"):
        yield f"Fingerprint of all texts and labels the run was given (SHA-256): `{run['data']}`."
    if base := _base(run):
        start = "random weights" if base == NONE else f"the language model `{_one_line(base)}`"
        yield f"Training started from {start}."


def _metrics(saved: Mapping[str, Any], run: Mapping[str, Any]) -> Iterable[str]:
    results = _results(saved, run)
    for name, metrics in results.items():
        n = metrics.get("documents")
        baseline = run.get("baseline", {}).get(name, {}) if n else {}
        title = f"{name} set, {n:,} documents" if n else f"{name} set, the epoch that was kept"
        rows = [f"| {title} | this model | TF-IDF, linear |", "|---|---|---|"]
        rows += [f"| {k} | {v:.4g} | {_figure(baseline.get(k))} |" for k, v in _scores(metrics)]
        yield "\n".join(rows)
    if not results:
        yield "No scores on a named set were recorded with this model."
    if _together(run) and run.get("results"):
        yield (
            "The run scored the average of this model and its twin that reads the other way, not this model alone: "
            + "; ".join(f"{k} set: {_listed(v)}" for k, v in run["results"].items())
            + "."
        )
    if saved["card"].get("config", {}).get("keep") == "best":
        yield "The epoch was chosen on the validation set, so scores on that set are optimistic."


def _results(saved: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Metrics by named set: the run's; if it has none for this model alone, those of the epoch kept."""
    if saved["kind"] == "classifier" and run.get("results") and not _together(run):
        return run["results"]
    epoch = saved["card"].get("best") or saved["card"].get("last") or {}
    valid = {k: v for k, v in epoch.items() if k.startswith("valid_") and k != "valid_loss"}
    return {"validation": {k.removeprefix("valid_"): v for k, v in valid.items()}} if valid else {}


def _scores(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(k, v) for k, v in metrics.items() if k != "documents"]


def _limits(saved: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> Iterable[str]:
    if saved["kind"] == "classifier":
        pooled = saved["reading"]["max_len"]
        yield f"It reads long texts in full, but pools only about the last {pooled:,} tokens."
        calibrated = saved.get("calibration", {}).get("temperature", 1.0) != 1.0
        if saved.get("label_kind", "single") == "single":
            yield CALIBRATED[calibrated]
    words = "it knows" if tokenizer["kind"] == "words" else "its pieces can spell"
    yield f"It sees only words {words}. Whether it treats groups of people alike was not examined."


def _licence(saved: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    base = _base(run)
    if stated := saved["card"].get("licence"):
        return _sentence(stated)
    if base in _shipped():
        return (
            f"It is derived from `{base}`, weights made from Wikipedia under CC BY-SA 4.0, which requires that derived"
            " work is shared alike. Whether the texts it was trained on allow that is for their owner to say."
        )
    return "Not stated: it depends on the texts, and on the language model that training started from, if any."


def _origin(saved: Mapping[str, Any], run: Mapping[str, Any]) -> Iterable[str]:
    card = saved["card"]
    facts = {
        "made by": card.get("made_by"),
        "size": card.get("size") or card.get("training"),
        "command": run.get("command"),
        "begun": run.get("began"),
        "settings and data": run.get("identity"),
        "versions": _listed(run.get("versions", {})),
    }
    rows = [f"- {name}: `{_one_line(value)}`" for name, value in facts.items() if value]
    yield "\n".join(rows) or "Not recorded."


def _base(run: Mapping[str, Any]) -> str | None:
    """The name of the language model that a run began with."""
    config = run.get("config", {})
    return (
        (config.get("config") or {}).get("pretrained")
        or config.get("pretrained")
        or config.get("lm")
    )


def _shipped() -> set[str]:
    names = {path.parent.name for path in SHIPPED.glob("*/config.json")}
    return names | {name.rpartition("-")[0] for name in names}


def _together(run: Mapping[str, Any]) -> bool:
    return (run.get("config", {}).get("config") or {}).get("directions") == "both"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
    )


def _one_line(value: object) -> str:
    """The value for use inside backticks: on one line, its own backticks replaced."""
    return " ".join(str(value).split()).replace("`", "'")


def _sentence(text: str) -> str:
    return _one_line(text).rstrip(".") + "."


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
