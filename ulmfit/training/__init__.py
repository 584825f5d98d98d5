"""Losses → weights. Re-exported: what one needs to drive a `Stage` by hand."""

from ulmfit.training.log import Log
from ulmfit.training.lr_finder import LRCurve, find_lr
from ulmfit.training.phases import Phase, discriminative, layer_rates, quick_unfreezing
from ulmfit.training.schedule import OneCycle, SlantedTriangular
from ulmfit.training.stage import Stage

__all__ = [
    "LRCurve",
    "Log",
    "OneCycle",
    "Phase",
    "SlantedTriangular",
    "Stage",
    "discriminative",
    "find_lr",
    "layer_rates",
    "quick_unfreezing",
]
