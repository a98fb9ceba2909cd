import zipfile

import numpy as np
import pytest
from PIL import Image

from c2lst.data.collections.sources import find_source
from c2lst.data.image import decode_rgb
from c2lst.errors import InputError
from miniatures.patches import patch_bytes

LAYOUT = {
    "top.png": (None, None),
    "fat/b.png": (None, "fat"),
    "fat/a.PNG": (None, "fat"),
    "lung/fat/a.png": (None, "fat"),
    "train/mucus/a.png": ("train", "mucus"),
    "test/mucus/a.png": ("val", "mucus"),
    "val/a.png": ("val", None),
}


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(LAYOUT):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(patch_bytes(seed))
    for other in ("notes.txt", ".hidden.png", "fat/Thumbs.db"):
        (tmp_path / "set" / other).write_bytes(b"x")
    return tmp_path / "set"


def test_every_image_is_given_as_it_is(folder):
    source = find_source(folder, mpp=0.5)
    patches = {patch.name: patch for patch in source}
    assert source.count == len(patches) and patches.keys() == LAYOUT.keys()
    for name, (split, label) in LAYOUT.items():
        patch = patches[name]
        assert (patch.split, patch.label, patch.mpp) == (split, label, 0.5)
        assert patch.image == (folder / name).read_bytes()


def test_the_order_is_sorted_by_folder_and_always_the_same(folder):
    source = find_source(folder)
    names = [patch.name for patch in source]
    assert names == [patch.name for patch in source]
    assert names[:2] == ["fat/a.PNG", "fat/b.png"]


def test_a_zip_gives_what_its_folder_gives(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as bundle:
        for path in sorted(folder.rglob("*.*")):
            bundle.write(path, path.relative_to(folder))
        bundle.writestr("__MACOSX/fat/._a.png", b"resource")
    zipped = {(p.name, p.label, p.split, p.image) for p in find_source(tmp_path / "set.zip")}
    assert zipped == {(p.name, p.label, p.split, p.image) for p in find_source(folder)}


def test_a_tiff_is_decoded(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    (patch,) = find_source(tmp_path)
    assert np.array_equal(patch.image, decode_rgb(tmp_path / "a.tif"))


def test_an_empty_file_comes_as_it_is_for_collect_to_name_or_skip(folder):
    (folder / "fat/b.png").write_bytes(b"")
    assert b"" in [patch.image for patch in find_source(folder)]


def test_a_zip_without_images_is_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as bundle:
        bundle.writestr("a.txt", "x")
    with pytest.raises(InputError, match=r"set.zip: holds no images"):
        list(find_source(tmp_path / "set.zip"))


def test_real_tiles_know_their_class(real_data):
    source = find_source(real_data / "lc25000")
    first = next(iter(source))
    assert source.count == 3555 and first.label == "colon_aca"
    assert first.image == (real_data / "lc25000" / first.name).read_bytes()


def test_what_cannot_be_read_is_given_as_why_and_the_rest_comes(folder):
    (folder / "fat/aa.tif").write_bytes(b"II*\0broken")
    (folder / "fat/gone.png").symlink_to(folder / "nowhere")
    patches = {patch.name: patch.image for patch in find_source(folder)}
    assert patches.keys() == {*LAYOUT, "fat/aa.tif", "fat/gone.png"}
    why = [name for name, image in patches.items() if isinstance(image, InputError)]
    assert sorted(why) == ["fat/aa.tif", "fat/gone.png"]


def test_a_zip_of_tiffs_gives_what_its_folder_gives(tmp_path):
    (tmp_path / "set/fat").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "set/fat/a.tif")
    (tmp_path / "set/fat/b.tif").write_bytes(b"no image")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as bundle:
        for name in ("fat/a.tif", "fat/b.tif"):
            bundle.write(tmp_path / "set" / name, name)
    for where in ("set", "set.zip"):
        sound, damaged = find_source(tmp_path / where)
        assert (sound.name, sound.label) == ("fat/a.tif", "fat")
        assert np.array_equal(sound.image, pixels)
        assert isinstance(damaged.image, InputError) and "b.tif" in str(damaged.image)
