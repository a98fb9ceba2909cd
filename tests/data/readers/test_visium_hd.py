from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from c2lst.data.raw import ReadRequest
from c2lst.data.readers import tenx, visium, visium_hd
from c2lst.data.readers.bins import sum_by
from c2lst.data.section import Section
from c2lst.errors import InputError
from miniatures.spaceranger import write_visium, write_visium_hd


def _request(bin_um=None, **changes):
    return ReadRequest(size=16, bin_um=bin_um, **changes)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_visium_hd(tmp_path_factory.mktemp("hd") / "S1")


@pytest.fixture
def sample(tmp_path):
    """A sample that a test may change."""
    return write_visium_hd(tmp_path / "S1", bins=(16,), seed=3)


def _check(section: Section, truth, width: float) -> None:
    pooled = truth.pooled(width)
    obs = section.adata.obs
    places = list(zip(obs["array_row"], obs["array_col"], strict=True))
    assert set(places) == set(pooled)
    assert section.genes.tolist() == truth.genes
    counts = section.counts.toarray()
    for index, place in enumerate(places):
        expected, centre = pooled[place]
        assert np.array_equal(counts[index], expected)
        assert np.allclose(section.centres_px[index], centre, atol=1e-6)
        row, col = place
        assert section.barcodes[index] == f"s_{width:03g}um_{row:05d}_{col:05d}-1"
    assert section.mpp == pytest.approx(truth.mpp, rel=0.005)
    assert section.pitch_um == width


@pytest.mark.parametrize(("asked", "width", "made_from"), [
    (None, 112.0, 16), (112.0, 112.0, 16), (56.0, 56.0, 8), (48.0, 48.0, 16), (64.0, 64.0, 16),
])  # fmt: skip
def test_bins_are_pooled_to_the_width_asked_for(truth, asked, width, made_from, caplog):
    with caplog.at_level("INFO", logger="c2lst"):
        _check(visium_hd.read(truth.source, _request(asked)), truth, width)
    assert f"pseudo-spots of {width:g} µm" in caplog.text
    assert f"bins of {made_from} µm" in caplog.text


def test_narrow_and_wide_bins_give_the_same(truth, tmp_path):
    only = shutil.copytree(truth.source.parent, tmp_path / "S1") / "outs"
    shutil.rmtree(only / "binned_outputs" / "square_016um")
    one, other = (visium_hd.read(source, _request()) for source in (truth.source, only))
    assert one.content_hash == other.content_hash
    assert np.allclose(one.centres_px, other.centres_px)


@pytest.mark.parametrize("entries", [100, 5_000])
def test_counts_are_summed_block_by_block(truth, entries, monkeypatch):
    monkeypatch.setattr(tenx, "_BLOCK_ENTRIES", entries)
    _check(visium_hd.read(truth.source, _request()), truth, 112.0)


@pytest.mark.parametrize(("matrix", "raw"), [("mex", False), ("h5", True)])
def test_mex_and_raw_matrices(matrix, raw, tmp_path):
    truth = write_visium_hd(tmp_path / "S1", (16,), matrix, raw=raw)
    _check(visium_hd.read(truth.source, _request()), truth, 112.0)


def test_any_of_its_folders_may_be_given(truth):
    outs = truth.source
    binned = outs / "binned_outputs"
    for source in (outs, outs.parent, binned, binned / "square_016um"):
        assert "square_016um" in visium_hd.recognise(source, None)
        assert visium.recognise(source, None) is None
        files = visium_hd.locate(source, 112.0)
        assert files.folder.resolve() == (binned / "square_016um").resolve()
        assert visium_hd.sample_name(source) == "S1"
    assert visium_hd.locate(binned / "square_008um", 112.0).bin_um == 8


def test_the_section_survives_saving(truth, tmp_path):
    section = visium_hd.read(truth.source, _request())
    section.save(tmp_path / "saved")
    again = Section.load(tmp_path / "saved")
    _check(again, truth, 112.0)
    assert again.content_hash == section.content_hash


def test_without_the_microscope_image_the_hires_one_is_used(tmp_path, caplog):
    truth = write_visium_hd(tmp_path / "S1", (16,), fullres=False)
    with caplog.at_level("WARNING", logger="c2lst"):
        section = visium_hd.read(truth.source, ReadRequest(size=64))
    assert "upsampled to 64 px" in caplog.text
    assert section.image_path.name == "tissue_hires_image.png"
    assert section.mpp > truth.mpp


def test_a_width_that_no_bins_make_up_is_refused(truth):
    with pytest.raises(InputError, match=r"pooled to 100 µm.*8 µm, 16 µm.*multiple of 16"):
        visium_hd.read(truth.source, _request(100.0))
    for width in (0, -8, np.nan, 1e9):
        with pytest.raises(InputError, match="no width of a pseudo-spot"):
            visium_hd.read(truth.source, _request(width))


def test_foreign_folders_are_not_recognised(tmp_path, small_legacy):
    truth = write_visium(tmp_path / "v")
    for source in (tmp_path, tmp_path / "nothing", small_legacy, truth.source):
        assert visium_hd.recognise(source, None) is None


def _square(sample):
    return sample.source / "binned_outputs" / "square_016um"


@pytest.mark.parametrize("name", [
    "filtered_feature_bc_matrix.h5", "spatial/tissue_positions.parquet",
    "spatial/scalefactors_json.json",
])  # fmt: skip
def test_a_missing_file_is_named(sample, name):
    (_square(sample) / name).unlink()
    with pytest.raises(InputError, match=f"{name.split('/')[-1]}.*is missing|{name}.*is missing"):
        visium_hd.read(sample.source, _request())


@pytest.mark.parametrize(("key", "value", "says"), [
    ("bin_size_um", 8.0, "is of other bins, found 8 µm, expected 16 µm"),
    ("bin_size_um", None, "'bin_size_um' is no length"),
    ("microns_per_pixel", -1, "'microns_per_pixel' is no length"),
])  # fmt: skip
def test_scale_factors_of_other_bins_are_refused(sample, key, value, says):
    path = _square(sample) / "spatial" / "scalefactors_json.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError, match=says):
        visium_hd.read(sample.source, _request())


def test_exchanged_pixel_columns_are_refused(sample):
    """The array is mirrored on the image, as is usual; exchanged and turned is not."""
    path = _square(sample) / "spatial" / "tissue_positions.parquet"
    table = pd.read_parquet(path)
    names = {"pxl_row_in_fullres": "pxl_col_in_fullres", "pxl_col_in_fullres": "pxl_row_in_fullres"}
    table.rename(columns=names).to_parquet(path)
    with pytest.raises(InputError):
        visium_hd.read(sample.source, _request())


def test_barcodes_of_other_bins_are_refused(sample):
    path = _square(sample) / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        names = np.char.replace(file["matrix/barcodes"][()], b"016um", b"008um")
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = names
    with pytest.raises(InputError, match=r"barcodes are not in tissue_positions.parquet"):
        visium_hd.read(sample.source, _request())


def test_no_tissue_is_refused(sample):
    path = _square(sample) / "spatial" / "tissue_positions.parquet"
    table = pd.read_parquet(path)
    table.assign(in_tissue=0).to_parquet(path)
    with pytest.raises(InputError, match="no spot lies in tissue"):
        visium_hd.read(sample.source, _request())


def test_counts_in_few_bits_do_not_wrap_around_when_they_are_summed():
    counts = sparse.csr_matrix(np.full((3, 1), 200, dtype=np.uint8))
    assert sum_by(np.array([0, 0, 1]), 2, counts).toarray().tolist() == [[400], [200]]
