import numpy as np
import pytest

from c2lst.data.collections.sources import find_source
from c2lst.data.image import SlideImage
from c2lst.errors import InputError

GRID = {"patch_um": 100.0, "size": 24}


@pytest.fixture
def folder(tmp_path, stained_image):
    from PIL import Image

    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.fromarray(stained_image(600, 700, seed=len(name))).save(
            tmp_path / name / f"{name}.png"
        )
    return tmp_path


def test_one_slide_is_cut_on_its_tissue(folder):
    path = folder / "a/a.png"
    patches = list(find_source(path, mpp=2.0, **GRID))
    assert len(patches) > 30 and len({patch.name for patch in patches}) == len(patches)
    with SlideImage.open(path) as image:
        for patch in patches[::7]:
            slide, _, place = patch.name.partition("@")
            x, y = map(float, place.split(","))
            assert (slide, patch.slide, patch.mpp) == ("a", "a", 100 / 24)
            assert patch.image.shape == (24, 24, 3) and patch.image.dtype == np.uint8
            whole = image.read(int(x) - 25, int(y) - 25, 50, 50).mean(axis=(0, 1))
            assert np.abs(patch.image.mean(axis=(0, 1)) - whole).max() < 4


def test_a_smaller_stride_gives_more(folder):
    counts = [
        sum(1 for _ in find_source(folder / "a/a.png", mpp=2.0, stride_um=stride, **GRID))
        for stride in (100.0, 50.0)
    ]
    assert counts[1] > 3 * counts[0]


def test_a_folder_of_large_images_is_slides_in_the_order_of_their_paths(folder, monkeypatch):
    from c2lst.data.collections.sources import slides

    monkeypatch.setattr(slides, "_LARGEST_PATCH_PX", 500)
    names = [patch.slide for patch in find_source(folder, mpp=2.0, **GRID)]
    assert names == sorted(names) and set(names) == {"a", "b"}


def test_a_slide_without_a_resolution_asks_for_it(folder):
    with pytest.raises(InputError, match=r"a.png: does not state its µm/px; give --mpp"):
        list(find_source(folder / "a/a.png"))


def test_two_slides_of_one_name_are_refused(folder):
    for name in ("a", "b"):
        (folder / name / "same.svs").touch()
    with pytest.raises(InputError, match="has the name of another slide"):
        find_source(folder)


def test_a_dicom_series_is_one_slide(folder):
    from c2lst.data.collections.sources import slides

    for name in ("1.dcm", "2.dcm"):
        (folder / "a" / name).touch()
    assert slides._scanned(folder) == ["a/1.dcm"]


def test_an_empty_slide_is_said(tmp_path):
    from PIL import Image

    Image.new("RGB", (400, 400), "white").save(tmp_path / "blank.png")
    with pytest.raises(InputError, match="no tissue for patches of 100 µm"):
        list(find_source(tmp_path / "blank.png", mpp=2.0, **GRID))


def test_a_scanner_states_its_own_resolution(real_data):
    source = find_source(real_data / "slides", patch_um=112.0, size=32)
    patches = list(source)
    assert len(patches) > 20 and patches[0].slide == "cmu-1-small-region"
    assert patches[0].mpp == 3.5
