from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.collections import shards
from c2lst.data.collections.shards import INDEX_DTYPE, Row, ShardWriter, join_indices


def row(number: int, image: bytes, mpp: float | None = 0.5) -> Row:
    return Row(image, f"p{number}", "here", None, "g", None, mpp, "train", "0" * 64, None)


@settings(max_examples=30)
@given(images=st.lists(st.binary(max_size=300), min_size=1, max_size=40))
def test_the_index_says_where_each_image_lies(tmp_path_factory, images):
    # Images that are equal, empty, or parts of each other are the hard ones.
    path = tmp_path_factory.mktemp("shard") / "train-00000.parquet"
    writer = ShardWriter(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROWS_AT_ONCE", 7)
        for number, image in enumerate(images):
            writer.add(row(number, image))
        shard = writer.close()
    content = path.read_bytes()
    index = np.load(path.with_suffix(".npy"))
    assert index.dtype == INDEX_DTYPE and shard.rows == len(index) == len(images)
    assert [content[o : o + n] for o, n, _ in index.tolist()] == images
    table = pq.read_table(path).to_pylist()
    assert [found["image"]["bytes"] for found in table] == images
    assert shard.bytes == len(content)


def test_what_is_not_known_is_null_and_scales_are_kept(tmp_path):
    writer = ShardWriter(tmp_path / "train-00000.parquet")
    writer.add(row(0, b"\xff\xd8\xffx", mpp=None))
    writer.add(row(1, b"\xff\xd8\xffx", mpp=0.25))
    writer.close()
    table = pq.read_table(tmp_path / "train-00000.parquet").to_pylist()
    assert table[0]["mpp"] is None and table[1]["mpp"] == 0.25
    assert table[0]["slide"] is None and table[0]["phash"] is None
    assert table[0]["image"]["path"] == "p0.jpg"
    scales = np.load(tmp_path / "train-00000.npy")["mpp"]
    assert np.isnan(scales[0]) and scales[1] == 0.25


def test_indices_are_joined_in_order(tmp_path):
    parts = []
    for number in range(3):
        part = np.zeros(number + 1, INDEX_DTYPE)
        part["offset"] = 10 * number + np.arange(number + 1)
        np.save(tmp_path / f"{number}.npy", part)
        parts.append(tmp_path / f"{number}.npy")
    join_indices(parts, tmp_path / "index" / "train.npy")
    joined = np.load(tmp_path / "index" / "train.npy", mmap_mode="r")
    assert joined["offset"].tolist() == [0, 10, 11, 20, 21, 22]
