import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.sheets import GAP, contact_sheet, write_png


@given(st.integers(1, 12), st.integers(1, 5))
def test_every_patch_is_on_the_sheet_once_and_whole(n, columns):
    patches = np.zeros((n, 3, 3, 3), dtype=np.uint8)
    patches[:] = np.arange(n)[:, None, None, None]
    sheet = contact_sheet(patches, columns)
    for number in range(n):
        assert (sheet[..., 0] == number).sum() == 9
    assert (sheet[:GAP] == 255).all() and (sheet[:, :GAP] == 255).all()


def test_a_sheet_survives_as_png(tmp_path):
    from PIL import Image

    sheet = contact_sheet(np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8))
    write_png(tmp_path / "a" / "sheet.png", sheet)
    with Image.open(tmp_path / "a" / "sheet.png") as image:
        np.testing.assert_array_equal(np.asarray(image), sheet)


def test_a_sheet_of_nothing_fails():
    with pytest.raises((IndexError, ZeroDivisionError)):
        contact_sheet(np.empty((0, 4, 4, 3), dtype=np.uint8))
