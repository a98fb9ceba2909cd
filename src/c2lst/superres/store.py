"""The file of a predicted map: AnnData (``.h5ad``), or SpatialData (``.zarr``) with the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.storage import whole_directory, whole_file
from c2lst.superres.lowres import LowRes
from c2lst.superres.prediction import SuperresPrediction

if TYPE_CHECKING:
    from spatialdata import SpatialData

BINS, IMAGE, TABLE = "bins", "image", "table"
SUFFIXES = (".h5ad", ".zarr")


def check_output(path: Path) -> None:
    """See that a prediction can be written to ``path``, before it is computed.

    Raises
    ------
    InputError
        If it has another suffix than ``SUFFIXES``, is there already, or needs a package that is
        not installed.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            path, "suffix", found=path.suffix or "none",
            expected=".h5ad for AnnData or .zarr for SpatialData",
            remedy="choose another --output",
        )  # fmt: skip
    if path.exists():
        raise InputError(path, "exists already", remedy="choose another --output, or remove it")
    if any(parent.is_file() for parent in path.parents):
        raise InputError(path, "lies in a file, not a folder", remedy="choose another --output")
    if path.suffix == ".zarr":
        _spatialdata(path)


def write_prediction(path: Path, prediction: SuperresPrediction, low: LowRes) -> None:
    """Write a prediction, whole or not at all, in the format that the suffix says.

    Parameters
    ----------
    path
        ``.h5ad`` or ``.zarr``.
    prediction
        The map.
    low
        What it was predicted from: its image goes into SpatialData.

    Raises
    ------
    InputError
        As :func:`check_output`, or if it cannot be written.
    """
    check_output(path)
    if path.suffix == ".zarr":
        store = to_spatialdata(prediction, low)
        with whole_directory(path) as folder:
            folder.rmdir()  # the writer makes it itself
            store.write(folder)
        return
    with whole_file(path) as partial:
        prediction.to_anndata().write_h5ad(partial)


def to_spatialdata(prediction: SuperresPrediction, low: LowRes) -> SpatialData:
    """Return a prediction as SpatialData, whose coordinate system ``global`` is in µm.

    ``labels["bins"]``: the grid, a number from 1 for each bin of tissue, 0 elsewhere;
    ``tables["table"]``: that of :meth:`SuperresPrediction.to_anndata`, each row the bin of its
    ``obs["instance_id"]``; ``images["image"]``: the image as the model was given it.
    """
    sd = _spatialdata(Path(prediction.name))
    from spatialdata.models import Image2DModel, Labels2DModel, TableModel

    table = prediction.to_anndata()
    table.obs["region"] = BINS
    table.obs["region"] = table.obs["region"].astype("category")
    table.obs["instance_id"] = np.arange(1, table.n_obs + 1)
    labels = np.zeros(prediction.tissue.shape, dtype=np.int32)
    labels[prediction.tissue] = table.obs["instance_id"]
    return sd.SpatialData(
        images={
            IMAGE: Image2DModel.parse(
                low.image.transpose(2, 0, 1),
                dims=("c", "y", "x"),
                c_coords=("r", "g", "b"),
                transformations=_in_um(low.bin_um / low.image_px, low.origin_um),
            )
        },
        labels={
            BINS: Labels2DModel.parse(
                labels,
                dims=("y", "x"),
                transformations=_in_um(prediction.bin_um, prediction.origin_um),
            )
        },
        tables={
            TABLE: TableModel.parse(
                table, region=BINS, region_key="region", instance_key="instance_id"
            )
        },
    )


def _in_um(px_um: float, origin_um: tuple[float, float]) -> dict[str, Any]:
    """Px of a raster to µm; its first px begins at the origin."""
    from spatialdata.transformations import Scale, Sequence, Translation

    axes = ("x", "y")
    steps = [Scale([px_um, px_um], axes=axes), Translation(list(origin_um), axes=axes)]
    return {"global": Sequence(steps)}


def _spatialdata(path: Path) -> Any:
    try:
        import spatialdata
    except ImportError as error:
        raise InputError(
            path, "needs the package spatialdata", remedy='install it: pip install '
            '"c2lst[spatialdata]", or choose an --output of suffix .h5ad',
        ) from error  # fmt: skip
    return spatialdata
