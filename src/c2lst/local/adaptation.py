"""Adaptation: the training of the gene modulation on the paired spots of one section."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.gradient import BatchGradient
from c2lst.diffusion.private import Mechanism, calibrate
from c2lst.diffusion.private_gradient import PrivateGradient
from c2lst.diffusion.stopping import EarlyStopping, describe
from c2lst.diffusion.trainer import TrainHistory, train
from c2lst.errors import InputError
from c2lst.local.artefact import refuse_unlike
from c2lst.local.pairs import (
    ConditionalObjective,
    HeldOutObjective,
    HeldOutPairs,
    Pairs,
    held_out_spots,
)
from c2lst.local.settings import AdapterSettings as AdapterSettings
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

LARGEST_SHARE = 0.05
SMALL = 10_000_000
"""Weights of a central model below which a larger adapter is let pass.

Modulation grows with the channels and the network with their square, so that a narrow network,
such as one for a first look, has no adapter of 5 % worth training; and what there is takes few MB.
"""

FLAT = 1e-6
"""Variance of a principal component below which it is none, as a share of the first one's."""


def adapt(
    central: CentralModel,
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    settings: AdapterSettings,
    *,
    directory: Path | None = None,
) -> tuple[GeneModulatedUNet, dict[str, Any]]:
    """Train the gene modulation; see :meth:`c2lst.local.LocalModel.adapt`.

    Returns
    -------
    network
        The modulated U-Net with its averaged weights, in evaluation mode.
    provenance
        What it was trained on and how, as plain values.
    """
    split.check(section)
    preprocessing.check_fitted_to(section, split)
    _check_fit(central, preprocessing)
    seed = settings.training.seed
    early = settings.early_stop and settings.private is None
    held_out = held_out_spots(split, seed) if early else ()
    learnt = [barcode for barcode in split.train if barcode not in set(held_out)]
    pairs = Pairs(section.subset(learnt), preprocessing)
    network = _untrained(central, pairs, settings)
    before = central.hash
    trained = _check_share(network, central)
    logger.info(
        "adapt: %d spots are learnt from and %d held out; %d genes",
        len(pairs),
        len(held_out),
        len(preprocessing.panel.genes),
    )
    stopping = None
    if held_out:
        watched = Pairs(section.subset(held_out), preprocessing)
        stopping = EarlyStopping(
            HeldOutObjective(central.process),
            HeldOutPairs(watched, central.process.steps),
            tolerance=settings.stop_tolerance,
        )
    gradient, mechanism = _gradient(settings, len(pairs))
    plain = asdict(settings)
    history = train(
        network,
        ConditionalObjective(
            central.process,
            settings.null_probability if settings.null == "learned" else 0,
            settings.gene_dropout,
        ),
        pairs,
        settings.training,
        directory=directory,
        label="adapt",
        stopping=stopping,
        gradient=gradient,
        about={
            "adapter": {k: v for k, v in plain.items() if k != "training"},
            "base_hash": before,
            "preprocessing_hash": preprocessing.hash,
        },
    )
    central.__dict__.pop("hash", None)
    if central.hash != before:
        raise RuntimeError("adaptation changed the central model's weights")
    provenance = {
        "base_hash": before,
        "section": section.name,
        "section_hash": section.content_hash,
        "train_hash": split.train_hash,
        "training_spots": len(split.train),
        "learnt_spots": len(pairs),
        "settings": plain,
        "parameters": trained,
        "share": trained / sum(p.numel() for p in central.unet.parameters()),
        "final_loss": history.losses[-1],
        "early_stop": _stopped(history, settings, len(held_out)),
        "privacy": mechanism and mechanism.to_dict(),
    }
    return network, provenance


def _stopped(
    history: TrainHistory, settings: AdapterSettings, held_out: int
) -> dict[str, Any] | None:
    """Return where the training stopped and what it reached; warn if it reached nothing."""
    stopped = describe(history, settings.stop_tolerance)
    if stopped is None:
        return None
    if stopped["kept_step"] == 0:
        logger.warning(
            "adapt: every step made held-out spots worse, so the adapter leaves the central model "
            "as it is; more spots may help"
        )
    return stopped | {"held_out_spots": held_out}


def _untrained(central: CentralModel, pairs: Pairs, settings: AdapterSettings) -> GeneModulatedUNet:
    """Return the central model with a modulation that does nothing yet."""
    torch.manual_seed(mix_seed(settings.training.seed, 2))
    config = settings.network_config(pairs.expression.shape[1])
    network = GeneModulatedUNet(central.unet, **config)
    if settings.components and settings.private is None and len(pairs) > 1:
        _start_at_components(network.embedding.projection, pairs.expression.numpy(), settings)
    return network


def _gradient(
    settings: AdapterSettings, samples: int
) -> tuple[Callable[..., BatchGradient], Mechanism | None]:
    """Return what computes the gradient, and its noise where it is private."""
    private, training = settings.private, settings.training
    if private is None:
        return BatchGradient, None
    mechanism = calibrate(private, samples, min(training.batch_size, samples), training.steps)
    return functools.partial(PrivateGradient, privacy=private, mechanism=mechanism), mechanism


def _check_share(network: GeneModulatedUNet, central: CentralModel) -> int:
    """Return the number of weights that train; refuse an adapter that is hardly one.

    Its smallness is what makes it quick to train on few spots, cheap to keep one of for every
    slide, and unable to hold the images it saw.
    """
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    weights = sum(p.numel() for p in central.unet.parameters())
    if trained <= LARGEST_SHARE * weights:
        return trained
    if weights >= SMALL:
        raise InputError(
            "adapter settings",
            "the adapter is too large a share of the central model's weights",
            found=f"{trained:,} of {weights:,} ({trained / weights:.1%})",
            expected=f"at most {LARGEST_SHARE:.0%}",
            remedy="choose fewer blocks, a smaller width or a lower rank",
        )
    logger.warning(
        "adapt: %s weights train, %.1f %% of this small central model's",
        f"{trained:,}",
        100 * trained / weights,
    )
    return trained


def _start_at_components(
    projection: nn.Linear, expression: np.ndarray, settings: AdapterSettings
) -> None:
    """Set the first rows of the projection to whitened principal components, the rest to zero."""
    from sklearn.decomposition import PCA

    number = min(settings.components, settings.width, len(expression) - 1, expression.shape[1])
    components = PCA(number, whiten=True, random_state=0).fit(expression)
    variance = components.explained_variance_
    # Spots that are alike, or genes that do not vary in them, leave directions of rounding alone,
    # and to whiten these would blow it up to infinity.
    there = variance > FLAT * variance[0]
    scale = np.sqrt(variance[there])[:, None]
    rows = torch.from_numpy((components.components_[there] / scale).astype(np.float32))
    with torch.no_grad():
        projection.weight.zero_()
        projection.bias.zero_()
        projection.weight[: len(rows)] = rows


def _check_fit(central: CentralModel, preprocessing: Preprocessing) -> None:
    refuse_unlike("preprocessing", "patch size in px", preprocessing.size, central.size)
    # Files keep µm/px: the side comes back from them within rounding.
    if not math.isclose(preprocessing.patch_um, central.patch_um, rel_tol=0.01):
        refuse_unlike("preprocessing", "patch side in µm", preprocessing.patch_um, central.patch_um)
    if not preprocessing.stain.same_as(central.stain):
        raise InputError(
            "preprocessing",
            "has another stain reference than the central model",
            remedy="fit it with the central model's reference",
        )
