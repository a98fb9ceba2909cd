"""Predicted maps of a few genes, kept of one seed a split: enough to draw, bounded in size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

STRONGEST, SPREAD = 6, 6
MAP_SEED = 0
"""The seed whose maps are kept."""

_LAYERS = {"observed": "observed", "predicted": "predicted"}
_ALONE = ("network_cotrained", "network_real_only")


def genes_to_keep(moran: np.ndarray) -> np.ndarray:
    """Choose columns by Moran's I of the observed: the strongest, then evenly down to the weakest.

    No prediction has a part in it, so that every cell of a split keeps the same genes.
    """
    order = np.argsort(-np.nan_to_num(moran, nan=-np.inf), kind="stable")
    rest = order[STRONGEST:]
    even = np.linspace(0, len(rest) - 1, min(SPREAD, len(rest))).round().astype(int)
    return np.concatenate([order[:STRONGEST], rest[np.unique(even)]])


def kept_maps(predictions: AnnData, moran: np.ndarray) -> DataFrame:
    """Return a row per kept gene and spot.

    Returns
    -------
    pandas.DataFrame
        ``gene``, its ``moran``, ``x`` and ``y`` (px of the full-resolution image), ``part`` of the
        split, ``observed`` and ``predicted`` (log1p of normalised counts), and ``alone``, its
        networks' own prediction, where there are any.
    """
    import pandas as pd

    xy = np.asarray(predictions.obsm["spatial"], dtype=np.float64)
    layers = _LAYERS | {name: "alone" for name in _ALONE if name in predictions.layers}
    tables = []
    for column in genes_to_keep(moran).tolist():
        values = {
            new: np.asarray(predictions.layers[old][:, column], dtype=np.float32).ravel()
            for old, new in layers.items()
        }
        tables.append(
            pd.DataFrame(
                {
                    "gene": str(predictions.var_names[column]),
                    "moran": float(moran[column]),
                    "x": xy[:, 0],
                    "y": xy[:, 1],
                    "part": predictions.obs["split"].astype(str).to_numpy(),
                    **values,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
