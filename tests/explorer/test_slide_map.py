import numpy as np
import pytest

from c2lst.explorer.slide_map import WIDTH, SlideMap


@pytest.fixture
def slide(small_section):
    return SlideMap.of(small_section)


def test_every_spot_is_found_where_it_is_drawn(slide, small_section):
    for number, (x, y) in enumerate(slide.places):
        assert slide.nearest(x + 2, y - 2) == number
    assert slide.image.shape[1] == WIDTH
    height, width = slide.image.shape[:2]
    assert (slide.places > 0).all() and (slide.places < (width, height)).all()


def test_places_keep_the_shape_of_the_array(slide, small_section):
    one = slide.places[1:] - slide.places[0]
    two = small_section.centres_px[1:] - small_section.centres_px[0]
    ratio = np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert np.ptp(ratio) < 0.01 * ratio.mean()


def test_the_picture_shows_the_tissue_under_the_spots(slide, small_section):
    """Spots over dark patches lie over dark places of the picture."""
    patches = small_section.patches[np.arange(len(small_section))].mean(axis=(1, 2, 3))
    columns, rows = slide.places.round().astype(int).T
    picture = np.array(
        [
            slide.image[max(r - 15, 0) : r + 16, max(c - 15, 0) : c + 16].mean()
            for r, c in zip(rows, columns, strict=True)
        ]
    )
    assert np.corrcoef(patches, picture)[0, 1] > 0.8


def test_the_chosen_spot_is_marked_and_values_colour_the_others(slide):
    values = np.linspace(-2, 2, len(slide.places))
    drawn = slide.draw(3, values)
    x, y = slide.places.round().astype(int).T
    low, high = drawn[y[0], x[0]].astype(int), drawn[y[-1], x[-1]].astype(int)
    assert high.sum() > low.sum() + 100
    red = (drawn == (230, 0, 0)).all(axis=2)
    ring = np.argwhere(red).mean(axis=0)[::-1]
    assert np.linalg.norm(ring - slide.places[3]) < 2
    assert not (slide.image == (230, 0, 0)).all(axis=2).any()


def test_without_a_thumbnail_spots_lie_on_white(small_section):
    bare = small_section.subset(small_section.barcodes)
    bare.adata.uns.clear()
    slide = SlideMap.of(bare)
    assert (slide.image == 255).all()
    assert slide.nearest(*slide.places[5]) == 5
