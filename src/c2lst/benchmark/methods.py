"""What is compared on sections that were never learnt from: all look at images alone.

A place on one section says nothing about places on another, so that no method sees coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.benchmark.settings import BenchmarkSettings
from c2lst.data.genes import ExpressionScaler
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.evaluation.encoders import ImageEncoder
from c2lst.prediction.baselines import REGISTRY
from c2lst.prediction.kernels import Reduction
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.progress import logger

PROCESS = "c2lst (image)"
HEST_RIDGE = "hest_bench"
NETWORK = "network_real_only"

TITLES = {HEST_RIDGE: "HEST-Bench's ridge", NETWORK: "Network, real only"}
"""Names in tables, where they are not those of the report."""

HEST_COMPONENTS = 256
FEATURE_COMPONENTS = 48
PROCESS_SPOTS = 4000
"""Most training spots of the Gaussian process, whose cost grows with the cube of their number."""


@dataclass(frozen=True, eq=False)
class Training:
    """The training sections of a fold, pooled.

    Parameters
    ----------
    section
        Their pool, with patches in the stain that networks see.
    features
        Of the frozen encoder, float32 (n, d).
    expression
        log1p of normalised counts, float32 (n, G).
    scaler
        Standardises it.
    settings
        How to fit.
    encoder
        The frozen encoder, also of a frozen network.
    directory
        Where checkpoints go.
    """

    section: Section
    features: np.ndarray
    expression: np.ndarray
    scaler: ExpressionScaler
    settings: BenchmarkSettings
    encoder: ImageEncoder
    directory: Path


@dataclass(frozen=True, eq=False)
class Query:
    """Sections to predict, pooled: their images, and nothing of their counts.

    Parameters
    ----------
    images
        Of rows, int (b,): uint8 (b, S, S, 3), in the stain that networks see.
    features
        Of the frozen encoder, float32 (q, d).
    """

    images: Callable[[np.ndarray], np.ndarray]
    features: np.ndarray


Method = Callable[[Training, Query], np.ndarray]


def methods_for(settings: BenchmarkSettings) -> dict[str, Method]:
    """Return every method by name: training and query to (q, G), log1p of normalised counts.

    Raises
    ------
    InputError
        If there is no such network.
    """
    from c2lst.prediction.networks import ARCHITECTURES
    from c2lst.prediction.options import FROZEN, NETWORKLESS

    known = (NETWORKLESS, *ARCHITECTURES, FROZEN)
    if settings.network not in known:
        raise InputError(
            "benchmark", "unknown network", found=settings.network, expected=", ".join(known)
        )
    methods: dict[str, Method] = {
        "train_median": _baseline("train_median"),
        "train_mean": _baseline("train_mean"),
        HEST_RIDGE: hest_ridge,
        "ridge": _baseline("ridge"),
        PROCESS: gaussian_process,
    }
    if settings.network != NETWORKLESS:
        methods[NETWORK] = network
    return methods


def _baseline(name: str) -> Method:
    def predict(training: Training, query: Query) -> np.ndarray:
        # Baselines that look at images alone: the coordinates are not looked at.
        nowhere = [np.zeros((len(x), 2)) for x in (training.features, query.features)]
        predicted = REGISTRY[name](
            nowhere[0], training.expression, nowhere[1], training.features, query.features
        )
        return np.maximum(predicted, 0.0)

    return predict


def hest_ridge(training: Training, query: Query) -> np.ndarray:
    """Predict as HEST-Bench does: standardised features, 256 components, ridge regression.

    The penalty, 100 / (components × genes), is the benchmark's. It fits no intercept; we do, which
    changes no correlation and without which errors mean nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n, d = training.features.shape
    components = min(HEST_COMPONENTS, n - 1, d)
    model = make_pipeline(
        StandardScaler(),
        PCA(components, random_state=training.settings.seed),
        Ridge(alpha=100 / (components * training.expression.shape[1])),
    )
    fitted = model.fit(training.features.astype(np.float64), training.expression)
    return np.asarray(fitted.predict(query.features.astype(np.float64)))


def gaussian_process(training: Training, query: Query) -> np.ndarray:
    """Predict by the process of the default predictor, over image features alone."""
    rows = _some(len(training.features), training.settings.seed)
    reduce = Reduction.fit(training.features, FEATURE_COMPONENTS)
    process = AdditiveGaussianProcess.fit(
        training.expression[rows],
        {"image": reduce(training.features[rows])},
        library_size=training.section.library_size[rows],
        seed=training.settings.seed,
    )
    return np.maximum(process.mean_at({"image": reduce(query.features)}), 0.0)


def network(training: Training, query: Query) -> np.ndarray:
    """Predict by networks trained on the real pairs, one a fold of the training spots."""
    from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork

    settings, section = training.settings, training.section
    fitted = CrossFittedNetwork.fit(
        section.patches[:],
        training.scaler.scale(training.expression),
        section.barcodes,
        CotrainingSettings(
            network=settings.network, folds=3, steps=settings.steps, seed=settings.seed
        ),
        encoder=training.encoder,
        directory=training.directory,
        label="network",
    )
    scaled = fitted.predict(query.images(np.arange(len(query.features))))
    return np.maximum(training.scaler.unscale(scaled), 0.0)


def _some(n: int, seed: int) -> np.ndarray:
    """Rows of the training spots that the process is fitted to, drawn evenly from all."""
    if n <= PROCESS_SPOTS:
        return np.arange(n)
    logger.info("Gaussian process: %d of %d training spots", PROCESS_SPOTS, n)
    return np.sort(np.random.default_rng(seed).choice(n, PROCESS_SPOTS, replace=False))
