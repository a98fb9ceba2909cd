"""Adaptation: the training of the gene modulation on the paired spots of one section."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_unit_range
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from c2lst.local.artefact import refuse_unlike
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit


@dataclass(frozen=True)
class AdapterSettings:
    """How a central model is adapted.

    Parameters
    ----------
    training
        Steps, batch, rates (paper: 10,000 steps of 32, AdamW, EMA 0.999, 3 % warm-up).
    width
        Width of the gene embedding (open in the paper; ours).
    blocks
        Pattern of the residual blocks to modulate (open in the paper; all by default).
    null_probability
        Share of training images whose genes are replaced by the null condition, which guidance
        needs (value lost in the paper's text; ours).
    components
        The projection of genes starts at this many principal components of the training spots'
        expression: a few spots can't tell hundreds of noisy genes apart, but they do tell
        programmes apart. 0 starts it at random.
    """

    training: TrainSettings
    width: int = 128
    blocks: str = "*"
    null_probability: float = 0.2
    components: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.null_probability < 1:
            raise InputError(
                "adapter settings",
                "null_probability",
                found=self.null_probability,
                expected="a share between 0 and 1",
            )


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
    training = split.training(section)
    _check_fit(central, preprocessing, split)
    pairs = _Pairs(preprocessing.images(training), preprocessing.expression(training))
    torch.manual_seed(mix_seed(settings.training.seed, 2))
    network = GeneModulatedUNet(
        central.unet, len(preprocessing.panel.genes), settings.width, settings.blocks
    )
    if settings.components:
        _start_at_components(network.embedding.projection, pairs.expression.numpy(), settings)
    before = central.hash
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    logger.info(
        "adapt: %d training spots, %d genes, %.2f M of %.1f M parameters train",
        len(pairs),
        len(preprocessing.panel.genes),
        trained / 1e6,
        sum(p.numel() for p in network.parameters()) / 1e6,
    )
    history = train(
        network,
        _ConditionalObjective(central.process, settings.null_probability),
        pairs,
        settings.training,
        directory=directory,
        label="adapt",
    )
    central.__dict__.pop("hash", None)
    if central.hash != before:
        raise RuntimeError("adaptation changed the central model's weights")
    provenance = {
        "base_hash": before,
        "section": section.name,
        "section_hash": section.content_hash,
        "train_hash": split.train_hash,
        "training_spots": len(pairs),
        "settings": asdict(settings),
        "parameters": trained,
        "final_loss": history.losses[-1],
    }
    return network, provenance


class _Pairs:
    """Training patches and their scaled expression."""

    def __init__(self, images: np.ndarray, expression: np.ndarray) -> None:
        self.images = torch.from_numpy(images)
        self.expression = torch.from_numpy(expression)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {"images": self.images[indices], "expression": self.expression[indices]}


class _ConditionalObjective:
    """The conditional loss (paper Eq. 10) with the null condition mixed in."""

    def __init__(self, process: NoiseProcess, null_probability: float) -> None:
        self.loss = DenoisingLoss(process)
        self.null_probability = null_probability

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        clean = dihedral(to_unit_range(batch["images"]), draws.integers(8))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(self.loss.process.steps)
        given = draws.uniform() >= self.null_probability
        noisy = self.loss.add_noise(clean, noise, timesteps)
        return self.loss(
            model(noisy, timesteps, batch["expression"], given), clean, noise, timesteps
        )


def _start_at_components(
    projection: nn.Linear, expression: np.ndarray, settings: AdapterSettings
) -> None:
    """Set the first rows of the projection to whitened principal components, the rest to zero."""
    from sklearn.decomposition import PCA

    number = min(settings.components, settings.width, len(expression) - 1, expression.shape[1])
    components = PCA(number, whiten=True, random_state=0).fit(expression)
    scale = np.sqrt(components.explained_variance_)[:, None]
    rows = torch.from_numpy((components.components_ / scale).astype(np.float32))
    with torch.no_grad():
        projection.weight.zero_()
        projection.bias.zero_()
        projection.weight[:number] = rows


def _check_fit(central: CentralModel, preprocessing: Preprocessing, split: SpotSplit) -> None:
    if preprocessing.train_hash != split.train_hash:
        raise InputError(
            "preprocessing",
            "was fitted on other spots than this split's training spots",
            remedy="fit it again with this split",
        )
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
