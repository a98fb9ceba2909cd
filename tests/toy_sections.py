"""Small sections of several patients whose genes follow what their patches show, alike on all."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from c2lst.data.patches import Patches
from c2lst.data.section import Section

GENES, SIZE, PITCH_UM, MPP = 24, 16, 200.0, 0.5
NAMES = tuple(f"g{i}" for i in range(GENES))


def _patches(rng: np.random.Generator, dark: np.ndarray) -> np.ndarray:
    """H&E of as much haematoxylin as ``dark`` says, (n,), with a coarse structure of its own."""
    n = len(dark)
    waves = rng.normal(0, 0.25, (n, 4, 4))
    x = np.cos(np.pi * np.outer(np.arange(4), np.arange(SIZE) + 0.5) / SIZE)
    structure = np.exp(np.einsum("nij,ix,jy->nxy", waves, x, x) - waves[:, :1, :1])
    blue = dark[:, None, None, None] * structure[..., None]
    pink = rng.uniform(0.2, 0.6, (n, SIZE, SIZE, 1))
    density = blue * np.array([0.65, 0.70, 0.29]) + pink * np.array([0.07, 0.99, 0.11])
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)


def toy_section(name: str, seed: int, *, patient: str = "", side: int = 7) -> Section:
    """Spots on a square array; genes 0 to 11 rise with haematoxylin, 12 to 23 know nothing."""
    rng = np.random.default_rng((seed, 0))
    dark = rng.uniform(0.2, 1.2, side * side)
    slope = np.where(np.arange(GENES) < GENES // 2, 2.0, 0.0)
    counts = rng.poisson(np.exp(2.5 + (dark[:, None] - 0.7) * slope))
    row, column = np.divmod(np.arange(side * side), side)
    places = np.column_stack([column, row]) * PITCH_UM / MPP + 400
    obs = pd.DataFrame(
        {
            "in_tissue": 1,
            "array_row": row,
            "array_col": column,
            "pxl_row_in_fullres": places[:, 1],
            "pxl_col_in_fullres": places[:, 0],
        },
        index=[f"{x}x{y}" for x, y in zip(column, row, strict=True)],
    )
    table = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=list(NAMES))
    )
    table.obsm["spatial"] = places
    patches = Patches(_patches(rng, dark), 112.0)
    metadata = {"patient": patient} if patient else {}
    return Section(name, table, MPP, PITCH_UM, Path("none.jpg"), patches, metadata)


def write_hest_bench(folder: Path, sections: list[Section], genes: list[str]) -> Path:
    """Write a task of HEST-Bench that leaves each section out once."""
    (folder / "splits").mkdir(parents=True)
    rows = []
    for section in sections:
        rows.append(
            {
                "sample_id": section.name,
                "patches_path": f"patches/{section.name}.h5",
                "expr_path": f"adata/{section.name}.h5ad",
            }
        )
        for kind in ("patches", "adata"):
            (folder / kind).mkdir(exist_ok=True)
        table = section.adata.copy()
        table.obs = table.obs[["array_row", "array_col"]]
        table.write_h5ad(folder / rows[-1]["expr_path"])
        half = section.patches.patch_um / section.mpp / 2
        with h5py.File(folder / rows[-1]["patches_path"], "w") as file:
            file["img"] = section.patches[:]
            file["coords"] = (section.centres_px - half).astype(int)
            file["barcode"] = section.barcodes.astype(object)[:, None]
    for k in range(len(sections)):
        pd.DataFrame(rows).drop(index=k).to_csv(folder / "splits" / f"train_{k}.csv", index=False)
        pd.DataFrame(rows).loc[[k]].to_csv(folder / "splits" / f"test_{k}.csv", index=False)
    (folder / "var_50genes.json").write_text(json.dumps({"genes": genes}))
    return folder
