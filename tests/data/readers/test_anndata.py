from __future__ import annotations

import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.errors import InputError
from miniatures.histology import he_image, on_tissue

MPP = 4.0


@pytest.fixture
def sample(tmp_path):
    """Visium spots on tissue with raw counts, as scanpy would hold them, and their image."""
    image, tissue = he_image(500, 640, seed=1)
    Image.fromarray(image).save(tmp_path / "he.png")
    column, row = np.meshgrid(np.arange(22), np.arange(20))
    col, row = (2 * column + row % 2).ravel(), row.ravel()
    centres = np.stack([col * 50, row * 50 * np.sqrt(3)], -1) / MPP + 40
    kept = on_tissue(tissue, centres)
    rng = np.random.default_rng(0)
    counts = rng.poisson(3, (kept.sum(), 6)).astype(np.float32)
    counts[:, 0] += 1
    adata = anndata.AnnData(sparse.csr_matrix(counts))
    adata.obs_names = [f"b{i}" for i in range(adata.n_obs)]
    adata.var_names = list("ABCDEF")
    adata.obs["in_tissue"] = 1
    adata.obs["array_row"], adata.obs["array_col"] = row[kept], col[kept]
    adata.obsm["spatial"] = centres[kept]
    adata.uns["spatial"] = {
        "lib": {
            "images": {"hires": np.asarray(Image.fromarray(image).resize((320, 250))) / 255},
            "scalefactors": {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 16.0},
        }
    }
    return adata


def _read(adata, folder, **options):
    adata.write_h5ad(folder / "mine.h5ad")
    return read(folder / "mine.h5ad", **{"size": 16, "image": folder / "he.png", **options})


def test_visium_is_known_by_its_array(sample, tmp_path):
    section = _read(sample, tmp_path)
    assert section.mpp == pytest.approx(MPP, rel=0.01)
    assert (section.pitch_um, section.name) == (100.0, "mine")
    assert section.barcodes.tolist() == sample.obs_names.tolist()
    assert np.array_equal(section.counts.toarray(), sample.X.toarray())
    assert np.array_equal(section.centres_px, sample.obsm["spatial"])
    assert section.metadata["st_technology"] == "Visium"


@pytest.mark.parametrize("home", ["layer", "raw", "X"])
def test_raw_counts_are_found_where_they_are(sample, tmp_path, home, caplog):
    truth = sample.X.toarray()
    if home == "layer":
        sample.layers["counts"] = sample.X.copy()
    if home == "raw":
        sample.raw = sample.copy()
    if home != "X":
        sample.X = np.log1p(sample.X.toarray())
    with caplog.at_level(logging.INFO, logger="c2lst"):
        section = _read(sample, tmp_path)
    assert np.array_equal(section.counts.toarray(), truth)
    assert {"layer": "layers['counts']", "raw": "counts from raw", "X": "counts from X"}[
        home
    ] in caplog.text


def test_normalised_counts_alone_are_refused(sample, tmp_path):
    sample.X = np.log1p(sample.X.toarray())
    with pytest.raises(InputError, match=r"no raw counts.*in X.*normalisation"):
        _read(sample, tmp_path)


def test_spots_off_tissue_or_without_counts_are_dropped(sample, tmp_path):
    sample.obs.loc["b3", "in_tissue"] = 0
    counts = sample.X.toarray()
    counts[5] = 0
    sample.X = sparse.csr_matrix(counts)
    section = _read(sample, tmp_path)
    assert set(sample.obs_names) - set(section.barcodes) == {"b3", "b5"}
    assert section.reading["dropped"] == {"outside the tissue": 1, "with no count above zero": 1}


def test_without_an_image_the_hires_one_is_used_and_said(sample, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        section = _read(sample, tmp_path, image=None)
    assert "'hires' of uns['spatial'] is used, at 0.5 times" in caplog.text
    assert section.mpp == pytest.approx(2 * MPP, rel=0.01)
    assert np.allclose(section.centres_px, sample.obsm["spatial"] / 2)
    section.save(tmp_path / "out")
    loaded = Section.load(tmp_path / "out")
    assert loaded.image_path == tmp_path / "out/wsis/mine.tif"
    assert np.array_equal(loaded.patches[:], section.patches[:])


def test_with_no_image_at_all_one_is_asked_for(sample, tmp_path):
    del sample.uns["spatial"]
    with pytest.raises(InputError, match=r"image is missing.*--image"):
        _read(sample, tmp_path, image=None)


def test_spots_on_no_known_array_need_a_scale(sample, tmp_path):
    sample.obs = sample.obs[["in_tissue"]]
    with pytest.raises(InputError, match=r"µm/px is not known.*--mpp"):
        _read(sample, tmp_path)
    section = _read(sample, tmp_path, mpp=MPP)
    assert section.mpp == MPP and section.pitch_um == pytest.approx(100, rel=0.01)


def test_bins_of_visium_hd_state_their_scale(sample, tmp_path):
    factors = sample.uns["spatial"]["lib"]["scalefactors"]
    factors.update({"microns_per_pixel": MPP, "bin_size_um": 100.0})
    sample.obs = sample.obs[["in_tissue"]]
    section = _read(sample, tmp_path)
    assert (section.mpp, section.pitch_um) == (MPP, 100.0)


def test_of_several_libraries_one_is_chosen(sample, tmp_path):
    entry = sample.uns["spatial"]["lib"]
    half = sample.n_obs // 2
    names = np.repeat(["one", "two"], [half, sample.n_obs - half])
    sample.obs["library_id"] = pd.Categorical(names)
    sample.uns["spatial"] = {"one": entry, "two": entry}
    with pytest.raises(InputError, match=r"one, two.*--section"):
        _read(sample, tmp_path)
    section = _read(sample, tmp_path, section="one")
    assert section.barcodes.tolist() == sample.obs_names[:half].tolist()
    sample.obs = sample.obs.drop(columns="library_id")
    with pytest.raises(InputError, match="no column of obs"):
        _read(sample, tmp_path, section="one")


def _nan(adata):
    adata.obsm["spatial"][3, 0] = np.nan


def _swap(adata):
    adata.obsm["spatial"] = adata.obsm["spatial"][:, ::-1].copy()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_nan, "'b3' is not finite"),
        (_swap, "exchange the pixel columns"),
        (lambda a: a.obsm.pop("spatial"), "obsm lacks"),
        (lambda a: a.obsm.__setitem__("spatial", np.ones((a.n_obs, 1))), "wrong shape"),
        (lambda a: setattr(a, "X", -a.X), "no raw counts"),
        (lambda a: setattr(a, "X", a.X * 0), "no spot in tissue has counts"),
    ],
)
def test_damage_is_refused(sample, tmp_path, damage, words):
    damage(sample)
    with pytest.raises(InputError, match=words) as caught:
        _read(sample, tmp_path)
    assert "mine.h5ad" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_with_one_file_will_do(sample, tmp_path):
    sample.write_h5ad(tmp_path / "mine.h5ad")
    assert read(tmp_path, image=tmp_path / "he.png", size=16).name == "mine"
    sample.write_h5ad(tmp_path / "other.h5ad")
    assert read(tmp_path / "other", image=tmp_path / "he.png", size=16).name == "other"
    with pytest.raises(InputError, match=r"give the file itself.*mine\.h5ad"):
        read(tmp_path, image=tmp_path / "he.png")


@pytest.mark.parametrize(
    "stored",
    [
        lambda image: image.astype(np.float32),
        lambda image: image.astype(np.uint16),
        lambda image: image / np.float32(255) * np.float32(1.001),
    ],
)
def test_an_image_is_read_in_whatever_type_it_is_stored(sample, tmp_path, stored):
    plain = np.rint(sample.uns["spatial"]["lib"]["images"]["hires"] * 255).astype(np.uint8)
    sample.uns["spatial"]["lib"]["images"]["hires"] = stored(plain)
    with _read(sample, tmp_path, image=None).open_image() as image:
        found = image.read(0, 0, image.width, image.height)
    assert np.abs(found.astype(int) - plain).max() <= 1


def test_an_image_of_16_bits_is_refused(sample, tmp_path):
    images = sample.uns["spatial"]["lib"]["images"]
    images["hires"] = (images["hires"] * 40_000).astype(np.uint16)
    with pytest.raises(InputError, match=r"image 'hires'.*no 8-bit image.*uint16 up to"):
        _read(sample, tmp_path, image=None)


def test_places_on_the_array_that_some_spots_lack_are_counted_off(sample, tmp_path):
    sample.obs["array_row"] = sample.obs["array_row"].astype(float)
    sample.obs.loc["b3", "array_row"] = np.nan
    section = _read(sample, tmp_path, mpp=MPP)
    assert section.adata.obs["array_row"].between(0, 100).all()


def test_numbers_as_r_writes_them_are_read(sample, tmp_path):
    factors = sample.uns["spatial"]["lib"]["scalefactors"]
    factors["tissue_hires_scalef"] = np.array([0.5])
    section = _read(sample, tmp_path, image=None)
    assert np.allclose(section.centres_px, sample.obsm["spatial"] / 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"microns_per_pixel": 0.0, "bin_size_um": 8.0}, "'microns_per_pixel' is no number above"),
        ({"microns_per_pixel": "half"}, "'microns_per_pixel' is no number above"),
    ],
)
def test_scale_factors_that_are_none_are_refused(sample, tmp_path, changes, words):
    sample.uns["spatial"]["lib"]["scalefactors"].update(changes)
    with pytest.raises(InputError, match=words):
        _read(sample, tmp_path)


def test_array_columns_and_images_of_another_kind_are_as_good_as_none(sample, tmp_path):
    sample.obs["array_row"] = "r" + sample.obs["array_row"].astype(str)
    sample.uns["spatial"] = {"lib": {"images": np.zeros(3)}}
    with pytest.raises(InputError, match="image is missing"):
        _read(sample, tmp_path, image=None, mpp=MPP)
    sample.uns["spatial"] = np.zeros(3)
    assert len(_read(sample, tmp_path, mpp=MPP)) == sample.n_obs
