"""The gene co-expression graph: fitted on training spots, applied to maps of spots."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from c2lst.superres.settings import Graph

KEPT = 0.98


def fit_graph(spots: np.ndarray, kind: Graph = "correlation") -> np.ndarray:
    """Compute the adjacency of the genes.

    Parameters
    ----------
    spots
        Counts of training spots, ``(n, G)``.
    kind
        ``correlation``: |Pearson| of log1p counts, with D^-½ on either side so that no gene's row
        grows with the number of its neighbours. ``intensity_ratio``, the paper's: with the total
        S of each gene, max(R, Rᵀ) of R_ij = S_i/S_j, not normalised: it is largest for genes of
        most unlike intensity.

    Returns
    -------
    numpy.ndarray
        float32 ``(G, G)``, symmetric and finite. A gene without counts has no neighbours.
    """
    genes = spots.shape[1]
    if kind == "intensity_ratio":
        total = spots.sum(axis=0, dtype=np.float64)
        ratio = np.divide(
            total[:, None], total, out=np.zeros((genes, genes)), where=(total[:, None] * total) > 0
        )
        adjacency = np.maximum(ratio, ratio.T)
        np.fill_diagonal(adjacency, 1.0)
        return adjacency.astype(np.float32)
    values = np.log1p(spots.astype(np.float64))
    centred = values - values.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-12)
    adjacency = np.abs(unit.T @ unit)
    np.fill_diagonal(adjacency, 1.0)
    root = np.sqrt(adjacency.sum(axis=1))
    adjacency = adjacency / root / root[:, None]
    return ((adjacency + adjacency.T) / 2).astype(np.float32)


class GraphLayer(nn.Module):
    """Let co-expressed genes speak to each other: y ← 0.98·y + 0.02·ReLU(A·(y'·W)).

    y' = SiLU(conv(y)). The weights W act on places; in the published code they are one matrix for
    one size of map. Here they are a 3×3 filter that all genes share, for any size.

    Parameters
    ----------
    genes
        Number of genes G.
    """

    adjacency: Tensor

    def __init__(self, genes: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(genes, genes, 3, padding=1)
        self.places = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.register_buffer("adjacency", torch.eye(genes))

    def forward(self, spots: Tensor) -> Tensor:
        """Return maps of the shape of ``spots``, ``(B, G, h, w)``."""
        batch, genes, height, width = spots.shape
        mixed = functional.silu(self.mix(spots))
        placed = self.places(mixed.reshape(batch * genes, 1, height, width))
        flat = placed.reshape(batch, genes, height * width)
        told = functional.relu(self.adjacency.to(flat.dtype) @ flat).reshape(spots.shape)
        return KEPT * spots + (1 - KEPT) * told
