from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from c2lst.data.collections import PatchCollection
from c2lst.data.patches import extract_patches
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Five tiles in nested folders, of one colour each."""
    names = ["b/2.png", "a.jpg", "b/c/3.TIF", "b/10.png", "z.jpeg"]
    for level, name in enumerate(names):
        path = tmp_path / "tiles" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (40 * level, 100, 200)).save(path)
    (tmp_path / "tiles" / "readme.txt").write_text("no image")
    return tmp_path / "tiles"


def test_images_are_found_in_subfolders_in_the_order_of_their_names(folder):
    collection = PatchCollection.from_folder(folder, size=16)
    assert collection.names == ("a.jpg", "b/10.png", "b/2.png", "b/c/3.TIF", "z.jpeg")
    assert len(collection) == 5 and collection.size == 16
    wanted = np.array([3, 0, 3])
    fetched = collection.fetch(wanted)
    assert fetched.shape == (3, 16, 16, 3) and fetched.dtype == np.uint8
    assert np.abs(fetched[:, 8, 8, 0].astype(int) - [80, 40, 80]).max() <= 2


def test_what_a_mac_leaves_beside_the_images_is_none_of_them(folder):
    for name in ("._a.jpg", "b/._2.png", ".DS_Store"):
        (folder / name).write_bytes(b"resource")
    assert len(PatchCollection.from_folder(folder, size=16)) == 5


def test_nothing_is_decoded_before_it_is_asked_for(folder):
    (folder / "b/2.png").write_bytes(b"broken")
    collection = PatchCollection.from_folder(folder, size=16)
    collection.fetch(np.array([0, 1, 3, 4]))
    with pytest.raises(InputError, match=r"2\.png"):
        collection.fetch(np.array([0, 2]))


def test_nothing_that_was_decoded_is_kept(folder):
    collection = PatchCollection.from_folder(folder, size=16)
    collection.fetch(np.arange(5))
    (folder / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"a\.jpg"):
        collection.fetch(np.array([0]))


def _tile(folder, size=100):
    """A tile whose red channel encodes x."""
    folder.mkdir()
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0] = np.arange(size)[None] * 2
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def test_with_a_known_scale_the_centre_is_cut(tmp_path):
    folder = _tile(tmp_path / "t")
    cut = PatchCollection.from_folder(folder, size=32, patch_um=25.0, mpp=0.5)
    pixels = cut.fetch(np.array([0]))[0, 16, :, 0].astype(float)
    assert cut.patch_um == 25.0
    assert pixels.mean() == pytest.approx(99, abs=1.5)
    assert np.ptp(pixels) == pytest.approx(100, abs=4)
    whole = PatchCollection.from_folder(folder, size=32, mpp=0.5)
    assert whole.patch_um == 50.0
    assert np.ptp(whole.fetch(np.array([0]))[0, 16, :, 0].astype(float)) > 185


def test_without_a_scale_the_whole_tile_is_taken_and_its_width_unknown(tmp_path):
    collection = PatchCollection.from_folder(_tile(tmp_path / "t"), size=32, patch_um=25.0)
    assert collection.patch_um is None
    assert np.ptp(collection.fetch(np.array([0]))[0, 16, :, 0].astype(float)) > 185


def test_a_tile_narrower_than_a_patch_is_refused(tmp_path):
    collection = PatchCollection.from_folder(_tile(tmp_path / "t"), size=32, patch_um=80.0, mpp=0.5)
    with pytest.raises(InputError, match=r"a\.png"):
        collection.fetch(np.array([0]))


@pytest.mark.parametrize("content", [None, {}, {"a.txt": "x"}])
def test_a_folder_without_images_is_refused(tmp_path, content):
    folder = tmp_path / "tiles"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(InputError, match="tiles"):
        PatchCollection.from_folder(folder)


def test_the_tissue_shares_no_pixel_with_a_test_patch(small_section):
    split = SpotSplit.draw(small_section, 0.5, "blocks", seed=0)
    collection = PatchCollection.from_section_tissue(small_section, split, size=16, stride_um=40.0)
    places = np.array([name.split("@")[1].split("x") for name in collection.names], float)
    test = small_section.centres_um[split.of(small_section) == "test"]
    apart = np.abs(places[:, None] * small_section.mpp - test[None]).max(axis=2)
    assert apart.min() >= 112.0 - small_section.mpp  # names are rounded to a pixel
    assert collection.patch_um == 112.0 and collection.size == 16
    again = extract_patches(small_section.open_image(), places, small_section.mpp, 112.0, 16)
    difference = np.abs(collection.fetch(np.arange(len(collection))).astype(int) - again)
    assert np.median(difference) <= 2


def test_wider_patches_keep_a_wider_distance(small_section):
    split = SpotSplit.draw(small_section, 0.7, "blocks", seed=0)
    collection = PatchCollection.from_section_tissue(
        small_section, split, patch_um=200.0, stride_um=40.0
    )
    places = np.array([name.split("@")[1].split("x") for name in collection.names], float)
    test = small_section.centres_um[split.of(small_section) == "test"]
    apart = np.abs(places[:, None] * small_section.mpp - test[None]).max(axis=2)
    assert apart.min() >= 156.0 - small_section.mpp


def test_the_number_of_patches_is_bounded(small_section):
    split = SpotSplit.draw(small_section, 0.7, "blocks", seed=0)
    collection = PatchCollection.from_section_tissue(
        small_section, split, size=8, stride_um=30.0, max_patches=7
    )
    assert len(collection) == 7 and len(set(collection.names)) == 7


def test_where_no_tissue_is_left_it_is_said(small_section, small_split):
    with pytest.raises(InputError, match="no tissue is left"):
        PatchCollection.from_section_tissue(small_section, small_split, patch_um=1500.0)


def test_collections_are_joined_in_order(folder):
    whole = PatchCollection.from_folder(folder, size=16)
    array = PatchCollection(np.full((2, 16, 16, 3), 7, np.uint8), ("x", "y"), "array")
    joined = PatchCollection.join([array, whole])
    assert len(joined) == 7 and joined.names[:3] == ("x", "y", "a.jpg")
    wanted = np.array([6, 1, 2])
    expected = np.stack([whole.fetch([4])[0], array.fetch([1])[0], whole.fetch([0])[0]])
    assert np.array_equal(joined.fetch(wanted), expected)
    assert PatchCollection.join([whole]) is whole
    with pytest.raises(InputError, match="differ in width"):
        PatchCollection.join([whole, PatchCollection.from_folder(folder, size=8)])
    with pytest.raises(InputError, match="none to join"):
        PatchCollection.join([])


def test_it_describes_itself_in_json(folder):
    about = PatchCollection.from_folder(folder, size=16).describe()
    assert about["patches"] == 5 and about["source"] == "tiles"
    assert json.loads(json.dumps(about)) == about


def test_the_hash_is_of_the_content(folder):
    a = PatchCollection(np.zeros((1, 8, 8, 3), np.uint8), ("x",), "here")
    b = PatchCollection(np.ones((1, 8, 8, 3), np.uint8), ("x",), "here")
    assert len({a.content_hash, b.content_hash}) == 2
    files = PatchCollection.from_folder(folder, size=16)
    assert files.content_hash == PatchCollection.from_folder(folder, size=16).content_hash
    assert files.content_hash != PatchCollection.from_folder(folder, size=8).content_hash


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), ()),
        (np.zeros((2, 8, 8, 3), np.uint8), ("a",)),
        (np.zeros((1, 8, 9, 3), np.uint8), ("a",)),
    ],
)
def test_what_is_no_collection_is_refused(images, names):
    with pytest.raises(InputError):
        PatchCollection(images, names, "here")
