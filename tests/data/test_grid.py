import numpy as np
import pytest
from scipy.spatial import KDTree

from c2lst.data.grid import SpotGrid, parse_um
from c2lst.data.image import SlideImage
from c2lst.errors import InputError


@pytest.fixture(scope="module")
def slide():
    """A tissue rectangle of 600 × 400 px on an empty slide of 1000 × 800 px, 1 µm a pixel."""
    rng = np.random.default_rng(0)
    pixels = np.full((800, 1000, 3), 245, dtype=np.uint8)
    pixels[200:600, 200:800] = np.clip(rng.normal((170, 90, 160), 12, (400, 600, 3)), 0, 255)
    return SlideImage.from_array(pixels)


@pytest.mark.parametrize(("lattice", "density"), [("hexagonal", 2 / 3**0.5), ("square", 1.0)])
def test_the_lattice_has_its_pitch_and_lies_on_the_tissue(slide, lattice, density):
    grid = SpotGrid.on_tissue(slide, 1.0, pitch_um=25.0, patch_um=40.0, size=16, lattice=lattice)
    nearest = KDTree(grid.centres_um).query(grid.centres_um, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, 25.0, rtol=1e-6)
    x, y = grid.centres_px.T
    assert (x > 175).all() and (x < 825).all() and (y > 175).all() and (y < 625).all()
    assert len(grid) == pytest.approx(600 * 400 / 25**2 * density, rel=0.15)
    assert len(set(grid.names.tolist())) == len(grid)
    assert grid.patches[np.arange(3)].shape == (3, 16, 16, 3)


def test_the_width_of_a_pixel_only_scales_the_lattice(slide):
    fine, coarse = (
        SpotGrid.on_tissue(slide, mpp, pitch_um=50 * mpp, patch_um=40 * mpp, size=16)
        for mpp in (1.0, 2.0)
    )
    np.testing.assert_allclose(fine.centres_px, coarse.centres_px)


def test_an_empty_slide_is_refused():
    empty = SlideImage.from_array(np.full((300, 300, 3), 244, dtype=np.uint8))
    with pytest.raises(InputError, match="no tissue"):
        SpotGrid.on_tissue(empty, 1.0, pitch_um=50.0, patch_um=40.0, size=16)


def test_a_pitch_is_above_zero(slide):
    with pytest.raises(InputError, match="pitch"):
        SpotGrid.on_tissue(slide, 1.0, pitch_um=0.0, patch_um=40.0, size=16)


@pytest.mark.parametrize(("text", "um"), [("50um", 50.0), ("55.5 µm", 55.5), ("100", 100.0)])
def test_a_pitch_is_read_with_or_without_its_unit(text, um):
    assert parse_um(text) == um


@pytest.mark.parametrize("text", ["", "50 px", "-3um", "0um", "um"])
def test_other_pitches_are_refused(text):
    with pytest.raises(InputError, match="no length"):
        parse_um(text)
