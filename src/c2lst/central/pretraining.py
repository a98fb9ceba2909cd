"""What a central model is trained on and for: patches as samples, and the loss on them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.data.stain import StainJitter
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_unit_range, windows
from c2lst.errors import InputError
from c2lst.progress import progress_bar

IN_MEMORY_BYTES = 1 << 30
READ_AT_ONCE = 256


class PatchSet(Protocol):
    """H&E patches without genes, such as a :class:`~c2lst.data.collections.PatchCollection`."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Return uint8 RGB patches ``(len(indices), size, size, 3)``."""

    def describe(self) -> dict[str, Any]:
        """Say where the patches come from, for the model card."""


class PatchSamples:
    """Patches as training samples: kept in memory where they fit, else fetched each time."""

    def __init__(self, patches: PatchSet) -> None:
        if len(patches) == 0:
            raise InputError("central collection", "holds no patches")
        self.patches = patches
        fits = len(patches) * patches.fetch(np.array([0])).nbytes <= IN_MEMORY_BYTES
        self._stored = self._read_all() if fits else None

    def _read_all(self) -> np.ndarray:
        parts = []
        with progress_bar("patches", len(self.patches)) as bar:
            for start in range(0, len(self.patches), READ_AT_ONCE):
                indices = np.arange(start, min(start + READ_AT_ONCE, len(self.patches)))
                parts.append(self.patches.fetch(indices))
                bar.advance(len(indices))
        return np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.patches)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the patches at ``indices``, as the trainer takes them."""
        stored = self._stored
        images = self.patches.fetch(indices) if stored is None else stored[indices]
        return {"images": torch.from_numpy(images)}


class DenoisingObjective:
    """The unconditional loss (paper Eq. 6) on augmented patches.

    Parameters
    ----------
    process
        Noise levels, target and weight.
    dihedral
        Turn and mirror each patch by one of eight ways.
    jitter
        How stain varies from patch to patch.
    windows
        Share of the steps that see a window of half the side in place of each patch.
    """

    def __init__(
        self,
        process: NoiseProcess,
        *,
        dihedral: bool = True,
        jitter: StainJitter | None = None,
        windows: float = 0.0,
    ) -> None:
        self.loss = DenoisingLoss(process)
        self.dihedral, self.jitter, self.windows = dihedral, jitter, windows

    @property
    def counted(self) -> tuple[DenoisingObjective, float]:
        """The objective on whole patches, and the mean cost of an image relative to it."""
        whole = DenoisingObjective(
            self.loss.process, dihedral=self.dihedral, jitter=self.jitter, windows=0
        )
        return whole, 1 - self.windows * 3 / 4

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss per patch, shape ``(B,)``."""
        clean = to_unit_range(batch["images"])
        if draws.of_step() < self.windows:
            side = clean.shape[-1] // 2
            top, left = draws.integers(side + 1), draws.integers(side + 1)
            clean = windows(clean, side, top, left)
        if self.dihedral:
            clean = dihedral(clean, draws.integers(8))
        if self.jitter is not None and self.jitter.strength > 0:
            clean = self.jitter.apply(clean, draws.uniform((self.jitter.numbers,)))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(self.loss.process.steps)
        output = model(self.loss.add_noise(clean, noise, timesteps), timesteps).sample
        return self.loss(output, clean, noise, timesteps)
