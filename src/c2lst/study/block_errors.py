"""Errors summed over spatial blocks: what paired comparisons across cells are made from.

A cell keeps, for every method, its error in each block of the section, in all and by thirds of the
panel in Moran's I. Blocks are those of the section, the same for all of its cells: two cells of a
split can be compared block by block, and splits of a section resampled by block and seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.expression.blocks import SpatialBlocks
from c2lst.evaluation.expression.heldout import HeldOut
from c2lst.evaluation.spatial import NEIGHBOUR_PITCHES, morans_i, neighbour_graph

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

ALL = "all"
THIRDS = ("low", "middle", "high")
"""Thirds of the panel by Moran's I of the observed expression over all spots of the section."""


def moran_of_genes(predictions: AnnData) -> np.ndarray:
    """Moran's I of each gene's observed expression over all spots, shape (G,); NaN if constant."""
    from c2lst.data.lattice import nearest_px, pitch_in_px

    xy = np.asarray(predictions.obsm["spatial"], dtype=np.float64)
    pitch = pitch_in_px(predictions, xy) or nearest_px(xy)
    observed = np.asarray(predictions.layers["observed"], dtype=np.float64)
    return morans_i(observed, neighbour_graph(xy, NEIGHBOUR_PITCHES * pitch))


def block_errors(predictions: AnnData, moran: np.ndarray) -> DataFrame:
    """Sum the absolute errors of held-out spots over the blocks of the section.

    Parameters
    ----------
    predictions
        As for :func:`c2lst.evaluation.expression.evaluate`.
    moran
        Of :func:`moran_of_genes`.

    Returns
    -------
    pandas.DataFrame
        A row per method, ``genes`` (all, low, middle, high), and ``block`` with held-out spots:
        ``spots``; ``error``, the sum over them of the mean absolute error over those genes; and
        ``moran``, the mean of those genes.
    """
    import pandas as pd

    held_out = HeldOut.of(predictions)
    test = (predictions.obs["split"].astype(str) == "test").to_numpy()
    members = SpatialBlocks.of(np.asarray(predictions.obsm["spatial"]), 1, 0).members[:, test]
    blocks = np.flatnonzero(members.sum(axis=1))
    tables = []
    for name, columns in _groups(moran).items():
        for method, predicted in held_out.methods.items():
            error = np.abs(predicted - held_out.observed)[:, columns].mean(axis=1)
            tables.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "genes": name,
                        "block": blocks,
                        "spots": members[blocks].sum(axis=1).astype(int),
                        "error": members[blocks] @ error,
                        "moran": float(np.nan_to_num(moran[columns]).mean()),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _groups(moran: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of all genes, and of each third from the lowest Moran's I to the highest."""
    order = np.argsort(np.nan_to_num(moran, nan=-np.inf), kind="stable")
    thirds = dict(zip(THIRDS, np.array_split(order, 3), strict=True)) if len(order) > 2 else {}
    return {ALL: np.arange(len(moran)), **thirds}
