import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.collections.sources import find_source
from c2lst.errors import InputError
from miniatures.patches import patch_bytes
from miniatures.spider import image_names, spider_metadata, write_spider, write_spider_tar
from miniatures.tars import tar_of

ENTRIES = spider_metadata()
CENTRAL, CONTEXT = image_names(ENTRIES)


def _facts(source):
    return {(p.name, p.slide, p.label, p.split, p.mpp, p.image) for p in source}


@pytest.fixture
def folder(tmp_path):
    return write_spider(tmp_path / "skin")


@pytest.mark.parametrize("context", [False, True])
def test_parts_and_the_extracted_folder_give_the_same_patches(tmp_path, folder, context):
    tars = write_spider_tar(tmp_path / "tars")
    extracted = _facts(find_source(folder, context=context))
    assert _facts(find_source(tars, context=context)) == extracted
    assert _facts(find_source(tars / "spider-skin.tar.01", context=context)) == extracted
    assert len(extracted) == len(CENTRAL) + context * len(CONTEXT)


def test_a_patch_knows_its_slide_class_and_split(folder):
    source = find_source(folder)
    patches = {patch.name: patch for patch in source}
    assert source.count == len(patches) == len(ENTRIES) and source.licence == "CC BY-NC 4.0"
    for entry in ENTRIES:
        patch = patches[f"{entry['slide_id']}/{entry['image_name']}"]
        assert (patch.slide, patch.label) == (entry["slide_id"], entry["class"])
        assert patch.split == {"train": "train", "test": "val"}[entry["split"]]
        assert patch.image == (folder / "images" / entry["image_name"]).read_bytes()
        assert patch.mpp == 0.5


def test_context_has_the_slide_and_no_class_and_comes_once(tmp_path, folder):
    for where in (folder, write_spider_tar(tmp_path / "tars")):
        source = find_source(where, context=True)
        patches = list(source)
        assert source.count is None
        assert len({patch.name for patch in patches}) == len(patches)
        for patch in patches:
            slide, _, image = patch.name.partition("/")
            assert slide == patch.slide == f"slide-{image[1]}"
            assert (patch.label is None) == (image in CONTEXT)


def test_the_order_is_always_the_same(tmp_path, folder):
    for where in (folder, write_spider_tar(tmp_path / "tars")):
        first, again = (find_source(where, context=True) for _ in range(2))
        assert [p.name for p in first] == [p.name for p in again]


def test_a_context_patch_that_is_not_there_is_a_gap(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="c2lst")
    gap = sorted(CONTEXT)[5]
    tars = write_spider_tar(tmp_path / "tars", without=(gap,))
    assert len(list(find_source(tars, context=True))) == len(CENTRAL) + len(CONTEXT) - 1
    assert "1 context patches are listed but not there" in caplog.text


def test_a_labelled_patch_that_is_not_there_is_an_error(tmp_path, folder):
    missing = ENTRIES[4]["image_name"]
    (folder / "images" / missing).unlink()
    for where in (folder, write_spider_tar(tmp_path / "tars", without=(missing,))):
        with pytest.raises(
            InputError, match=f"1 of 12 images .* missing, found no images/{missing}"
        ):
            list(find_source(where))


def test_a_missing_part_is_named_before_anything_is_read(tmp_path):
    tars = write_spider_tar(tmp_path / "tars")
    (tars / "spider-skin.tar.01").unlink()
    with pytest.raises(InputError, match="part 1 of the archive is missing"):
        find_source(tars)


def test_the_last_part_missing_is_found_too(tmp_path):
    tars = write_spider_tar(tmp_path / "tars")
    (tars / "spider-skin.tar.02").unlink()
    with pytest.raises(InputError, match="damaged or incomplete"):
        list(find_source(tars))


def test_two_organs_in_one_folder_are_asked_apart(tmp_path):
    for organ in ("skin", "breast"):
        write_spider_tar(tmp_path, organ=organ)
    with pytest.raises(InputError, match=r"several organs.*spider-breast.tar, spider-skin.tar"):
        find_source(tmp_path)
    assert find_source(tmp_path / "spider-skin.tar").count == len(CENTRAL)


def test_a_tar_of_another_name_is_known_by_its_content(tmp_path):
    write_spider_tar(tmp_path, parts=1)
    (tmp_path / "spider-skin.tar.00").rename(tmp_path / "renamed.tar")
    assert find_source(tmp_path / "renamed.tar").licence == "CC BY-NC 4.0"


def _set(key, value, entry=2):
    def change(entries):
        entries[entry][key] = value

    return change


def _drop(key):
    def change(entries):
        del entries[1][key]

    return change


BAD = {
    "no slide": (_drop("slide_id"), "entry 1: key 'slide_id' is missing, found class, context"),
    "no class": (_drop("class"), "entry 1: key 'class' is missing"),
    "slide is a list": (_set("slide_id", []), "entry 2: 'slide_id' is no name"),
    "empty class": (_set("class", " "), "entry 2: 'class' is no name"),
    "image outside": (_set("image_name", "../x.png"), "entry 2: 'image_name' is no file name"),
    "image number": (_set("image_name", 3), "entry 2: 'image_name' is no file name"),
    "unknown split": (_set("split", "fold-1"), "entry 2: unknown split, found 'fold-1'"),
    "context list": (_set("context_info", [1]), "entry 2: 'context_info' is no object"),
    "context place": (_set("context_info", {"left": "x.png"}), "no such place, found 'left'"),
    "slide in two splits": (_set("split", "test"), "slide 'slide-0' is in two splits"),
    "image twice": (_set("image_name", "s0_p0.png"), "lists an image twice"),
    "image of two slides": (_set("context_info", {"0_0": "s1_c10.png"}), "for two slides"),
}


@pytest.mark.parametrize("case", BAD)
def test_metadata_is_checked_key_by_key(tmp_path, case):
    change, problem = BAD[case]
    folder = write_spider(tmp_path / "skin")
    entries = spider_metadata()
    change(entries)
    (folder / "metadata.json").write_text(json.dumps(entries))
    with pytest.raises(InputError) as caught:
        list(find_source(folder, context=True))
    assert problem in str(caught.value) and "metadata.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"slide_id"', "[]", "null", "[{}{}]", "[" * 9])
def test_other_json_is_refused(folder, text):
    (folder / "metadata.json").write_text(text)
    with pytest.raises(InputError, match=r"metadata.json"):
        list(find_source(folder))


def test_unknown_keys_are_said_once(folder, caplog):
    entries = [{**entry, "stain": "H&E"} for entry in ENTRIES]
    (folder / "metadata.json").write_text(json.dumps(entries, indent=1))
    assert len(list(find_source(folder))) == len(CENTRAL)
    assert [r.message for r in caplog.records if "not read: stain" in r.message] != []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "slide_id": st.sampled_from(["a", "b"]) | JSON,
        "image_name": st.sampled_from(["x.png", "y.png"]) | JSON,
        "class": st.sampled_from(["fat"]) | JSON,
        "split": st.sampled_from(["train", "test"]) | JSON,
        "context_info": st.dictionaries(st.sampled_from(["0_0", "1_1", ""]), JSON) | JSON,
    },
)


@given(metadata=st.lists(ENTRY, max_size=4) | JSON, context=st.booleans())
def test_any_metadata_gives_patches_or_an_input_error(tmp_path_factory, metadata, context):
    folder = tmp_path_factory.mktemp("fuzz")
    files = {"images/x.png": patch_bytes(0), "metadata.json": json.dumps(metadata).encode()}
    path = tar_of(folder / "spider-a.tar", files)
    try:
        assert len(list(find_source(path, context=context))) == 1
    except InputError as error:
        assert "\n" not in str(error)


@given(noise=st.binary(max_size=400))
def test_any_bytes_as_metadata_give_an_input_error(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "images").mkdir()
    (folder / "metadata.json").write_bytes(noise)
    with pytest.raises(InputError, match=r"metadata.json"):
        list(find_source(folder))


def test_an_image_that_cannot_be_read_is_given_as_why(folder, monkeypatch):
    first = folder / "images" / ENTRIES[0]["image_name"]

    def read_bytes(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return path.open("rb").read()

    monkeypatch.setattr("pathlib.Path.read_bytes", read_bytes)
    images = [patch.image for patch in find_source(folder)]
    assert len(images) == len(ENTRIES)
    assert [str(image) for image in images if isinstance(image, InputError)] == [
        f"{first}: cannot be read, found Permission denied; check that you may read it, "
        "or leave it out with --skip-unreadable"
    ]
