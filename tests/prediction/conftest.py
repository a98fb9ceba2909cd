from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from c2lst.data.patches import Patches
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import SyntheticPairs

GENES, SIZE, PITCH_UM = 12, 16, 200.0


def draw_section(name: str = "T", *, side: int = 8, seed: int = 0) -> Section:
    """Spots on a grid whose counts follow how much haematoxylin their patch shows."""
    import anndata
    import pandas as pd
    from scipy import sparse

    rng = np.random.default_rng(seed)
    n = side * side
    row, column = np.divmod(np.arange(n), side)
    stain = rng.uniform(0.2, 1.0, n)
    eosin = rng.uniform(0.2, 0.6, (n, SIZE, SIZE, 1))
    dots = stain[:, None, None, None] * rng.uniform(0.6, 1.4, (n, SIZE, SIZE, 1))
    density = dots * np.array([0.65, 0.70, 0.29]) + eosin * np.array([0.07, 0.99, 0.11])
    images = np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)
    loading = rng.normal(0, 2.0, GENES)
    rate = np.exp(4 + np.outer(stain - 0.6, loading))
    counts = rng.poisson(np.column_stack([rate, np.full((n, 3), 40.0)]))
    obs = pd.DataFrame(
        {
            "in_tissue": 1,
            "array_row": row,
            "array_col": column,
            "pxl_row_in_fullres": row * PITCH_UM,
            "pxl_col_in_fullres": column * PITCH_UM,
        },
        index=[f"{c}x{r}" for c, r in zip(column, row, strict=True)],
    )
    adata = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(counts.shape[1])]),
    )
    adata.obsm["spatial"] = np.column_stack([column, row]) * PITCH_UM
    return Section(name, adata, 1.0, PITCH_UM, Path("none.jpg"), Patches(images, 112.0))


@pytest.fixture(scope="session")
def make_section() -> Callable[..., Section]:
    return draw_section


@pytest.fixture(scope="session")
def section() -> Section:
    return draw_section()


@pytest.fixture(scope="session")
def split(section: Section) -> SpotSplit:
    return SpotSplit.draw(section, 0.5, seed=1)


@pytest.fixture(scope="session")
def preprocessing(section: Section, split: SpotSplit) -> Preprocessing:
    return Preprocessing.fit(section, split, n_genes=GENES)


@pytest.fixture(scope="session")
def training(
    section: Section, split: SpotSplit, preprocessing: Preprocessing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, standardised expression and barcodes of the training spots."""
    spots = split.training(section)
    return preprocessing.images(spots), preprocessing.expression(spots), spots.barcodes


@pytest.fixture(scope="session")
def synthetic(section: Section, split: SpotSplit, preprocessing: Preprocessing) -> SyntheticPairs:
    """Two "synthetic" pairs per training spot: noisy copies of its patch."""
    rng = np.random.default_rng(5)
    train = section.subset(np.repeat(split.train, 2)[::2])
    rows = np.repeat(np.arange(len(train)), 2)
    images = train.patches[rows].astype(int) + rng.integers(-9, 10, (len(rows), SIZE, SIZE, 3))
    lognorm = preprocessing.lognorm(train)[rows]
    return SyntheticPairs(
        images=np.clip(images, 0, 255).astype(np.uint8),
        scaled=preprocessing.scaler.scale(lognorm),
        lognorm=lognorm,
        source_barcodes=train.barcodes[rows],
        seeds=np.arange(len(rows)),
        guidance_scale=1.0,
        sampler="copy",
        genes=preprocessing.panel.genes,
        patch_um=112.0,
    )
