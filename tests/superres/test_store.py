"""Predictions as files: AnnData, and SpatialData that others can open."""

from __future__ import annotations

import sys
from dataclasses import replace

import anndata
import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.superres.lowres import LowRes
from c2lst.superres.store import check_output, write_prediction


@pytest.fixture(scope="module")
def predicted(maps, model):
    low = replace(LowRes.of_sample(maps, maps.samples[2]), origin_um=(50.0, 70.0))
    return model.predict(low, samples=2, steps=2), low


def test_spatialdata_has_bins_and_image_in_um(predicted, tmp_path):
    sd = pytest.importorskip("spatialdata", reason="the extra spatialdata is not installed")
    from spatialdata.transformations import get_transformation

    found, low = predicted
    write_prediction(tmp_path / "o.zarr", found, low)
    store = sd.read_zarr(tmp_path / "o.zarr")
    table = store["table"]
    np.testing.assert_allclose(table.X, found.to_anndata().X)
    np.testing.assert_allclose(table.layers["sd"], found.to_anndata().layers["sd"])
    centres = sd.get_centroids(store["bins"], coordinate_system="global").compute()
    of_rows = centres.loc[table.obs["instance_id"], ["x", "y"]]
    np.testing.assert_allclose(of_rows, table.obsm["spatial"])
    pixels = store["image"].transpose("y", "x", "c").to_numpy()
    np.testing.assert_array_equal(pixels, low.image)
    # The image's px are a bin's, k of them, and both begin at the same place.
    axes = ("x", "y")
    corner, far = (
        get_transformation(store["image"]).to_affine_matrix(axes, axes) @ [*at, 1]
        for at in ((0, 0), (low.image_px, 0))
    )
    np.testing.assert_allclose(corner[:2], [50, 70])
    np.testing.assert_allclose(far[:2], [50 + found.bin_um, 70])


def test_anndata_is_written_whole(predicted, tmp_path):
    found, low = predicted
    write_prediction(tmp_path / "o.h5ad", found, low)
    assert anndata.read_h5ad(tmp_path / "o.h5ad").n_obs == low.tissue.sum()
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5ad"]


def test_what_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    for name in ("o.csv", "o", "o.h5"):
        with pytest.raises(InputError, match=r"suffix.*\.h5ad.*\.zarr"):
            check_output(tmp_path / name)
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(InputError, match="exists already"):
        check_output(tmp_path / "mine.zarr")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="lies in a file"):
        check_output(tmp_path / "file" / "o.h5ad")
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(InputError, match=r"c2lst\[spatialdata\]"):
        check_output(tmp_path / "o.zarr")
    check_output(tmp_path / "o.h5ad")
