from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.raw import ReadRequest
from c2lst.data.readers import visium
from c2lst.data.section import Section
from c2lst.errors import InputError
from miniatures.spaceranger import write_visium

SMALL = ReadRequest(size=16)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_visium(tmp_path_factory.mktemp("visium") / "S1")


@pytest.fixture
def sample(tmp_path):
    """A sample that a test may change."""
    return write_visium(tmp_path / "S1", seed=3)


def _check(section: Section, truth, scale: float = 1.0) -> None:
    """Counts, array and places of every barcode are those that were written."""
    order = section.indices_of(np.array(truth.barcodes))
    assert len(section) == len(truth.barcodes)
    assert section.genes.tolist() == truth.genes
    assert np.array_equal(section.counts.toarray()[order], truth.counts)
    obs = section.adata.obs.iloc[order]
    assert np.array_equal(obs["array_row"], truth.array_row)
    assert np.array_equal(obs["array_col"], truth.array_col)
    assert np.allclose(obs["pxl_col_in_fullres"], truth.centres_px[:, 0] * scale)
    assert np.allclose(obs["pxl_row_in_fullres"], truth.centres_px[:, 1] * scale)
    assert section.mpp == pytest.approx(truth.mpp / scale, rel=0.005)
    assert section.pitch_um == 100.0


@pytest.mark.parametrize("version", ["1", "2", "3"])
@pytest.mark.parametrize("matrix", ["h5", "mex", "h5v2"])
def test_every_version_and_matrix_comes_back(version, matrix, tmp_path):
    truth = write_visium(tmp_path / "S1", version, matrix)
    section = visium.read(truth.source, SMALL)
    _check(section, truth)
    assert section.name == "S1"
    assert section.image_path == truth.image


def test_the_section_survives_saving(truth, tmp_path):
    section = visium.read(truth.source, SMALL)
    section.save(tmp_path / "saved")
    again = Section.load(tmp_path / "saved")
    _check(again, truth)
    assert again.content_hash == section.content_hash
    assert np.array_equal(again.patches[:], section.patches[:])


def test_patches_show_the_tissue_around_their_spots(tmp_path):
    truth = write_visium(tmp_path / "S1", mpp=1.0)
    section = visium.read(truth.source, ReadRequest(size=112))
    image = np.asarray(Image.open(truth.image))
    for index in (0, 40, 100):
        x, y = section.centres_px[index].astype(int)
        expected = image[y - 56 : y + 56, x - 56 : x + 56]
        assert np.abs(section.patches[index].astype(int) - expected).mean() < 12


@pytest.mark.parametrize("version", ["1", "3"])
@pytest.mark.parametrize("header", [True, False])
def test_the_first_spot_is_not_lost_to_a_header(version, header, tmp_path):
    truth = write_visium(tmp_path / "S1", version, header=header)
    _check(visium.read(truth.source, SMALL), truth)
    evidence = visium.recognise(truth.source, None)
    assert ("without a header" in evidence) != header


@pytest.mark.parametrize("matrix", ["h5", "mex"])
def test_of_a_raw_matrix_only_spots_in_tissue_are_taken(matrix, tmp_path):
    truth = write_visium(tmp_path / "S1", matrix=matrix, raw=True)
    _check(visium.read(truth.source, SMALL), truth)


@pytest.mark.parametrize(("turn", "mirrored"), [(0, False), (90, False), (-31, False), (5, True)])
def test_an_array_that_is_turned_or_mirrored_is_read_as_it_lies(turn, mirrored, tmp_path):
    truth = write_visium(tmp_path / "S1", turn=turn, mirrored=mirrored, mpp=1.6)
    _check(visium.read(truth.source, SMALL), truth)


def test_any_of_its_folders_may_be_given(truth):
    outs = truth.source
    matrix = outs / "filtered_feature_bc_matrix.h5"
    for source in (outs, outs.parent, outs / "spatial", matrix):
        assert "tissue_positions.csv" in visium.recognise(source, None)
        assert visium.locate(source).spatial.positions == truth.positions
        assert visium.locate(source).section == "S1"


@pytest.mark.parametrize("matrix", ["h5", "mex"])
def test_downloads_lie_flat_with_a_prefix_and_gzipped(matrix, tmp_path):
    folder = tmp_path / "GSE1"
    truths = {
        name: write_visium(folder, "1", matrix, prefix=f"{name}_", flat=True, seed=seed)
        for seed, name in enumerate(["GSM1_A", "GSM2_B"])
    }
    with pytest.raises(InputError, match=r"several samples.*GSM1_A, GSM2_B.*--section"):
        visium.read(folder, SMALL)
    with pytest.raises(InputError, match="'GSM3' is not here"):
        visium.read(folder, ReadRequest(section="GSM3", size=16))
    for name, truth in truths.items():
        section = visium.read(folder, ReadRequest(section=name, size=16))
        assert section.name == name
        _check(section, truth)


def test_only_the_matrix_has_a_prefix(tmp_path):
    truth = write_visium(tmp_path / "x", prefix="V1_Breast_")
    section = visium.read(truth.source, SMALL)
    assert section.name == "V1_Breast"
    _check(section, truth)


def test_without_the_full_image_the_hires_one_is_used_and_said(sample, caplog):
    sample.image.unlink()
    with caplog.at_level("WARNING", logger="c2lst"):
        section = visium.read(sample.source, ReadRequest(size=64))
    _check(section, sample, sample.hires_scale)
    assert section.image_path.name == "tissue_hires_image.png"
    scale = sample.hires_scale
    assert f"at {section.mpp:.2f} µm/px" in caplog.text
    assert f"is {112 / sample.mpp * scale:.0f} px there, and is upsampled to 64" in caplog.text
    assert "--image" in caplog.text


def test_mpp_is_of_the_full_resolution_whatever_image_is_used(sample):
    sample.image.unlink()
    section = visium.read(sample.source, ReadRequest(mpp=1.01 * sample.mpp, size=16))
    assert section.mpp == pytest.approx(1.01 * sample.mpp / sample.hires_scale)


def test_an_image_that_is_given_is_used(sample, tmp_path):
    image = sample.image.rename(tmp_path / "elsewhere.tif")
    section = visium.read(sample.source, ReadRequest(image=image, size=16))
    assert section.image_path == image
    _check(section, sample)


@pytest.mark.parametrize(("factor", "says"), [(0.5, "at 0.5 times"), (2, "at 2 times")])
def test_an_image_of_another_resolution_is_refused(sample, tmp_path, factor, says):
    image = Image.open(sample.image)
    other = tmp_path / "other.png"
    image.resize([round(side * factor) for side in image.size]).save(other)
    with pytest.raises(InputError, match=f"{says} the resolution.*expected about.*--image"):
        visium.read(sample.source, ReadRequest(image=other, size=16))


def test_the_hires_image_given_as_the_full_one_is_refused(sample):
    hires = sample.source / "spatial" / "tissue_hires_image.png"
    with pytest.raises(InputError, match=r"times the resolution.*without --image"):
        visium.read(sample.source, ReadRequest(image=hires, size=16))
    # Without thumbnails its size still betrays it.
    image = hires.rename(sample.source.parent / "image.png")
    with pytest.raises(InputError, match="too small for the positions"):
        visium.read(sample.source, ReadRequest(image=image, size=16))


def test_the_image_of_another_slide_is_refused_and_not_taken(sample, tmp_path, caplog):
    other = tmp_path / "other.png"
    Image.new("RGB", (900, 2100), "white").save(other)
    with pytest.raises(InputError, match="is not the image of the positions"):
        visium.read(sample.source, ReadRequest(image=other, size=16))
    sample.image.unlink()
    shutil.copy(other, sample.source.parent / "slide.png")
    with caplog.at_level("WARNING", logger="c2lst"):
        assert visium.read(sample.source, SMALL).image_path.name == "tissue_hires_image.png"
    assert "slide.png" in caplog.text


def test_no_image_at_all_is_refused(sample):
    sample.image.unlink()
    (sample.source / "spatial" / "tissue_hires_image.png").unlink()
    with pytest.raises(InputError, match=r"image is missing.*--image"):
        visium.read(sample.source, SMALL)


def _exchange(path, one, other):
    table = pd.read_csv(path)
    table[[one, other]] = table[[other, one]].to_numpy()
    table.to_csv(path, index=False)


def test_exchanged_pixel_columns_are_refused(sample):
    _exchange(sample.positions, "pxl_row_in_fullres", "pxl_col_in_fullres")
    with pytest.raises(InputError, match=r"look exchanged.*exchange the two columns"):
        visium.read(sample.source, SMALL)


def test_exchanged_array_columns_are_refused(sample):
    _exchange(sample.positions, "array_row", "array_col")
    with pytest.raises(InputError, match="'array_row' and 'array_col' are exchanged"):
        visium.read(sample.source, SMALL)


def test_a_square_array_is_not_visium(sample):
    table = pd.read_csv(sample.positions)
    table["array_col"] //= 2
    table["pxl_col_in_fullres"] = 100 + 100 * table["array_col"]
    table.to_csv(sample.positions, index=False)
    with pytest.raises(InputError, match=r"hexagonal array.*--format"):
        visium.read(sample.source, SMALL)


def test_spatial_of_a_sample_with_other_barcodes_is_refused(sample, tmp_path):
    other = write_visium(tmp_path / "other", seed=9)
    shutil.copy(other.positions, sample.positions)
    with pytest.raises(InputError, match=r"barcodes are not in tissue_positions.csv.*same sample"):
        visium.read(sample.source, SMALL)


def test_spatial_of_a_sample_with_the_same_barcodes_is_refused(sample):
    """All slides of a kind share their barcodes; tissue in another place gives it away."""
    table = pd.read_csv(sample.positions)
    table["in_tissue"] = np.roll(table["in_tissue"], 37)
    table.to_csv(sample.positions, index=False)
    with pytest.raises(InputError, match=r"is of another sample.*in_tissue 0 for"):
        visium.read(sample.source, SMALL)


def test_empty_spots_are_dropped_with_a_message(tmp_path, caplog):
    truth = write_visium(tmp_path / "S1", matrix="mex")
    path = truth.source / "filtered_feature_bc_matrix" / "matrix.mtx.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    start = next(n for n, line in enumerate(lines) if not line.startswith("%"))
    kept = [line for line in lines[start + 1 :] if line.split()[1] != "1"]
    rows, columns, _ = lines[start].split()
    lines = [*lines[:start], f"{rows} {columns} {len(kept)}", *kept]
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    with caplog.at_level("INFO", logger="c2lst"):
        section = visium.read(truth.source, SMALL)
    assert len(section) == len(truth.barcodes) - 1
    assert "1 with no count above zero" in caplog.text


@pytest.mark.parametrize(("name", "says"), [
    ("filtered_feature_bc_matrix.h5", "holds no count matrix"),
    ("spatial/tissue_positions.csv", "holds no tissue positions"),
])  # fmt: skip
def test_a_missing_file_is_named(sample, name, says):
    (sample.source / name).unlink()
    assert visium.recognise(sample.source, None) is not None
    with pytest.raises(InputError, match=says):
        visium.read(sample.source, SMALL)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", json.dumps({"tissue_hires_scalef": "a"})])
def test_damaged_scale_factors_are_named(sample, text):
    (sample.source / "spatial" / "scalefactors_json.json").write_text(text)
    with pytest.raises(InputError, match=r"scalefactors_json\.json") as caught:
        visium.read(sample.source, SMALL)
    assert caught.value.remedy


def test_foreign_folders_are_not_recognised(tmp_path, small_legacy):
    assert visium.recognise(tmp_path, None) is None
    assert visium.recognise(tmp_path / "nothing", None) is None
    assert visium.recognise(small_legacy, None) is None
    (tmp_path / "matrix.mtx.gz").write_bytes(b"")
    assert visium.recognise(tmp_path, None) is None


@settings(max_examples=25)
@given(st.data())
def test_any_positions_are_read_or_refused(truth, tmp_path_factory, data):
    folder = shutil.copytree(truth.source.parent, tmp_path_factory.mktemp("fuzz") / "S1")
    path = folder / "outs" / "spatial" / "tissue_positions.csv"
    lines = path.read_text().splitlines()
    for _ in range(data.draw(st.integers(0, 3))):
        row = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, 5))
        fields = lines[row].split(",")
        fields[column : column + 1] = [data.draw(st.text(max_size=5) | st.integers().map(str))]
        lines[row] = ",".join(fields)
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass", newline="")
    try:
        section = visium.read(folder, ReadRequest(size=8))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(section) > 0
