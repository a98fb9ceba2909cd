"""The networks of the field that a run trains as baselines, and what they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from c2lst.prediction.network_baselines import NETWORKS, baseline_layer, network_baselines
from c2lst.progress import logger
from c2lst.storage import whole_file

if TYPE_CHECKING:
    import numpy as np

    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.settings import RunSettings
    from c2lst.workflow.rundir import RunDirectory

FILE_NAME = "baselines.safetensors"

HOW_TO_ADD = (
    f"none; --baselines {' '.join(NETWORKS)} adds ResNet-50 and DenseNet-121, real only, to this "
    "run: long without an accelerator"
)
LEFT_OUT = (
    "left out: with every spot sequenced, each would be predicted by a network that has seen it"
)


def train_baselines(
    run: RunDirectory,
    settings: RunSettings,
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """Train the networks that the settings name and that are not trained yet; keep predictions."""
    from safetensors.numpy import save_file

    if not settings.baselines:
        return {"networks": HOW_TO_ADD}
    if not split.test:
        logger.warning("%s: %s", ", ".join(settings.baselines), LEFT_OUT)
        return {"networks": LEFT_OUT}
    known = _read(run)
    layers = network_baselines(
        section,
        split,
        preprocessing,
        [name for name in settings.baselines if baseline_layer(name) not in known],
        seed=settings.seed,
        directory=run.scratch("baselines"),
    )
    with whole_file(run.path(FILE_NAME)) as partial:
        save_file(known | layers, partial)
    return {"networks": ", ".join(settings.baselines)}


def trained_baselines(run: RunDirectory, settings: RunSettings) -> dict[str, np.ndarray]:
    """Return ``baseline_<name>`` to log1p expression (n, G), of the networks that were trained."""
    known = _read(run)
    return {layer: known[layer] for layer in map(baseline_layer, settings.baselines) if known}


def _read(run: RunDirectory) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    path = run.path(FILE_NAME)
    return load_file(path) if path.is_file() else {}
