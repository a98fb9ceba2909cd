from __future__ import annotations

import builtins

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from c2lst.data.readers import read
from c2lst.errors import InputError
from miniatures.histology import he_image, on_tissue

sd = pytest.importorskip("spatialdata")
pytestmark = pytest.mark.filterwarnings("ignore")
MPP = 4.0


def _image(pixels, scale=1.0, system="global", levels=None):
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Scale

    return Image2DModel.parse(
        pixels.transpose(2, 0, 1),
        dims=("c", "y", "x"),
        scale_factors=levels,
        transformations={system: Scale([scale, scale], axes=("x", "y"))},
    )


class Sample:
    """A small store: Visium spots as circles, laid on an image of half their resolution."""

    def __init__(self) -> None:
        from spatialdata.models import ShapesModel, TableModel
        from spatialdata.transformations import Identity, Scale

        self.pixels, tissue = he_image(500, 640, seed=1)
        column, row = np.meshgrid(np.arange(22), np.arange(20))
        col, row = (2 * column + row % 2).ravel(), row.ravel()
        centres = np.stack([col * 50, row * 50 * np.sqrt(3)], -1) / MPP + 40
        kept = on_tissue(tissue, centres)
        self.centres = centres[kept]
        n = len(self.centres)
        self.counts = np.random.default_rng(0).poisson(3, (n, 5)).astype(np.float32) + 1
        obs = pd.DataFrame(
            {
                "region": pd.Categorical(["spots"] * n),
                "instance": np.arange(n)[::-1],
                "array_row": row[kept][::-1],
                "array_col": col[kept][::-1],
            },
            index=[f"b{i}" for i in range(n)],
        )
        self.table = TableModel.parse(
            anndata.AnnData(sparse.csr_matrix(self.counts), obs=obs),
            region="spots", region_key="region", instance_key="instance",
        )  # fmt: skip
        self.shapes = ShapesModel.parse(
            self.centres * 2,  # in px of a slide of twice the image's resolution
            geometry=0,
            radius=13,
            transformations={"global": Identity(), "small": Scale([0.25, 0.25], axes=("x", "y"))},
        )
        self.images = {"he": _image(self.pixels, 2.0, levels=[2])}

    def write(self, path):
        store = sd.SpatialData(
            images=self.images, shapes={"spots": self.shapes}, tables={"table": self.table}
        )
        store.write(path)
        return path


@pytest.fixture
def sample():
    return Sample()


def _check(section, sample):
    assert section.barcodes.tolist() == sample.table.obs_names.tolist()
    assert np.array_equal(section.counts.toarray(), sample.counts)
    assert np.allclose(section.centres_px, sample.centres[::-1])  # joined on the instance
    assert section.mpp == pytest.approx(MPP, rel=0.01)
    with section.open_image() as image:
        pixels = image.read(0, 0, image.width, image.height)
    assert np.array_equal(pixels, sample.pixels)


def test_spots_are_laid_on_the_image_by_their_transformations(sample, tmp_path):
    section = read(sample.write(tmp_path / "s.zarr"), size=16)
    _check(section, sample)
    assert section.name == "s" and section.metadata["st_technology"] == "Visium"


def test_the_finest_image_is_taken_and_another_by_name(sample, tmp_path):
    small = np.asarray(Image.fromarray(sample.pixels).resize((320, 250)))
    sample.images["lowres"] = _image(small, 1.0, "small")
    path = sample.write(tmp_path / "s.zarr")
    _check(read(path, size=16), sample)
    section = read(path, size=16, image="lowres")
    assert np.allclose(section.centres_px, sample.centres[::-1] / 2)
    assert section.mpp == pytest.approx(2 * MPP, rel=0.01)
    with pytest.raises(InputError, match=r"neither a file nor an image.*he"):
        read(path, image="hires")


def test_equal_images_are_listed(sample, tmp_path):
    sample.images["other"] = _image(sample.pixels, 2.0)
    path = sample.write(tmp_path / "s.zarr")
    with pytest.raises(InputError, match=r"several images.*he, other|several images.*other, he"):
        read(path)
    _check(read(path, size=16, image="he"), sample)


def test_an_image_without_the_spots_or_without_colour_is_no_slide(sample, tmp_path):
    sample.images = {"far": _image(sample.pixels, 1.0, "elsewhere")}
    with pytest.raises(InputError, match=r"no 8-bit RGB image.*far"):
        read(sample.write(tmp_path / "a.zarr"))
    sample.images = {"dapi": _image(sample.pixels.astype(np.uint16), 2.0)}
    with pytest.raises(InputError, match=r"no 8-bit RGB image.*dapi"):
        read(sample.write(tmp_path / "b.zarr"))


def test_an_image_file_is_in_the_common_system(sample, tmp_path):
    path = sample.write(tmp_path / "s.zarr")
    Image.fromarray(sample.pixels).resize((1280, 1000)).save(tmp_path / "he.png")
    section = read(path, size=16, image=tmp_path / "he.png")
    assert np.allclose(section.centres_px, 2 * sample.centres[::-1])


def test_a_store_without_a_table_is_refused(sample, tmp_path):
    sd.SpatialData(images=sample.images, shapes={"spots": sample.shapes}).write(tmp_path / "s.zarr")
    with pytest.raises(InputError, match="holds no table"):
        read(tmp_path / "s.zarr")


def test_a_damaged_store_is_refused(sample, tmp_path):
    path = sample.write(tmp_path / "s.zarr")
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="no readable SpatialData store") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_message_says_what_to_install(sample, tmp_path, monkeypatch):
    path = sample.write(tmp_path / "s.zarr")
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name == "spatialdata":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install .*c2lst\[spatialdata\]"):
        read(path)
