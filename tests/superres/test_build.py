"""Maps from every source, and spots from sections."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from c2lst.data.image import SlideImage
from c2lst.data.readers import read
from c2lst.errors import InputError
from c2lst.superres.build import legacy, published, recognise, visium_hd, xenium
from c2lst.superres.build.simulated import Simulation
from c2lst.superres.build.simulated import build as simulate
from c2lst.superres.lowres import LowRes
from c2lst.superres.raster import Placement, warp
from miniatures.spaceranger import write_visium, write_visium_hd
from miniatures.xenium import write_xenium


def gradient(height: int, width: int) -> np.ndarray:
    """An image whose red tells the column and whose green tells the row."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, x * 0], axis=-1).astype(np.uint8)


def test_an_image_is_brought_to_the_px_of_a_map():
    slide = SlideImage.from_array(gradient(400, 600))
    found = warp(slide, Placement.along_image((20.0, 40.0), 2.0), (60, 80), 10.0)
    # A px of 10 µm is five of the slide; the first begins 10 px right and 20 down.
    expected = slide.read(10, 20, 400, 300).reshape(60, 5, 80, 5, 3).mean(axis=(1, 3))
    assert np.abs(found.astype(float) - expected).max() < 2


def test_a_turned_image_is_turned_back():
    pixels = gradient(300, 300)
    slide = SlideImage.from_array(np.rot90(pixels))
    # rot90: the slide's x is the map's y, its y runs against the map's x.
    placement = Placement(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 300.0]]))
    found = warp(slide, placement, (300, 300), 1.0)
    assert np.abs(found.astype(int) - pixels)[2:-2, 2:-2].max() <= 2


def test_a_map_beside_the_image_is_refused():
    slide = SlideImage.from_array(gradient(100, 100))
    with pytest.raises(InputError, match="map and image do not match"):
        warp(slide, Placement.along_image((0.0, 0.0), 0.5), (100, 100), 2.0)


def test_simulated_counts_follow_their_expectation(maps):
    for sample in maps.samples:
        inside = sample.tissue
        assert (sample.counts[:, ~inside] == 0).all()
        expected = sample.expected[:, inside].mean(axis=1)
        np.testing.assert_allclose(expected, 0.5 * 4, rtol=1e-3)  # depth, in bins of 20 µm
        np.testing.assert_allclose(sample.counts[:, inside].mean(axis=1), expected, rtol=0.1)


def test_a_simulation_whose_bins_fill_no_spot_is_refused_at_once():
    with pytest.raises(InputError, match="no whole number of bins"):
        Simulation(bin_um=30.0, image_um=15.0)


def test_an_uninformative_image_changes_the_image_alone():
    options = {"patients": 1, "genes": 3, "side_um": 400.0, "bin_um": 20.0}
    own, other = (
        simulate(Simulation(**options, uninformative_image=control)).samples[0]
        for control in (False, True)
    )
    np.testing.assert_array_equal(own.counts, other.counts)
    np.testing.assert_array_equal(own.tissue, other.tissue)
    assert not np.array_equal(own.image, other.image)


def test_legacy_spots_lie_on_their_grid(small_legacy, small_section):
    assert recognise(str(small_legacy)) == "legacy"
    found = legacy.build(small_legacy, number=5, patient="P")
    sample = found.samples[0]
    assert (found.bin_um, found.lr_um, sample.patient) == (200.0, 400.0, "P")
    assert sample.shape == (8, 9) and sample.tissue.all()
    columns = small_section.adata.var_names.get_indexer(list(found.genes))
    obs = small_section.adata.obs
    row, column = obs["array_row"] - 1, obs["array_col"] - 1
    np.testing.assert_array_equal(
        sample.counts[:, row, column], small_section.counts[:, columns].todense().T
    )
    # The px of a bin are those of the slide around its spot.
    with small_section.open_image() as slide:
        x, y = small_section.centres_px[30].astype(int)
        spot = slide.read(x - 40, y - 40, 80, 80).mean()
    at = (int(row.iloc[30]) * 8, int(column.iloc[30]) * 8)
    part = sample.image[at[0] : at[0] + 8, at[1] : at[1] + 8]
    assert abs(part.mean() - spot) < 12
    with pytest.raises(InputError, match="1 of 1 genes are unknown"):
        legacy.build(small_legacy, genes=("NOPE",))
    with pytest.raises(InputError, match="--factor"):
        legacy.build(small_legacy, factor=1)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_xenium_transcripts_lie_in_their_bins(tmp_path, kind):
    truth = write_xenium(tmp_path / "x", kind, number=8000)
    assert recognise(str(tmp_path / "x")) == "xenium"
    found = xenium.build(tmp_path / "x", number=20, bin_um=20.0, spot_um=100.0)
    sample, order = found.samples[0], [truth.genes.index(gene) for gene in found.genes]
    assert sample.image_px == 2 and sample.shape[0] % 5 == 0
    squares = truth.squares(20.0)
    whole = np.zeros((20, 70, 80), dtype=np.float32)
    for place, counts in squares.items():
        whole[:, *place] = counts[order]
    assert sample.counts.sum() > 0.95 * whole.sum()  # strays are left out
    height, width = sample.shape
    filled = sample.counts.sum(axis=0) > 0
    # The map begins with a whole spot.
    assert any(
        np.array_equal(
            whole[:, row:, column:][:, :height, :width][:, filled], sample.counts[:, filled]
        )
        for row in range(0, 71 - height, 5)
        for column in range(0, 81 - width, 5)
    )
    # Bins with transcripts are tissue on the turned image.
    counted = sample.counts.sum(axis=0) > 0
    assert sample.tissue[counted].mean() > 0.85
    with pytest.raises(InputError, match="genes are unknown"):
        xenium.build(tmp_path / "x", genes=("NOPE",))


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"bin_um": 0.0}, "--bin-um"),
        ({"spot_um": float("inf")}, "--spot-um"),
        ({"image_um": 0.0}, "--image-um"),
        ({"bin_um": 15.0}, "no whole number of bins"),
    ],
)
def test_widths_of_nothing_are_refused_before_anything_is_read(tmp_path, widths, message):
    for source in (xenium, visium_hd):
        with pytest.raises(InputError, match=message):
            source.build(tmp_path, **widths)
    if "image_um" in widths:
        with pytest.raises(InputError, match=message):
            legacy.build(tmp_path, **widths)


def test_xenium_without_transcripts_is_refused(tmp_path):
    write_xenium(tmp_path / "x", None)
    with pytest.raises(InputError, match="holds no transcripts"):
        xenium.build(tmp_path / "x")


def test_visium_hd_bins_are_pooled_to_those_of_a_map(tmp_path):
    truth = write_visium_hd(tmp_path / "hd")
    assert recognise(str(tmp_path / "hd")) == "visium-hd"
    found = visium_hd.build(tmp_path / "hd", number=12, bin_um=16.0, spot_um=64.0)
    sample = found.samples[0]
    assert found.scale == 4 and sample.shape[0] % 4 == 0
    squares = truth.pooled(16)
    order = [truth.genes.index(gene) for gene in found.genes]
    placed = {k: v[0][order] for k, v in squares.items()}
    offset = min(k[0] for k in placed) // 4 * 4, min(k[1] for k in placed) // 4 * 4
    for (row, column), counts in placed.items():
        at = sample.counts[:, row - offset[0], column - offset[1]]
        np.testing.assert_array_equal(at, counts)
    with pytest.raises(InputError, match="no bins can be pooled"):
        visium_hd.build(tmp_path / "hd", bin_um=10.0)
    shutil.rmtree(next((tmp_path / "hd").rglob("square_016um")))
    shutil.rmtree(next((tmp_path / "hd").rglob("square_008um")))
    with pytest.raises(InputError, match="holds no bins"):
        visium_hd.build(tmp_path / "hd", bin_um=16.0, spot_um=64.0)


def write_published(folder, samples=("A", "B"), side: int = 40):
    rng = np.random.default_rng(0)
    for sample in samples:
        for part, name, values in (
            ("HR_ST", published.HR, rng.poisson(0.5, (side, side, 3)).astype(np.float32)),
            ("spot_ST", published.SPOTS, rng.poisson(5, (4, 4, 3)).astype(np.float32)),
            ("WSI", published.IMAGE, rng.integers(0, 255, (side, side, 3)).astype(np.uint8)),
        ):
            place = folder / "Xenium" / part / "extract" / sample / "0_0"
            place.mkdir(parents=True)
            np.save(place / name, values)
    np.save(folder / "gene_order.npy", np.array(["G1", "G2", "G3"]))


def test_the_layout_of_the_authors_is_read(tmp_path):
    write_published(tmp_path)
    assert recognise(str(tmp_path)) == "published"
    found = published.build(tmp_path, patients={"B": "A"})
    assert found.genes == ("G1", "G2", "G3") and found.patients == ("A",)
    assert (found.bin_um, found.lr_um) == (10.0, 100.0)
    sample = found.samples[0]
    raw = np.load(tmp_path / "Xenium/HR_ST/extract/A/0_0" / published.HR)
    np.testing.assert_array_equal(sample.counts[1], raw[:, :, 1])
    assert found.at_scale(5).samples[0].shape == (20, 20)
    np.testing.assert_array_equal(
        found.at_scale(5).spots(found.at_scale(5).samples[0]), sample.spots
    )


def test_what_the_layout_lacks_is_named(tmp_path):
    write_published(tmp_path)
    np.save(tmp_path / "gene_order.npy", np.array(["G1", None, 3], dtype=object))
    with pytest.raises(InputError, match="no plain array"):
        published.build(tmp_path)
    np.save(tmp_path / "gene_order.npy", np.array(["G1"]))
    with pytest.raises(InputError, match="genes and maps differ"):
        published.build(tmp_path)
    (tmp_path / "Xenium/spot_ST/extract/A/0_0" / published.SPOTS).unlink()
    with pytest.raises(InputError, match="no such file"):
        published.build(tmp_path)


def test_a_patch_that_does_not_fit_is_refused(tmp_path):
    write_published(tmp_path, samples=("A",))
    image = tmp_path / "Xenium/WSI/extract/A/0_0" / published.IMAGE
    np.save(image, np.zeros((30, 30, 3), np.uint8))
    with pytest.raises(InputError, match="image and map do not match"):
        published.build(tmp_path)
    for damaged in (np.full((40, 40, 3), "x"), np.zeros((0, 40, 3))):
        np.save(tmp_path / "Xenium/HR_ST/extract/A/0_0" / published.HR, damaged)
        with pytest.raises(InputError, match="expected numbers"):
            published.build(tmp_path)


def test_what_is_nothing_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="nothing that maps can be built of"):
        recognise(str(tmp_path / "x"))
    with pytest.raises(InputError, match="no such folder"):
        recognise(str(tmp_path / "a" / "b"))


def of_section(section, **changes):
    options = {"scale": 5, "lr_um": 200.0, "image_px": 2, "sampling": "discs"} | changes
    return LowRes.of_section(section, tuple(section.genes[:3].tolist()), **options)


def test_spots_of_a_square_array_are_taken_as_they_are(small_section):
    low = of_section(small_section)
    assert low.spots.shape == (3, 8, 9) and low.tissue.shape == (40, 45)
    counts = np.asarray(small_section.counts[:, :3].todense()).T
    squares = np.floor((small_section.centres_um - low.origin_um) / 200).astype(int)
    np.testing.assert_allclose(low.spots[:, squares[:, 1], squares[:, 0]], counts, rtol=1e-6)
    whole = of_section(small_section, sampling="squares")
    np.testing.assert_allclose(whole.spots, low.spots * 200**2 / (np.pi * 50**2), rtol=1e-5)


def test_spots_of_a_hexagonal_array_are_brought_to_squares(tmp_path):
    write_visium(tmp_path / "v")
    section = read(tmp_path / "v", size=32)
    low = of_section(section, lr_um=100.0)
    mean = np.asarray(section.counts[:, :3].todense()).mean(axis=0)
    filled = low.spots.sum(axis=0) > 0
    assert filled.sum() > 0.8 * len(section)
    np.testing.assert_allclose(low.spots[:, filled].mean(axis=1), mean, rtol=0.25)


def test_a_section_that_does_not_fit_is_refused(small_section):
    with pytest.raises(InputError, match="not as far apart"):
        of_section(small_section, lr_um=100.0)
    with pytest.raises(InputError, match="not as far apart"):  # wrong µm/px
        of_section(replace(small_section, mpp=4.0, pitch_um=400.0))
    with pytest.raises(InputError, match=r"coarser than the model's, found .* µm/px"):
        of_section(small_section, image_px=400)
    with pytest.raises(InputError, match="1 of 2 genes of the model are not in it"):
        LowRes.of_section(
            small_section, (small_section.genes[0], "NOPE"), scale=5, lr_um=200.0, image_px=2
        )
