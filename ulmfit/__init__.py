"""ULMFiT: fine-tune a language model on your texts, then train a classifier on few labels.

The public API in reading order. Names are imported when first used, so that `import ulmfit` and `--help` are quick.
"""

from importlib import import_module
from typing import Any

_HOME = {
    # data
    "Document": "ulmfit.text.document",
    "read_documents": "ulmfit.text.readers",
    "datasets": "ulmfit.datasets",  # the module itself: ulmfit.datasets.load("imdb", "test")
    "tokenize": "ulmfit.text.words",
    "Tokenizer": "ulmfit.text.tokenizer",
    # the method
    "fit": "ulmfit.stages",
    "pretrain_lm": "ulmfit.stages",
    "finetune_lm": "ulmfit.stages",
    "train_classifier": "ulmfit.stages",
    "ULMFiTClassifier": "ulmfit.estimator",
    "ULMFiTRegressor": "ulmfit.estimator",
    "label_curve": "ulmfit.insight.label_curve",
    "next_labels": "ulmfit.insight.next_labels",
    # trained models, and what they give
    "load": "ulmfit.saved",
    "LanguageModel": "ulmfit.language_model",
    "TextClassifier": "ulmfit.classifier",
    "Ensemble": "ulmfit.ensemble",
    "Prediction": "ulmfit.prediction",
    "calibrate": "ulmfit.confidence",
    "save_calibration": "ulmfit.saved",
    "explain": "ulmfit.insight.explain",
    "Explanation": "ulmfit.insight.explain",
    # settings, and what the stages need: a machine and a directory
    "FitConfig": "ulmfit.config",
    "FinetuneConfig": "ulmfit.config",
    "ClassifierConfig": "ulmfit.config",
    "SMALL_FINETUNE": "ulmfit.config",
    "SMALL_CLASSIFIER": "ulmfit.config",
    "PretrainConfig": "ulmfit.config",
    "ModelConfig": "ulmfit.config",
    "TokenizerConfig": "ulmfit.config",
    "SamplingConfig": "ulmfit.config",
    "RuntimeConfig": "ulmfit.config",
    "Runtime": "ulmfit.runtime",
    "Run": "ulmfit.run_directory",
    "models": "ulmfit.pretrained",
    # reports, export, sharing
    "report": "ulmfit.insight.report",
    "compare": "ulmfit.insight.compare",
    "export": "ulmfit.deploy.export",
    "push": "ulmfit.deploy.hub",
    "pull": "ulmfit.deploy.hub",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ulmfit' has no attribute {name!r}")
    home = import_module(_HOME[name])
    return home if home.__name__ == f"ulmfit.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
