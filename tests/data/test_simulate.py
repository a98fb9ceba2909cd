from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.simulate import CELL_TYPES, SimulatedTruth, simulate_tissue
from c2lst.data.simulate.expression import MOST_EXPLAINED, draw_expression, draw_genes
from c2lst.data.simulate.fields import fields_at_points, random_field
from c2lst.data.simulate.render import STAINS
from c2lst.data.simulate.tissue import draw_outline, draw_tissue
from c2lst.errors import InputError

SMALL = {"spots": (6, 6), "mpp": 4.0, "genes": 60, "seed": 3}
FILES = ("SIM.jpg", "SIM.tsv.gz", "SIM_selection.tsv", "SIM_truth.json", "SIM_truth.npz")


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedTruth]:
    directory = tmp_path_factory.mktemp("simulated")
    return directory, simulate_tissue(directory, **SMALL)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedTruth]:
    """Many spots, so that shares and means can be measured; coarse pixels, since none are read."""
    directory = tmp_path_factory.mktemp("wide")
    return directory, simulate_tissue(directory, spots=(20, 20), mpp=20.0, genes=120, seed=5)


def read_counts(directory: Path) -> tuple[list[str], list[str], np.ndarray]:
    with gzip.open(directory / "SIM.tsv.gz", "rt") as file:
        header, *rows = [line.rstrip("\n").split("\t") for line in file]
    assert header[0] == ""
    return [row[0] for row in rows], header[1:], np.array([row[1:] for row in rows]).astype(int)


def lognorm(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def squared_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) ** 2 / ((a**2).sum(axis=0) * (b**2).sum(axis=0))


# Files


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(section, tmp_path):
    directory, _ = section
    simulate_tissue(tmp_path / "same", **SMALL)
    simulate_tissue(tmp_path / "other", **(SMALL | {"seed": 4}))
    for file in FILES:
        original = (directory / file).read_bytes()
        assert (tmp_path / "same" / file).read_bytes() == original, file
        assert (tmp_path / "other" / file).read_bytes() != original, file


def test_nothing_but_the_five_files_is_left_behind(section):
    directory, _ = section
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)


def test_counts_and_spots_have_the_legacy_layout(section):
    directory, truth = section
    barcodes, genes, counts = read_counts(directory)
    assert barcodes == truth.barcodes.tolist()
    assert genes == truth.genes.tolist()
    assert len(set(genes)) == len(genes) == SMALL["genes"]
    assert counts.min() >= 0
    assert np.all(counts.sum(axis=1) > 0)
    header, *lines = (directory / "SIM_selection.tsv").read_text().splitlines()
    assert header.split("\t") == ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"]
    rows = [line.split("\t") for line in lines]
    assert [f"{row[0]}x{row[1]}" for row in rows] == barcodes
    assert all(row[6] == "1" for row in rows)
    measured = np.array(rows)[:, [4, 5]].astype(float)
    assert measured == pytest.approx(truth.centres_um / SMALL["mpp"], abs=0.01)


def test_micrometres_per_pixel_follow_from_the_spot_pitch(section):
    directory, _ = section
    table = np.loadtxt(directory / "SIM_selection.tsv", skiprows=1)
    for axis in (0, 1):
        pixels_per_pitch = np.polyfit(table[:, axis], table[:, 4 + axis], 1)[0]
        assert 200.0 / pixels_per_pitch == pytest.approx(SMALL["mpp"], rel=0.02)


def test_truth_returns_from_disk_as_it_was(section):
    directory, truth = section
    loaded = SimulatedTruth.load(directory)
    for key in ("cell_counts", "genes", "log_rate", "image_part", "expected_lognorm", "cells_um"):
        assert np.array_equal(getattr(loaded, key), getattr(truth, key)), key
    assert loaded.settings["seed"] == SMALL["seed"]
    summary = json.loads((directory / "SIM_truth.json").read_text())
    assert set(summary["genes"]) == set(truth.genes)
    assert set(summary["spots"]) == set(truth.barcodes)


def test_an_interrupted_write_leaves_the_file_before_it_whole(section, tmp_path, monkeypatch):
    simulate_tissue(tmp_path, **SMALL)
    before = (tmp_path / "SIM.jpg").read_bytes()

    def fail(self: Image.Image, file: Path, **_: object) -> None:
        Path(file).write_bytes(b"half")
        raise RuntimeError("power cut")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        simulate_tissue(tmp_path, **(SMALL | {"seed": 9}))
    assert (tmp_path / "SIM.jpg").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("name", "a/b"),
        ("name", ".."),
        ("name", ""),
        ("spots", (2, 6)),
        ("spots", (6, 6, 6)),
        ("spots", (6.5, 6)),
        ("pitch_um", 50.0),
        ("pitch_um", float("nan")),
        ("mpp", 0.0),
        ("mpp", float("inf")),
        ("genes", 5),
        ("genes", 30.5),
        ("seed", -1),
        ("seed", True),
        ("image_share", -0.1),
        ("image_share", 0.7),
        ("median_library_size", 0.0),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name_and_writes_nothing(tmp_path, argument, value):
    with pytest.raises(InputError, match=argument):
        simulate_tissue(tmp_path / "out", **(SMALL | {argument: value}))
    assert not (tmp_path / "out").exists()


def test_an_image_too_large_for_memory_is_refused(tmp_path):
    with pytest.raises(InputError, match="raise mpp"):
        simulate_tissue(tmp_path, spots=(150, 150), mpp=0.25)


def test_truth_without_files_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="SIM_truth"):
        SimulatedTruth.load(tmp_path)


# Image


def test_optical_density_is_spanned_by_haematoxylin_and_eosin(section):
    directory, _ = section
    image = np.asarray(Image.open(directory / "SIM.jpg")).reshape(-1, 3)
    density = -np.log(np.maximum(image, 1) / 255.0)
    # Two stains span a plane of the three channels; noise and JPEG lie off it, tissue does not.
    concentrations, *_ = np.linalg.lstsq(STAINS.T, density.T, rcond=None)
    residual = density.T - STAINS.T @ concentrations
    assert (residual**2).sum() / (density**2).sum() < 0.01
    one_stain, *_ = np.linalg.lstsq(STAINS[1:].T, density.T, rcond=None)
    residual = density.T - STAINS[1:].T @ one_stain
    assert (residual**2).sum() / (density**2).sum() > 0.05


def test_glass_is_left_around_the_tissue_and_spots_are_on_it(section):
    directory, truth = section
    image = np.asarray(Image.open(directory / "SIM.jpg").convert("L")).astype(float)
    border = np.concatenate([image[:5].ravel(), image[-5:].ravel(), image[:, :5].ravel()])
    assert border.min() > 225
    assert np.mean(image < 225) > 0.3
    x, y = np.round(truth.centres_um / SMALL["mpp"]).astype(int).T
    reach = int(50 / SMALL["mpp"])
    dark = [
        np.mean(image[b - reach : b + reach, a - reach : a + reach] < 235)
        for a, b in zip(x, y, strict=True)
    ]
    assert min(dark) > 0.05


def test_the_layout_does_not_depend_on_the_pixel_size(section, tmp_path):
    _, truth = section
    coarse = simulate_tissue(tmp_path, **(SMALL | {"mpp": 8.0}))
    assert np.array_equal(coarse.cells_um, truth.cells_um)
    assert np.array_equal(coarse.log_rate, truth.log_rate)


def test_haematoxylin_of_a_patch_follows_the_nuclei_in_it(section):
    directory, truth = section
    image = np.asarray(Image.open(directory / "SIM.jpg")).astype(float)
    density = -np.log(np.maximum(image, 1) / 255.0)
    blue = (density @ np.linalg.pinv(STAINS))[..., 0]
    x, y = np.round(truth.centres_um / SMALL["mpp"]).astype(int).T
    reach = int(50 / SMALL["mpp"])
    stain = [
        blue[b - reach : b + reach, a - reach : a + reach].mean() for a, b in zip(x, y, strict=True)
    ]
    assert np.corrcoef(stain, truth.nuclei)[0, 1] > 0.7


# Cells


def test_cell_counts_are_the_rendered_nuclei_within_each_spot(section):
    _, truth = section
    for spot, centre in enumerate(truth.centres_um):
        inside = np.hypot(*(truth.cells_um - centre).T) <= 50.0
        expected = np.bincount(truth.cell_kinds[inside], minlength=len(CELL_TYPES))
        # Saved positions are float32: a nucleus on the rim may fall on either side.
        assert np.abs(truth.cell_counts[spot] - expected).sum() <= 1
    assert np.array_equal(truth.nuclei, truth.cell_counts.sum(axis=1))
    assert truth.composition.sum(axis=1) == pytest.approx((truth.nuclei > 0).astype(float))


def test_nuclei_do_not_sit_upon_each_other_and_every_type_occurs(wide):
    from scipy.spatial import cKDTree

    _, truth = wide
    nearest = cKDTree(truth.cells_um).query(truth.cells_um, k=2)[0][:, 1]
    assert nearest.min() > 2.0
    assert np.all(np.bincount(truth.cell_kinds, minlength=len(CELL_TYPES)) > 50)


def test_composition_varies_beyond_what_the_neighbours_tell(wide):
    """The point of the simulation: interpolation over 400 µm cannot recover the visible part."""
    from scipy.spatial.distance import cdist

    _, truth = wide
    distance = cdist(truth.centres_um, truth.centres_um)

    def correlation(part: np.ndarray, apart_um: float) -> float:
        part = (part - part.mean(axis=0)) / part.std(axis=0)
        return float((part @ part.T / part.shape[1])[np.abs(distance - apart_um) < 30].mean())

    image = truth.image_part[:, truth.gene_kinds == "image"]
    space = truth.space_part[:, truth.gene_kinds == "space"]
    assert 0.0 < correlation(image, 400.0) < 0.45
    assert correlation(space, 400.0) > 0.45


# Expression


def test_the_variance_shares_are_those_asked_for(wide):
    _, truth = wide
    assert truth.image_share.mean() == pytest.approx(0.40, abs=1e-6)
    assert truth.space_share.mean() == pytest.approx(0.25, abs=1e-6)
    image, space = squared_correlation_or_zero(truth)
    assert image == pytest.approx(truth.image_share, abs=0.12)
    assert space == pytest.approx(truth.space_share, abs=0.12)
    assert image.mean() == pytest.approx(0.40, abs=0.02)
    assert space.mean() == pytest.approx(0.25, abs=0.02)


def squared_correlation_or_zero(truth: SimulatedTruth) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore"):
        image = np.nan_to_num(squared_correlation(truth.image_part, truth.log_rate))
        space = np.nan_to_num(squared_correlation(truth.space_part, truth.log_rate))
    return image, space


def test_the_shares_hold_on_the_log_normalised_scale(wide):
    _, truth = wide
    for kind, part, share in (
        ("image", truth.image_part, truth.image_share),
        ("space", truth.space_part, truth.space_share),
    ):
        members = truth.gene_kinds == kind
        found = squared_correlation(part[:, members], truth.expected_lognorm[:, members]).mean()
        assert found == pytest.approx(share[members].mean(), abs=0.08)


def test_the_part_in_space_cannot_be_read_off_the_cells(wide):
    _, truth = wide
    design = np.column_stack([np.ones(len(truth.nuclei)), np.log1p(truth.cell_counts)])
    space = truth.space_part[:, truth.gene_kinds == "space"]
    space = space - space.mean(axis=0)
    fitted = design @ np.linalg.lstsq(design, space, rcond=None)[0]
    assert ((fitted**2).sum(axis=0) / (space**2).sum(axis=0)).max() < 0.06


def test_spots_with_the_same_cells_have_the_same_visible_part():
    rng = np.random.default_rng(0)
    cell_counts = np.tile(rng.poisson(6, (30, len(CELL_TYPES))), (2, 1))
    centres = rng.uniform(0, 4000, (60, 2))
    table = draw_genes(rng, 40, 0.4, 0.25)
    part = draw_expression(rng, table, cell_counts, centres, 4000.0).image_part
    assert part[:30] == pytest.approx(part[30:])
    assert part.std() > 0.1


def test_log_normalised_counts_scatter_around_the_expected_without_bias(wide):
    directory, truth = wide
    _, _, counts = read_counts(directory)
    residual = lognorm(counts) - truth.expected_lognorm
    error = residual.std(axis=0) / np.sqrt(len(residual))
    assert np.abs(residual.mean(axis=0) / error).max() < 4.5
    assert abs(residual.mean()) < 0.01
    # No unbiased guess without knowledge of the noise comes nearer than these.
    predictable = lognorm(counts) - truth.predictable_lognorm
    assert (residual**2).mean() < (predictable**2).mean() < lognorm(counts).var(axis=0).mean()
    assert abs(predictable.mean()) < 0.02


def test_library_sizes_spread_around_the_median_asked_for(wide):
    directory, truth = wide
    _, _, counts = read_counts(directory)
    total = counts.sum(axis=1)
    assert np.median(total) == pytest.approx(4500, rel=0.1)
    assert 0.2 < np.log(total).std() < 0.5
    assert total == pytest.approx(truth.library_size, rel=0.2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(40, 300),
    st.floats(0, 1),
    st.floats(0, MOST_EXPLAINED),
)
def test_any_allowed_shares_are_met_and_leave_room_for_noise(genes, balance, explained):
    image, space = balance * explained, (1 - balance) * explained
    table = draw_genes(np.random.default_rng(0), genes, image, space)
    assert table.image_share.mean() == pytest.approx(image, abs=0.03)
    assert table.space_share.mean() == pytest.approx(space, abs=0.03)
    assert table.image_share.min() >= 0
    assert table.space_share.min() >= 0
    assert (table.image_share + table.space_share).max() <= 1
    assert len(set(table.names)) == genes


@pytest.mark.parametrize("spots", [(3, 3), (3, 20)])
def test_small_and_long_arrays_keep_every_part_of_the_signal(spots, tmp_path):
    truth = simulate_tissue(tmp_path, spots=spots, mpp=20.0, genes=40, seed=1)
    for part in (truth.image_part, truth.space_part):
        assert np.all(np.isfinite(part))
        assert part.var(axis=0).max() > 0.05
    assert np.all(np.isfinite(truth.predictable_lognorm))


@pytest.mark.parametrize(("image_share", "space_share"), [(0.0, 0.0), (0.8, 0.0), (0.0, 0.8)])
def test_a_part_that_has_no_share_is_absent(image_share, space_share, tmp_path):
    truth = simulate_tissue(
        tmp_path, **(SMALL | {"mpp": 20.0}), image_share=image_share, space_share=space_share
    )
    assert (truth.image_part.var() > 0) == (image_share > 0)
    assert (truth.space_part.var() > 0) == (space_share > 0)


# Control: an image that tells nothing


def test_an_uninformative_image_leaves_the_expression_unchanged(section, tmp_path):
    directory, truth = section
    control = simulate_tissue(tmp_path, **SMALL, uninformative_image=True)
    for file in ("SIM.tsv.gz", "SIM_selection.tsv"):
        assert (tmp_path / file).read_bytes() == (directory / file).read_bytes()
    assert (tmp_path / "SIM.jpg").read_bytes() != (directory / "SIM.jpg").read_bytes()
    assert np.array_equal(control.cell_counts, truth.cell_counts)
    assert np.array_equal(truth.image_cell_counts, truth.cell_counts)


def test_an_uninformative_image_shows_cells_independent_of_the_expression(wide, tmp_path):
    _, truth = wide
    control = simulate_tissue(
        tmp_path, spots=(20, 20), mpp=20.0, genes=120, seed=5, uninformative_image=True
    )
    genes = truth.gene_kinds == "image"

    def explained(cell_counts: np.ndarray) -> float:
        design = np.column_stack([np.ones(len(cell_counts)), np.log1p(cell_counts)])
        part = truth.image_part[:, genes] - truth.image_part[:, genes].mean(axis=0)
        fitted = design @ np.linalg.lstsq(design, part, rcond=None)[0]
        return float(((fitted**2).sum(axis=0) / (part**2).sum(axis=0)).mean())

    assert explained(truth.image_cell_counts) > 0.7
    assert explained(control.image_cell_counts) < 0.10


# Fields


@pytest.mark.parametrize("scale_um", [60.0, 200.0])
def test_a_random_field_has_the_length_scale_it_is_named_for(scale_um):
    rng = np.random.default_rng(1)
    values = random_field(rng, (6000.0, 6000.0), scale_um, 20.0).values
    lag = round(scale_um / 20.0)
    found = np.corrcoef(values[:, :-lag].ravel(), values[:, lag:].ravel())[0, 1]
    assert found == pytest.approx(np.exp(-0.5), abs=0.1)
    assert values.std() == pytest.approx(1.0, abs=0.15)


def test_fields_at_points_have_the_squared_exponential_covariance():
    points = np.array([[0.0, 0.0], [500.0, 0.0], [5000.0, 0.0]])
    fields = fields_at_points(np.random.default_rng(2), points, 500.0, 3000)
    found = fields @ fields.T / fields.shape[1]
    assert found[0] == pytest.approx([1.0, np.exp(-0.5), 0.0], abs=0.1)


def test_a_field_reads_the_same_at_points_and_on_pixels():
    field = random_field(np.random.default_rng(3), (500.0, 300.0), 80.0, 10.0)
    x, y = np.linspace(0, 500, 23), np.linspace(0, 300, 17)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    assert field.on_pixels(x, y).ravel() == pytest.approx(field.at(points), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_tissue_stays_off_the_edges_of_the_slide(seed):
    outline = draw_outline(np.random.default_rng(seed), (2000.0, 3000.0), 400.0).values
    assert max(outline[0].max(), outline[-1].max(), outline[:, 0].max(), outline[:, -1].max()) < 0
    assert np.mean(outline > 0) > 0.4


def test_a_tissue_lies_within_its_outline():
    rng = np.random.default_rng(7)
    outline = draw_outline(rng, (2000.0, 2000.0), 400.0)
    cells = draw_tissue(rng, outline, (2000.0, 2000.0)).cells
    assert outline.at(cells.centres_um).min() > 0
