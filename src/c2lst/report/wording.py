"""Plain names for methods, stages and files, and how numbers are written in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from c2lst.evaluation.expression import DEFAULT_METHOD, NETWORK, NETWORK_TWIN, TWIN
from c2lst.evaluation.expression.names import COTRAINED

TRAINED_BASELINES = ("resnet_50", "densenet_121")
"""Networks of the field: baselines, but no simple ones."""

BASELINES = (
    *("train_median", "train_mean", "knn", "inverse_distance", "kriging", "kriging_shared"),
    *("kriging_recentred", "ridge", "ridge_coordinates"),
    *TRAINED_BASELINES,
)
"""The baselines, of which the headline is judged against the best."""

EXPRESSION_UNIT = "log1p of counts per 10,000"


@dataclass(frozen=True)
class MethodName:
    """How the report speaks of one method.

    Parameters
    ----------
    label
        Name in plain language, as a table shows it.
    sees
        What the method is given at an unsampled spot, or learns from: place, image, synthetic.
    """

    label: str
    sees: tuple[str, ...] | None


METHODS: Mapping[str, MethodName] = {
    DEFAULT_METHOD: MethodName("c2lst (image + place)", ("image", "place", "synthetic")),
    COTRAINED: MethodName("c2lst, real + synthetic", ("image", "place", "synthetic")),
    TWIN: MethodName("c2lst, real only (step-matched)", ("image", "place")),
    NETWORK: MethodName("Network, real + synthetic", ("image", "synthetic")),
    NETWORK_TWIN: MethodName("Network, real only (step-matched)", ("image",)),
    "resnet_50": MethodName("ResNet-50, real only", ("image",)),
    "densenet_121": MethodName("DenseNet-121, real only", ("image",)),
    "ridge_coordinates": MethodName("Frozen encoder + ridge + coordinates", ("image", "place")),
    "ridge": MethodName("Frozen encoder + ridge", ("image",)),
    "kriging": MethodName("Kriging", ("place",)),
    "kriging_recentred": MethodName("Kriging, recentred", ("place",)),
    "kriging_shared": MethodName("Kriging of components", ("place",)),
    "inverse_distance": MethodName("Inverse distance", ("place",)),
    "knn": MethodName("Nearest sampled spots (kNN)", ("place",)),
    "train_median": MethodName("Median of sampled spots", ()),
    "train_mean": MethodName("Mean of sampled spots", ()),
}
"""Every known method, in the order in which tables show them."""

STAGES: Mapping[str, str] = {
    "read": "Read the slide and its spots",
    "split": "Choose the sampled spots",
    "fit": "Fit genes, scale and stain",
    "central": "Central model: histology prior",
    "adapt": "Local model: adapt to this slide",
    "synthesize": "Make synthetic pairs",
    "train": "Train the predictor",
    "baselines": "Train networks as baselines",
    "predict": "Predict every spot",
    "evaluate": "Compare with baselines",
    "report": "Write this report",
}

FILES: Mapping[str, str] = {
    "predictions.h5ad": "Predicted and observed expression of every spot, with intervals (AnnData; "
    "opens in scanpy and squidpy)",
    "metrics.csv": "One row per method: error, correlation and skill with 95 % intervals",
    "gene_metrics.csv": "The same, gene by gene",
    "coverage.csv": "Whether the 90 % intervals hold what they promise, near and far from sampled "
    "spots",
    "comparisons.csv": "Paired differences in error between methods",
    "section": "The section as read: counts, spot patches and metadata (HEST layout)",
    "split.json": "Which spots were sampled, held out or left as a buffer",
    "preprocessing.json": "Gene panel, expression scale and stain reference, from sampled spots",
    "central": "The central model (a diffusers pipeline)",
    "adapter": "The local adapter: what this slide added to the central model",
    "synthetic": "Synthetic patches with their expression profiles",
    "advice.json": "Which predictor was chosen inside the sampled spots, and what synthetic pairs "
    "did there",
    "map.h5ad": "Predicted expression of the tissue between the spots, with intervals (AnnData)",
    "predictor": "The trained expression predictor",
    "baselines.safetensors": "What the networks predict that were trained as baselines",
    "manifest.json": "Settings, seeds, versions, durations and hashes of this run",
    "report.html": "This page",
}


def method_name(key: str) -> MethodName:
    """Return the plain name of a method; an unknown one is shown by its own key."""
    return METHODS.get(key, MethodName(key.replace("_", " "), None))


def method_order(key: str) -> tuple[int, str]:
    """Sort key: known methods in the order of `METHODS`, others after them by name."""
    known = list(METHODS)
    return (known.index(key) if key in METHODS else len(known), key)


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """Write a number with a true minus sign; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def span(low: float, high: float, digits: int = 3, *, signed: bool = False, unit: str = "") -> str:
    """Write an interval as "a to b"; empty where an end is missing."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    ends = f"{number(low, digits, signed=signed)} to {number(high, digits, signed=signed)}"
    return f"{ends}\u00a0{unit}" if unit else ends


def percent(value: float, digits: int = 0) -> str:
    """Write a share of one as per cent."""
    return f"{number(100 * value, digits)}\u00a0%" if math.isfinite(value) else "–"


def duration(seconds: float) -> str:
    """Write a duration as people say it: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if not math.isfinite(seconds) or seconds < 0:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """List a nested JSON value as (dotted key, text) pairs, in its own order."""
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        return [(prefix, ", ".join(_plain(item) for item in value) or "none")]
    return [(prefix, _plain(value))]


def _plain(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
