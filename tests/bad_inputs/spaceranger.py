"""Space Ranger's output, spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.spaceranger import write_visium, write_visium_hd

H5 = "outs/filtered_feature_bc_matrix.h5"
MEX = "outs/filtered_feature_bc_matrix"
POSITIONS = "outs/spatial/tissue_positions.csv"
FACTORS = "outs/spatial/scalefactors_json.json"
SQUARE = "outs/binned_outputs/square_016um"


def _case(name: str, spoil: Callable[[Path], object], *says: str, **options: object) -> BadInput:
    args = options.pop("args", ())

    def make(folder: Path) -> list[str]:
        write_visium(folder, **options)
        spoil(folder)
        return ["ingest", str(folder), *(arg.replace("{source}", str(folder)) for arg in args)]

    return BadInput(f"visium: {name}", make, says)


def _hd(
    name: str, spoil: Callable[[Path], object], *says: str, args: tuple[str, ...] = ()
) -> BadInput:
    def make(folder: Path) -> list[str]:
        write_visium_hd(folder)
        spoil(folder)
        return ["ingest", str(folder), *args]

    return BadInput(f"visium hd: {name}", make, says)


def _set(column: int, value: str) -> Callable[[Path], None]:
    return lambda f: edits.cell(f / POSITIONS, 4, column, value, ",")


def _first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.result_type(values.dtype, type(value)))
        values[0] = value
        return values

    return changed


def _swap(table: list[list[str]]) -> list[list[str]]:
    return [table[0], *([*r[:4], r[5], r[4]] for r in table[1:])]


def _no_header(table: list[list[str]]) -> list[list[str]]:
    return [["a", "b", "c", "d", "e", "f"], *table[1:]]


def _other_sample(folder: Path) -> None:
    other = folder.with_name("other")
    write_visium(other, seed=5)
    (other / POSITIONS).replace(folder / POSITIONS)


def _parquet(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / SQUARE / "spatial/tissue_positions.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    return spoil


def _no_barcodes(folder: Path) -> None:
    with h5py.File(folder / H5, "r+") as file:
        del file["matrix/barcodes"]


CASES = [
    _case("matrix truncated", lambda f: edits.truncate(f / H5), "matrix.h5"),
    _case("matrix of 0 bytes", lambda f: edits.empty(f / H5), "matrix.h5"),
    _case("matrix is text", lambda f: (f / H5).write_text("x"), "matrix.h5"),
    _case("matrix lacks barcodes", _no_barcodes, "matrix.h5", "barcodes"),
    _case("matrix lacks indptr", lambda f: edits.h5_value(f / H5, "matrix/indptr", ...), "indptr"),
    _case("negative count", lambda f: edits.h5_changed(f / H5, "matrix/data", _first(-3)), "-3"),
    _case(
        "fractional count", lambda f: edits.h5_changed(f / H5, "matrix/data", _first(0.5)), "0.5"
    ),
    _case(
        "index beyond the genes",
        lambda f: edits.h5_changed(f / H5, "matrix/indices", _first(10**6)),
        "indices",
    ),
    _case(
        "barcode twice",
        lambda f: edits.h5_changed(f / H5, "matrix/barcodes", lambda b: np.array([b[1], *b[1:]])),
        "barcode",
    ),
    _case(
        "shape that does not fit",
        lambda f: edits.h5_value(f / H5, "matrix/shape", np.array([3, 3])),
        "shape",
    ),
    _case(
        "mtx truncated",
        lambda f: edits.truncate(f / MEX / "matrix.mtx.gz"),
        "matrix.mtx",
        matrix="mex",
    ),
    _case(
        "mtx without features",
        lambda f: (f / MEX / "features.tsv.gz").unlink(),
        "features",
        matrix="mex",
    ),
    _case(
        "mtx with fewer barcodes",
        lambda f: edits.rows(f / MEX / "barcodes.tsv.gz", lambda t: t[:-2]),
        "barcodes",
        matrix="mex",
    ),
    _case("positions of 0 bytes", lambda f: edits.empty(f / POSITIONS), "tissue_positions.csv"),
    _case("positions missing", lambda f: (f / POSITIONS).unlink(), "positions"),
    _case(
        "positions with a foreign header",
        lambda f: edits.rows(f / POSITIONS, _no_header, ","),
        "tissue_positions.csv",
    ),
    _case("NaN coordinate", _set(4, "nan"), "tissue_positions.csv"),
    _case("coordinate is a word", _set(5, "left"), "tissue_positions.csv", "left"),
    _case("in_tissue is 7", _set(1, "7"), "in_tissue", "7"),
    _case("row and column exchanged", lambda f: edits.rows(f / POSITIONS, _swap, ","), "exchange"),
    _case(
        "barcode listed twice",
        lambda f: edits.rows(f / POSITIONS, lambda t: [*t, t[1]], ","),
        "tissue_positions.csv",
        "barcode",
    ),
    _case("spatial of another sample", _other_sample, "matrix.h5", "not in"),
    _case(
        "scale factors are no JSON",
        lambda f: (f / FACTORS).write_text("{"),
        "scalefactors_json.json",
        fullres=False,
    ),
    _case(
        "scale factors lack hires",
        lambda f: edits.json_value(f / FACTORS, "tissue_hires_scalef", ...),
        "tissue_hires_scalef",
        fullres=False,
    ),
    _case(
        "hires image given as full resolution",
        lambda f: None,
        "tissue_hires_image.png",
        "resolution",
        fullres=False,
        args=("--image", "{source}/outs/spatial/tissue_hires_image.png"),
    ),
    _case("image that is not there", lambda f: None, "no.tif", args=("--image", "{source}/no.tif")),
    _case(
        "image of another resolution",
        lambda f: Image.open(f / "tissue.tif").resize((90, 80)).save(f / "tissue.tif"),
        fullres=True,
        args=("--image", "{source}/tissue.tif"),
    ),
    _hd(
        "positions lack a column",
        _parquet(lambda t: t.drop(columns="pxl_row_in_fullres")),
        "pxl_row",
    ),
    _hd(
        "positions are no Parquet",
        lambda f: edits.truncate(f / SQUARE / "spatial/tissue_positions.parquet"),
        "parquet",
    ),
    _hd(
        "bin width is missing",
        lambda f: edits.json_value(
            f / SQUARE / "spatial/scalefactors_json.json", "bin_size_um", ...
        ),
        "bin_size_um",
    ),
    _hd("pseudo-spots narrower than bins", lambda f: None, "--bin-um", args=("--bin-um", "1")),
]
