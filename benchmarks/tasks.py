"""The tasks on which fastai is compared, with the promised ratios: one to reach at least, and one to aim at."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Task:
    """A row of the table. `work`: name of the workers' function; `settings`: its arguments."""

    what: str
    work: str
    settings: dict[str, Any] = field(default_factory=dict)
    least: float | None = None  # ratio to fastai as it comes
    aim: float | None = None
    # what is compared, lower is better: seconds of the windows, peak memory of the process, or bytes of the file
    measure: Literal["seconds", "peak_rss", "bytes"] = "seconds"
    exact: bool = True  # the values must agree with fastai's
    record: str = ""  # the task whose line has this figure, if this one is not run itself


BY = {"": "PyTorch", "fp32": "exported", "int8": "exported in int8"}

TASKS = {
    "lm-step": Task("LM training step, exact softmax", "lm_step", {}, 1.5, 1.8),
    "lm-step-frozen": Task(
        "LM training step, the encoder's LSTMs frozen", "lm_step", {"frozen": True}, 1.8, 2.1
    ),
    "lm-step-bf16": Task(
        "LM training step, exact softmax, `--precision bf16`",
        "lm_step",
        {"precision": "bf16"},
        1.5,
        1.8,
        exact=False,
    ),
    "lm-step-frozen-bf16": Task(
        "LM training step, the encoder's LSTMs frozen, `--precision bf16`",
        "lm_step",
        {"frozen": True, "precision": "bf16"},
        1.8,
        2.1,
        exact=False,
    ),
    "lm-step-sampled": Task(
        "LM training step, sampled softmax (approximate)",
        "lm_step",
        {"sampled": True},
        2.5,
        3.3,
        exact=False,
    ),
    "lm-memory": Task(
        "LM training, peak memory", "lm_step", {}, 2, 4, measure="peak_rss", record="lm-step"
    ),
    "classifier-head": Task(
        "classifier training step, head only", "classifier_step", {"frozen": True}, 1.2, 1.3
    ),
    "classifier-head-cached": Task(
        "classifier training step, head only, cached features, after the first pass",
        "classifier_step",
        {"frozen": True, "cached": True},
        10,
        30,
    ),
    "classifier-all": Task("classifier training step, all layers", "classifier_step", {}, 1.1, 1.2),
    **{
        f"one-document-{tokens}{f'-{exported}' if exported else ''}": Task(
            f"one document, {tokens} tokens, warm, {BY[exported]}",
            "one_document",
            {"tokens": tokens, "exported": exported},
            *bars,
            exact=exported != "int8",
        )
        for exported, tokens, bars in (
            ("", 8, (8, 12)),
            ("", 20, (3, 5)),
            ("", 230, (1.5, 2)),
            ("fp32", 8, (8, 12)),
            ("fp32", 20, (3, 5)),
            ("fp32", 230, (1.5, 2)),
            ("int8", 20, (8, 10)),
            ("int8", 230, (2.5, 4)),
        )
    },
    "documents": Task("documents in batch", "documents", {}, 1.1, 1.2),
    "documents-int8": Task(
        f"documents in batch, {BY['int8']}",
        "documents",
        {"exported": "int8"},
        1.6,
        2.2,
        exact=False,
    ),
    "generate": Task("generation, 200 words", "generate", {}, 20, 50),
    "saved": Task("saved classifier, fp32", "saved", {}, measure="bytes", exact=False),
    "saved-fp16": Task(
        "saved classifier, fp16", "saved", {"storage": "fp16"}, 2, 5, "bytes", exact=False
    ),
    "start": Task(
        "process start to the first prediction, exported in int8",
        "processes",
        {"until": "prediction"},
        5,
        12,
        exact=False,
    ),
    "import": Task("import", "processes", {"until": "import"}, 20, 60, exact=False),
}
