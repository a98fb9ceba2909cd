"""HEST-1k samples, spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.hest import write_hest

COUNTS, PATCHES, METADATA = "st/T1.h5ad", "patches/T1.h5", "metadata/T1.json"


def _case(
    name: str,
    spoil: Callable[[Path], object],
    *says: str,
    args: tuple[str, ...] = (),
    **how: object,
):
    def make(folder: Path) -> list[str]:
        write_hest(folder, **how)
        spoil(folder)
        return ["ingest", str(folder), *args]

    return BadInput(f"hest: {name}", make, says)


def _adata(change: Callable[[anndata.AnnData], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        adata = anndata.read_h5ad(folder / COUNTS)
        change(adata)
        (folder / COUNTS).unlink()
        adata.write_h5ad(folder / COUNTS)

    return spoil


def _swapped(adata: anndata.AnnData) -> None:
    adata.obsm["spatial"] = adata.obsm["spatial"][:, ::-1]


def _negative(adata: anndata.AnnData) -> None:
    adata.X.data = adata.X.data.astype(float)
    adata.X.data[0] = -1


def _normalised(adata: anndata.AnnData) -> None:
    adata.X.data = np.log1p(adata.X.data.astype(float))


def _nowhere(adata: anndata.AnnData) -> None:
    places = adata.obsm["spatial"].astype(float)
    places[2] = np.nan
    adata.obsm["spatial"] = places


def _metadata_of_another(folder: Path) -> None:
    edits.json_value(folder / METADATA, "pixel_size_um_estimated", 0.25)


CASES = [
    _case("counts truncated", lambda f: edits.truncate(f / COUNTS), "T1.h5ad"),
    _case("counts of 0 bytes", lambda f: edits.empty(f / COUNTS), "T1.h5ad"),
    _case("x and y exchanged", _adata(_swapped), "T1.h5ad", "exchanged"),
    _case("negative count", _adata(_negative), "negative"),
    _case("normalised counts", _adata(_normalised), "whole"),
    _case("NaN coordinate", _adata(_nowhere), "T1.h5ad", "spatial"),
    _case("no coordinates", _adata(lambda a: a.obsm.pop("spatial")), "spatial"),
    _case("patches truncated", lambda f: edits.truncate(f / PATCHES), "T1.h5"),
    _case("patches lack img", lambda f: edits.h5_value(f / PATCHES, "img", ...), "T1.h5", "img"),
    _case("patches lack barcode", lambda f: edits.h5_value(f / PATCHES, "barcode", ...), "barcode"),
    _case(
        "patches of another sample",
        lambda f: edits.h5_changed(
            f / PATCHES, "barcode", lambda b: np.array([[b"X%d" % i] for i in range(len(b))])
        ),
        "no patch belongs",
    ),
    _case(
        "patches elsewhere than spots",
        lambda f: edits.h5_changed(f / PATCHES, "coords", lambda c: c + 400),
        "elsewhere",
    ),
    _case(
        "fewer barcodes than patches",
        lambda f: edits.h5_changed(f / PATCHES, "barcode", lambda b: b[:-3]),
        "barcode",
    ),
    _case("metadata is a list", lambda f: (f / METADATA).write_text("[]"), "T1.json", "list"),
    _case("metadata missing", lambda f: (f / METADATA).unlink(), "T1.json"),
    _case("metadata of another sample", _metadata_of_another, "µm/px"),
    _case("section that is not there", lambda f: None, "'T9'", args=("--section", "T9")),
]
