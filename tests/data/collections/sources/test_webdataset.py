import json

import pytest

from c2lst.data.collections.sources import find_source
from c2lst.errors import InputError
from miniatures.patches import patch_bytes
from miniatures.tars import tar_of
from miniatures.webdataset import write_shards


@pytest.fixture
def shards(tmp_path):
    return write_shards(tmp_path / "shards", shards=3)


@pytest.mark.parametrize("pattern", ["", "patches-{000..002}.tar", "patches-*.tar"])
def test_shards_are_named_in_several_ways(shards, pattern):
    patches = list(find_source(shards / pattern if pattern else shards))
    assert [patch.name for patch in patches[:4]] == [
        *("patches-000/00000", "patches-000/00001", "patches-000/00002", "patches-001/10000"),
    ]
    assert len(patches) == 9 and patches[4].image == patch_bytes(4, kind="JPEG")


def test_fields_come_from_json_and_cls(shards):
    first, second = list(find_source(shards / "patches-000.tar", mpp=0.25))[:2]
    assert (first.slide, first.label, first.mpp) == ("slide-0", "stroma", 0.5)
    assert (second.slide, second.label, second.mpp) == (None, "3", 0.25)


def test_a_missing_shard_of_a_range_is_named(shards):
    (shards / "patches-001.tar").unlink()
    with pytest.raises(InputError, match=r"patches-001.tar: no such archive"):
        find_source(shards / "patches-{000..002}.tar")


def test_a_tar_beside_its_extracted_images_is_not_read_again(shards):
    (shards / "fat").mkdir()
    (shards / "fat/a.png").write_bytes(patch_bytes(0))
    assert [patch.name for patch in find_source(shards)] == ["fat/a.png"]


IMAGE = patch_bytes(0)
BAD = {
    "no image": ({"a.json": b"{}"}, "holds no images"),
    "two images": ({"a.jpg": IMAGE, "a.png": IMAGE}, "has several images, found jpg, png"),
    "apart": ({"a.jpg": IMAGE, "b.jpg": IMAGE, "a.json": b"{}"}, "do not follow each other"),
    "json text": ({"a.jpg": IMAGE, "a.json": b"{"}, ".json is not readable"),
    "json list": ({"a.jpg": IMAGE, "a.json": b"[]"}, ".json is no record, found list"),
    "mpp": ({"a.jpg": IMAGE, "a.json": b'{"mpp": -1}'}, "mpp is no width, found -1"),
    "slide": ({"a.jpg": IMAGE, "a.json": b'{"slide": {}}'}, "'slide' is no text or number"),
    "split": ({"a.jpg": IMAGE, "a.json": b'{"split": "x"}'}, "unknown split, found 'x'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sample_is_named(tmp_path, case):
    files, problem = BAD[case]
    tar_of(tmp_path / "s.tar", files)
    with pytest.raises(InputError) as caught:
        list(find_source(tmp_path / "s.tar"))
    assert problem in str(caught.value) and "s.tar" in str(caught.value)


def test_keys_in_folders_stay_apart(tmp_path):
    files = {f"{folder}/a.{kind}": b"{}" if kind == "json" else IMAGE
             for folder in "xy" for kind in ("png", "json")}  # fmt: skip
    tar_of(tmp_path / "s.tar", files)
    assert [patch.name for patch in find_source(tmp_path / "s.tar")] == ["s/x/a", "s/y/a"]


def test_json_wins_over_text_beside_it(tmp_path):
    files = {"a.png": IMAGE, "a.txt": b"a caption", "a.json": json.dumps({"class": "fat"}).encode()}
    tar_of(tmp_path / "s.tar", files)
    assert next(iter(find_source(tmp_path / "s.tar"))).label == "fat"
