"""A whole-slide expression map from a few sequenced spots.

One spot goes through the package in this order::

    Section → SpotSplit → Preprocessing → CentralModel → LocalModel → SyntheticPairs
            → ExpressionPredictor → predictions (AnnData) → report
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("c2lst")
except PackageNotFoundError:  # a source tree that is on the path but not installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from c2lst.central import CentralModel as CentralModel
    from c2lst.data.preprocessing import Preprocessing as Preprocessing
    from c2lst.data.readers import read as read
    from c2lst.data.section import Section as Section
    from c2lst.data.simulate import simulate_tissue as simulate_tissue
    from c2lst.data.split import SpotSplit as SpotSplit
    from c2lst.data.synthetic import SyntheticPairs as SyntheticPairs
    from c2lst.errors import InputError as InputError
    from c2lst.evaluation.expression import evaluate as evaluate
    from c2lst.local import LocalModel as LocalModel
    from c2lst.prediction.predictor import ExpressionPredictor as ExpressionPredictor
    from c2lst.report import write_report as write_report
    from c2lst.workflow import run as run

_HOMES = {
    "CentralModel": "c2lst.central",
    "ExpressionPredictor": "c2lst.prediction.predictor",
    "InputError": "c2lst.errors",
    "LocalModel": "c2lst.local",
    "Preprocessing": "c2lst.data.preprocessing",
    "Section": "c2lst.data.section",
    "SpotSplit": "c2lst.data.split",
    "SyntheticPairs": "c2lst.data.synthetic",
    "evaluate": "c2lst.evaluation.expression",
    "read": "c2lst.data.readers",
    "run": "c2lst.workflow",
    "simulate_tissue": "c2lst.data.simulate",
    "write_report": "c2lst.report",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # torch and its friends take seconds to import: only what is used is loaded.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'c2lst' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
