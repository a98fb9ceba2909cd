"""What the diffusion model is trained for: the loss on turned windows, by the one trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.noise import dihedral, to_unit_range
from c2lst.diffusion.trainer import TrainHistory, train
from c2lst.errors import InputError
from c2lst.superres.crops import cell_view, curriculum
from c2lst.superres.graph import fit_graph
from c2lst.superres.loss import SuperresLoss
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.network import Condition, SuperresNetwork
from c2lst.superres.scaling import ExpressionScale
from c2lst.superres.settings import SuperresSettings
from c2lst.superres.windows import WindowSource


class Views:
    """Turn and mirror windows and scale them, as a network is shown them.

    Windows whose bins are not all of their spots' (256 bins of 26 spots at 10×) stay upright:
    turned, bins and spots would no longer lie on each other.

    Parameters
    ----------
    scale
        Of the expression.
    settings
        Of the network.
    """

    def __init__(self, scale: ExpressionScale, settings: SuperresSettings) -> None:
        self.scale, self.settings = scale, settings
        self.turned = settings.hr_size == settings.lr_size * settings.scale

    def __call__(self, batch: dict[str, Tensor], draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled bins, as the network is asked for them, scaled spots, image in [-1, 1]."""
        spots, bins = batch["spots"], batch["bins"]
        base = self.scale.base(spots, self.settings.scale, bins.shape[-2:])
        parts = (
            self.scale.encode_bins(bins, base),
            self.scale.encode_spots(spots),
            to_unit_range(batch["image"]),
        )
        if not self.turned:
            return parts
        choice = draws.integers(8)
        asked, given, image = (dihedral(part, choice) for part in parts)
        return asked, given, image


class SuperresObjective:
    """The loss of a :class:`SuperresNetwork` on training windows.

    Parameters
    ----------
    scale
        Of the expression.
    settings
        Of the network.
    """

    def __init__(self, scale: ExpressionScale, settings: SuperresSettings) -> None:
        self.views, self.settings = Views(scale, settings), settings
        self.loss = SuperresLoss(settings)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss per window, shape ``(B,)``."""
        settings = self.settings
        clean, spots, image = self.views(batch, draws)
        cells = cell_view(image, settings.crop_px, self._shown(draws.step))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(settings.process.steps)
        noisy = self.loss.add_noise(clean, noise, timesteps)
        said = model(noisy, timesteps, Condition(spots, image, cells))
        return self.loss(said, clean, noise, noisy, timesteps)

    def _shown(self, step: int) -> float:
        """Share of the crops that the curriculum shows in a step."""
        if not self.settings.components.curriculum:
            return 1.0
        return curriculum(step / self.settings.training.steps)


def train_network(
    maps: SuperresMaps,
    scale: ExpressionScale,
    settings: SuperresSettings,
    *,
    directory: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> tuple[SuperresNetwork, TrainHistory]:
    """Train a network on maps at the scale of the settings.

    Parameters
    ----------
    maps
        Training maps.
    scale
        Of their expression.
    settings
        Network and training.
    directory
        Where checkpoints go, to go on after an interruption.
    about
        What else a run must have in common with one that it continues.

    Raises
    ------
    InputError
        If no window holds tissue.
    """
    source = WindowSource(maps, settings)
    if len(source) == 0:
        raise InputError("maps", "no window holds tissue", remedy="use maps with more tissue")
    torch.manual_seed(mix_seed(settings.training.seed, 1))
    network = SuperresNetwork(len(maps.genes), settings)
    if network.parts.use_spots and network.parts.graph_layer:
        spots = [maps.spots(sample).reshape(len(maps.genes), -1).T for sample in maps.samples]
        adjacency = fit_graph(np.concatenate(spots), settings.graph)
        network.graph.adjacency.copy_(torch.from_numpy(adjacency))
    history = train(
        network,
        SuperresObjective(scale, settings),
        source,
        settings.training,
        directory=directory,
        label="superres",
        about=about,
    )
    return network, history
