"""How like a synthetic patch is to the real patch of the spot that it was drawn for.

The paper gives the mean and the standard deviation of the cosine of their features (its §5). By
itself that says little: features of any two patches of tissue point much the same way. What counts
is how far it lies above patches that were drawn for other spots' genes from the same noise, and
above two real patches of different spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.distribution.samples import Estimate, mean_estimate


@dataclass(frozen=True)
class PairedCosine:
    """Cosines of pairs of patches.

    Parameters
    ----------
    mean
        With its interval over spots.
    sd
        Over the patches.
    """

    mean: Estimate
    sd: float

    def __str__(self) -> str:
        """As the paper writes it."""
        return f"{self.mean.value:.2f} ± {self.sd:.2f}"


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each row of ``(n, d)`` features with the same row of others, ``(n,)``."""
    products = np.einsum("nd,nd->n", first, second, dtype=np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray(products / np.maximum(lengths, 1e-12))


def paired_cosine(
    first: np.ndarray, second: np.ndarray, spots: np.ndarray, *, seed: int = 0
) -> PairedCosine:
    """Summarise the cosines of pairs of patches.

    Parameters
    ----------
    first, second
        Features ``(n, d)``, row by row a pair.
    spots
        ``(n,)``: the spot of each pair; pairs of one spot are redrawn together.
    seed
        Of the resamplings.
    """
    found = cosines(first, second)
    return PairedCosine(mean_estimate(found, spots, seed=seed), float(found.std()))
