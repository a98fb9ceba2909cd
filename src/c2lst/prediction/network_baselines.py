"""Baselines that read images by a network trained on real pairs alone: C2L-ST's and ST-Net's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.fitting import fit_network, inputs_for
from c2lst.prediction.options import CotrainingSettings
from c2lst.prediction.pairs import Pairs, PairSource

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

NETWORKS = ("resnet-50", "densenet-121")
"""C2L-ST's network, and ST-Net's (He et al., 2020)."""

RECIPE = CotrainingSettings(batch_size=32, learning_rate=1e-4)
"""Cosine schedule with 5 % warm-up (C2L-ST); what its paper leaves open is ours."""

EPOCHS = 200
"""Passes over the training spots (C2L-ST)."""


def baseline_layer(name: str) -> str:
    """Name the layer of ``predictions.h5ad`` that holds what a network predicts."""
    return f"baseline_{name.replace('-', '_')}"


def once_each(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Return names of :data:`NETWORKS` in its order, each once.

    Raises
    ------
    InputError
        If a name is not among them.
    """
    if unknown := [name for name in names if name not in NETWORKS]:
        raise InputError(where, "baselines", found=unknown[0], expected=", ".join(NETWORKS))
    return tuple(name for name in NETWORKS if name in names)


def network_baselines(
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    names: Sequence[str] = NETWORKS,
    *,
    epochs: int | None = None,
    recipe: CotrainingSettings = RECIPE,
    seed: int = 0,
    directory: Path | None = None,
) -> dict[str, np.ndarray]:
    """Predict all spots by networks that were trained on real pairs alone, by C2L-ST's recipe.

    Each network is trained on all training spots, by the mean absolute error. Unlike a
    :class:`~c2lst.prediction.result.Prediction`, a training spot is predicted by a network that has
    seen it.

    Parameters
    ----------
    section, split, preprocessing
        The slide, its split, and what was fitted to the split's training spots.
    names
        Of :data:`~c2lst.prediction.networks.ARCHITECTURES`.
    epochs
        Passes over the training spots; :data:`EPOCHS` by default.
    recipe
        How to train beside that: batch, rates, precision, augmentation.
    seed
        Of initial weights, data order and augmentation.
    directory
        Where checkpoints go; an interrupted training continues there.

    Returns
    -------
    dict of str to numpy.ndarray
        ``baseline_<name>`` to log1p expression, float32 (n, G).

    Raises
    ------
    InputError
        If a name is unknown, or the split is of another section.
    """
    images = preprocessing.images(section)
    real = Pairs.all_of(
        images[section.indices_of(split.train)],
        preprocessing.expression(split.training(section)),
    )
    steps = max(1, math.ceil((epochs or EPOCHS) * len(real) / recipe.batch_size))
    layers = {}
    for name in names:
        settings = replace(recipe, network=name, steps=steps, seed=seed)
        inputs = inputs_for(settings, stain=preprocessing.stain)
        network, _ = fit_network(
            inputs,
            PairSource.of_real(real),
            settings,
            directory=directory / name if directory else None,
            label=f"baseline {name}",
        )
        predicted = preprocessing.scaler.unscale(inputs.predict(network, images))
        layers[baseline_layer(name)] = np.maximum(predicted, 0).astype(np.float32)
    return layers
