from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.collections import duplicates
from c2lst.data.collections.duplicates import (
    MAX_DISTANCE,
    CopyIndex,
    all_views,
    clusters,
    distance,
    perceptual_hash,
)

hashes = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40).map(
    lambda values: np.array(values, dtype=np.uint64) << np.uint64(1)
)


def dihedral(image: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(image, k) for k in range(4)]
    return [np.ascontiguousarray(x) for t in turned for x in (t, t[:, ::-1])]


@pytest.mark.parametrize("size", [32, 64, 100, 224])
def test_a_turned_or_mirrored_patch_has_the_same_hash(make_textures, size):
    for image in make_textures(5, size):
        found, blank = perceptual_hash(np.stack(dihedral(image)))
        # Where pixels are divided between the cells of the hash, rounding may turn one sign.
        assert distance(found, np.roll(found, 1)).max() <= (0 if size % 32 == 0 else 1)
        assert not blank.any()


def test_the_eight_views_of_a_hash_are_the_hashes_of_the_eight_views(make_textures):
    one = perceptual_hash(make_textures(1))[0]
    views = all_views(one)[:, 0]
    assert len(set(views.tolist())) == 8 and one[0] == views.min()
    for view in views:
        assert set(all_views(np.array([view]))[:, 0].tolist()) == set(views.tolist())


def test_a_reencoded_patch_stays_near_and_others_are_far(make_textures, encode_image):
    import io

    images = make_textures(60, 96)
    again = [
        np.asarray(Image.open(io.BytesIO(encode_image(dihedral(image)[i % 8], "JPEG", quality=90))))
        for i, image in enumerate(images)
    ]
    small = [np.asarray(Image.fromarray(image).resize((48, 48))) for image in images]
    first = perceptual_hash(images)[0]
    for copies in (again, small):
        assert distance(first, perceptual_hash(copies)[0]).max() <= MAX_DISTANCE
    apart = distance(first, np.roll(first, 1))
    assert apart.min() > 2 * MAX_DISTANCE


def test_blank_patches_are_told_apart_from_faint_ones(make_textures):
    rng = np.random.default_rng(0)
    noise = np.clip(240 + 5 * rng.standard_normal((3, 64, 64, 3)), 0, 255).astype(np.uint8)
    white = np.full((1, 64, 64, 3), 255, np.uint8)
    faint = (200 + make_textures(3) // 6).astype(np.uint8)
    assert (
        perceptual_hash(np.concatenate([noise, white, faint]))[1].tolist()
        == [True] * 4 + [False] * 3
    )


@given(hashes, st.integers(0, 2**63 - 1), st.integers(0, 7))
def test_the_distance_does_not_depend_on_how_either_lies(values, other, view):
    second = np.full(len(values), other << 1, dtype=np.uint64)
    apart = distance(values, second)
    assert np.array_equal(apart, distance(all_views(values)[view], second))
    assert np.array_equal(apart, distance(second, values))


@given(
    hashes,
    st.lists(
        st.tuples(st.integers(0, 39), st.integers(0, 7), st.sets(st.integers(1, 63), max_size=11)),
        max_size=20,
    ),
    st.sampled_from([0, 2, 3, 4, 6, 7, 8]),
    st.integers(1, 5),
)
def test_all_pairs_within_reach_are_found_and_no_others(values, changes, reach, parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_RECENT", 9)
        check_pairs(values, changes, reach, parts)


def check_pairs(values, changes, reach, parts):
    queries = [
        int(all_views(values[[row % len(values)]])[view, 0]) ^ sum(1 << bit for bit in bits)
        for row, view, bits in changes
    ]
    asked = np.array(queries, dtype=np.uint64)
    index = CopyIndex(reach)
    for part in np.array_split(values, parts):
        index.add(part)
    assert len(index) == len(values)
    apart = [distance(asked, np.full(len(asked), value)) for value in values]
    expected = {
        (row, number, int(d))
        for number, column in enumerate(apart)
        for row, d in enumerate(column)
        if d <= reach
    }
    assert set(zip(*(part.tolist() for part in index.find(asked)), strict=True)) == expected


def test_few_pairs_are_compared():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**63, 100_000, dtype=np.uint64) << np.uint64(1)
    index = CopyIndex()
    index.add(values)
    assert not len(index._recent)
    compared = sum(
        len(rows)
        for part in index._parts
        for rows, _ in part.candidates(all_views(values[:100]), index._changes)
    )
    assert compared < 100 * len(values) / 2000


def test_copies_of_copies_are_one_cluster(make_textures):
    one = perceptual_hash(make_textures(3))[0]
    chain = [one[0], one[0] ^ np.uint64(0b111100), one[0] ^ np.uint64(0b111111100), one[1]]
    found = clusters(np.array(chain, dtype=np.uint64))
    assert found[0] == found[1] == found[2] != found[3]


def test_copies_among_real_tiles_are_truly_copies(real_data):
    """LC25000: copies that are turned by other angles or zoomed are out of reach, by design."""
    folder = real_data / "lc25000"
    with (folder / "groups.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["class"] == "lung_scc"]
    images = [np.asarray(Image.open(folder / row["file"])) for row in rows]
    found = clusters(perceptual_hash(images)[0])
    truth = np.unique([row["group"] for row in rows], return_inverse=True)[1]

    def pairs(labels: np.ndarray) -> int:
        counts = np.bincount(labels)
        return int((counts * (counts - 1) // 2).sum())

    both = pairs(np.unique(np.stack([found, truth]), axis=1, return_inverse=True)[1])
    assert both > 20 and both >= 0.97 * pairs(found)
