"""What the adapter learns from, and what it is held against: pairs of a patch and expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.draws import Draws
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_unit_range

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

FEWEST = 6
"""Training spots below which none is held out: the adapter needs them all."""
HELD_OUT_SHARE = 0.15
MOST_HELD_OUT = 32
# About how many noisy images a check looks at.
CHECK_IMAGES = 128
# Multiples of the golden ratio fill an interval evenly, however many there are.
GOLDEN = (5**0.5 - 1) / 2


def held_out_spots(split: SpotSplit, seed: int) -> tuple[str, ...]:
    """Return the barcodes that decide when an adaptation stops, and are not learnt from.

    The validation spots of the split where there are any; else 15 % of its training spots, at
    least 2 and at most 32, drawn with ``seed``; none of fewer than 6. They are not learnt from in
    the end either: the weights that are kept are those that were checked, where a second training
    on all spots would end with weights that nothing has checked, after twice the time.
    """
    if split.val:
        return split.val
    n = len(split.train)
    if n < FEWEST:
        return ()
    wanted = min(MOST_HELD_OUT, max(2, round(HELD_OUT_SHARE * n)))
    chosen = np.random.default_rng((seed, n)).choice(n, wanted, replace=False)
    return tuple(split.train[i] for i in sorted(chosen))


class Pairs:
    """Patches and scaled expression of some spots.

    Parameters
    ----------
    section
        The spots.
    preprocessing
        Stain and expression scale.
    """

    def __init__(self, section: Section, preprocessing: Preprocessing) -> None:
        self.images = torch.from_numpy(preprocessing.images(section))
        self.expression = torch.from_numpy(preprocessing.expression(section))

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the pairs at ``indices``."""
        return {"images": self.images[indices], "expression": self.expression[indices]}


class HeldOutPairs:
    """Pairs, each several times, with noise levels spread evenly over all of them.

    Parameters
    ----------
    pairs
        The spots.
    levels
        Noise levels T of the process.
    """

    def __init__(self, pairs: Pairs, levels: int) -> None:
        self._pairs = pairs
        self._repeats = min(16, max(2, round(CHECK_IMAGES / len(pairs))))
        spot, draw = np.divmod(np.arange(len(self)), self._repeats)
        strata = (draw + (spot * GOLDEN) % 1) / self._repeats
        self._timesteps = torch.from_numpy((levels * strata).astype(np.int64))

    def __len__(self) -> int:
        return len(self._pairs) * self._repeats

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the pairs at ``indices``, with the noise level of each."""
        fetched = self._pairs.fetch(indices // self._repeats)
        return fetched | {"timesteps": self._timesteps[indices]}


class ConditionalObjective:
    """The conditional loss (paper Eq. 10) with the null condition mixed in.

    Parameters
    ----------
    process
        The central model's noise process.
    null_probability
        Share of images whose genes are replaced by the null condition; 0 where it is not trained.
    gene_dropout
        Mean share of an image's genes that count as missing.
    """

    def __init__(
        self, process: NoiseProcess, null_probability: float, gene_dropout: float = 0.0
    ) -> None:
        self.loss = DenoisingLoss(process)
        self.null_probability, self.gene_dropout = null_probability, gene_dropout

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss per image, ``(B,)``."""
        clean = dihedral(to_unit_range(batch["images"]), draws.integers(8))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(self.loss.process.steps)
        given = draws.uniform() >= self.null_probability if self.null_probability else None
        expression = batch["expression"]
        if self.gene_dropout:
            expression = drop_genes(expression, self.gene_dropout, draws)
        noisy = self.loss.add_noise(clean, noise, timesteps)
        return self.loss(model(noisy, timesteps, expression, given), clean, noise, timesteps)


class HeldOutObjective:
    """The conditional loss as it stands: all genes, nothing turned, noise levels as given."""

    def __init__(self, process: NoiseProcess) -> None:
        self.loss = DenoisingLoss(process)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss per image, ``(B,)``."""
        clean, timesteps = to_unit_range(batch["images"]), batch["timesteps"]
        noise = draws.normal(tuple(clean.shape[1:]))
        noisy = self.loss.add_noise(clean, noise, timesteps)
        return self.loss(model(noisy, timesteps, batch["expression"]), clean, noise, timesteps)


def drop_genes(expression: Tensor, share: float, draws: Draws) -> Tensor:
    """Set genes of each profile ``(B, G)`` to NaN, which stands for missing.

    The share of a profile's genes that go missing is drawn for each profile, uniformly and with
    mean ``share``: a panel may lack five genes or half of them, and the adapter should meet both.
    """
    spread = min(share, 1 - share)
    chance = share + spread * (2 * draws.uniform() - 1)
    missing = draws.uniform(tuple(expression.shape[1:])) < chance[:, None]
    return expression.masked_fill(missing, torch.nan)
