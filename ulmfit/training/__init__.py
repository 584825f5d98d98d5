"""Losses → weights. What it takes to drive a `Stage` by hand, imported when first used: `calibration` works without PyTorch."""

from importlib import import_module
from typing import Any

_HOME = {
    "LRCurve": "lr_finder",
    "Log": "log",
    "OneCycle": "schedule",
    "Phase": "phases",
    "SlantedTriangular": "schedule",
    "Stage": "stage",
    "discriminative": "phases",
    "find_lr": "lr_finder",
    "layer_rates": "phases",
    "quick_unfreezing": "phases",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ulmfit.training' has no attribute {name!r}")
    return getattr(import_module(f"ulmfit.training.{_HOME[name]}"), name)
