from __future__ import annotations

import json
import shutil
import tracemalloc

import fsspec
import numpy as np
import pytest
from PIL import Image

from c2lst.data.collections import PatchCollection, StoredCollection, open_collection, writing
from c2lst.data.collections.collect import CollectSettings, collect
from c2lst.data.collections.shards import INDEX_DTYPE
from c2lst.errors import InputError


@pytest.fixture
def stored(tiles, tmp_path, monkeypatch):
    """The forty tiles in shards of a few tiles each."""
    monkeypatch.setattr(writing, "SHARD_BYTES", 20_000)
    monkeypatch.setattr("c2lst.data.collections.collect._AT_ONCE", 4)
    collect([tiles], tmp_path / "stored", CollectSettings(validation=0.25, mpp=0.5))
    return tmp_path / "stored"


def rows(stored, split="train"):
    return [row for batch in open_collection(stored, split=split).images.store.columns(
        ["name", "group", "split"], [split]) for row in batch.to_pylist()]  # fmt: skip


def test_rows_come_in_any_order_as_they_are(stored, tiles):
    collection = StoredCollection(stored, size=40)
    assert len(collection.store.shards("train")) > 2
    names = [row["name"] for row in rows(stored)]
    expected = np.stack([np.asarray(Image.open(tiles / name)) for name in names])
    assert np.array_equal(collection.fetch(np.arange(len(collection))), expected)
    wanted = np.random.default_rng(0).integers(0, len(collection), 60)
    assert np.array_equal(collection.fetch(wanted), expected[wanted])
    assert np.array_equal(collection[3], expected[3]) and np.array_equal(
        collection[-2:], expected[-2:]
    )
    assert collection.fetch(np.array([], int)).shape == (0, 40, 40, 3)
    with pytest.raises(IndexError):
        collection.fetch(np.array([len(collection)]))


def test_it_gives_what_the_folder_gives(stored, tiles):
    folder = PatchCollection.from_folder(tiles, size=16)
    collection = open_collection(stored, size=16)
    assert collection.names is None and collection.size == 16
    places = [folder.names.index(row["name"]) for row in rows(stored)]
    assert np.array_equal(collection.some(10_000), folder.fetch(np.array(places)))


def test_the_centre_is_cut_where_the_scale_is_known(stored, tiles):
    assert open_collection(stored).patch_um == 20.0
    collection = open_collection(stored, size=20, patch_um=10.0)
    assert collection.patch_um == 10.0
    pixels = np.asarray(Image.open(tiles / rows(stored)[0]["name"]))
    assert np.array_equal(collection.fetch(np.array([0]))[0], pixels[10:30, 10:30])
    with pytest.raises(InputError, match="smaller than a patch"):
        open_collection(stored, patch_um=50.0).fetch(np.array([0]))


def test_without_a_scale_patches_are_taken_whole(tiles, tmp_path):
    collect([tiles], tmp_path / "stored")
    assert open_collection(tmp_path / "stored", patch_um=10.0).patch_um is None
    assert open_collection(tmp_path / "stored", patch_um=10.0, mpp=0.5).patch_um == 10.0


def test_the_splits_share_no_patch(stored):
    train, validation = rows(stored), rows(stored, "validation")
    assert len(train) + len(validation) == 40 and validation
    assert not {r["group"] for r in train} & {r["group"] for r in validation}


def test_it_opens_from_a_url_by_reading_ranges(stored, monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.put(str(stored), "/bucket/stored", recursive=True)
    here, there = (
        open_collection(stored, size=24),
        open_collection("memory://bucket/stored", size=24),
    )
    whole = []
    monkeypatch.setattr(type(memory), "cat_file", lambda self, path, **range: whole.append(path))
    wanted = np.array([5, 0, 11])
    assert np.array_equal(here.fetch(wanted), there.fetch(wanted)) and not whole
    assert here.content_hash == there.content_hash
    assert there.describe()["patches"] == len(here)
    memory.rm("/bucket", recursive=True)


def test_the_hash_is_of_the_content_and_the_cut(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "elsewhere")
    one = open_collection(stored)
    assert one.content_hash == open_collection(tmp_path / "elsewhere").content_hash
    others = [open_collection(stored, size=8), open_collection(stored, split="validation")]
    assert len({one.content_hash, *(other.content_hash for other in others)}) == 3
    assert json.loads(json.dumps(one.describe()))["licence"] is None


def test_stored_patches_are_joined_and_changed_like_others(stored):
    collection = open_collection(stored, size=16)
    other = PatchCollection(np.zeros((2, 16, 16, 3), np.uint8), ("x", "y"), "array", 20.0)
    joined = PatchCollection.join([collection, other])
    assert len(joined) == len(collection) + 2 and joined.names is None
    assert np.array_equal(joined.fetch(np.array([1]))[0], collection.fetch(np.array([1]))[0])
    assert joined.content_hash != collection.content_hash


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "collection.json").write_text("{"), "no JSON"),
        (lambda f: (f / "collection.json").write_text("[]"), "another format"),
        (lambda f: (f / "collection.json").write_text('{"format": 1}'), "another format"),
        (lambda f: (f / "index" / "train.npy").unlink(), "index/train.npy"),
        (lambda f: (f / "index" / "train.npy").write_bytes(b"x"), "index/train.npy"),
        (lambda f: np.save(f / "index" / "train.npy", np.zeros(3, INDEX_DTYPE)), "not the index"),
        (lambda f: [p.unlink() for p in f.glob("data/train-00000*")], "train-00000"),
        (lambda f: [p.write_bytes(bytes(99)) for p in f.glob("data/train-00000*")], "train-00000"),
    ],
)
def test_what_is_damaged_is_said(stored, break_it, says):
    break_it(stored)
    with pytest.raises(InputError, match=says):
        open_collection(stored).fetch(np.array([0]))


def test_a_split_that_is_not_there_is_said(tiles, tmp_path):
    collect([tiles], tmp_path / "stored", CollectSettings(validation=0.0))
    with pytest.raises(InputError, match="no validation patches"):
        open_collection(tmp_path / "stored", split="validation")
    with pytest.raises(InputError, match="no validation patches"):
        open_collection(tiles, split="validation")
    with pytest.raises(InputError, match="cannot be"):
        open_collection("nosuchprotocol://bucket")


def synthetic(folder, patches, shards):
    """A manifest and an index of many patches, without their shards."""
    each = patches // shards
    named = [
        {"file": f"train-{i:05d}-of-{shards:05d}.parquet", "rows": each, "bytes": 0,
         "content_hash": f"{i:064x}"} for i in range(shards)
    ]  # fmt: skip
    manifest = {
        "format": 1, "patches": patches, "content_hash": "", "mpp": None, "patch_um": None,
        "splits": {"train": {"patches": patches, "shards": named}},
    }  # fmt: skip
    (folder / "index").mkdir(parents=True)
    (folder / "collection.json").write_text(json.dumps(manifest))
    header = np.lib.format.open_memmap(
        folder / "index" / "train.npy", mode="w+", dtype=INDEX_DTYPE, shape=(patches,)
    )  # sparse: nothing is written
    del header
    return folder


def allocated(folder):
    tracemalloc.start()
    collection = StoredCollection(folder)
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted = rng.integers(0, len(collection), 256)
        collection._index[wanted], np.searchsorted(collection._ends, wanted, side="right")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, collection


def test_ten_million_patches_cost_no_more_memory_than_ten_thousand(tmp_path):
    allocated(synthetic(tmp_path / "warm", 100, 1))
    small, _ = allocated(synthetic(tmp_path / "small", 10_000, 1000))
    large, collection = allocated(synthetic(tmp_path / "large", 10_000_000, 1000))
    assert len(collection) == 10_000_000
    assert isinstance(collection._index, np.memmap)
    assert large < 1.1 * small and large < 4e6
