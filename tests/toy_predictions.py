"""Small predictions files with values of the test's choice."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd


def predictions(
    methods: dict[str, np.ndarray],
    observed: np.ndarray,
    train: int = 10,
    seed: int = 0,
    xy: np.ndarray | None = None,
    library_size: np.ndarray | None = None,
) -> anndata.AnnData:
    """Spots × genes, of which the first ``train`` spots are training spots."""
    n = len(observed)
    split = np.where(np.arange(n) < train, "train", "test")
    obs = pd.DataFrame({"split": pd.Categorical(split)}, index=[f"s{i}" for i in range(n)])
    if library_size is not None:
        obs["library_size"] = library_size
    adata = anndata.AnnData(
        observed.astype(np.float64),
        obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(observed.shape[1])]),
        layers={"observed": observed, **methods},
    )
    adata.obsm["spatial"] = np.random.default_rng(seed).uniform(0, 1000, (n, 2))
    if xy is not None:
        adata.obsm["spatial"] = xy
    return adata


def lattice(side: int, pitch: float = 100.0) -> np.ndarray:
    """Centres of a square array, (side², 2), row by row."""
    y, x = np.mgrid[:side, :side] * pitch
    return np.column_stack([x.ravel(), y.ravel()])


def median(observed: np.ndarray, train: int = 10) -> np.ndarray:
    """Return the median of the training spots at every spot."""
    return np.tile(np.median(observed[:train], axis=0), (len(observed), 1))


def counted(
    rate: np.ndarray, library_size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of spots that express genes at ``rate`` (n, G), and log1p of them per 10,000."""
    counts = rng.poisson(library_size[:, None] * rate)
    return counts, np.log1p(1e4 * counts / library_size[:, None])
