from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.split import HELD_OUT_SCHEMES, SpotSplit
from c2lst.errors import InputError

PARTS = ("train", "val", "test", "buffer")


def _dense(section, factor):
    """The section with its spots ``factor`` times nearer to each other than they are."""
    adata = section.adata.copy()
    adata.obsm["spatial"] = adata.obsm["spatial"] / factor
    return dataclasses.replace(section, adata=adata)


@settings(max_examples=40)
@given(
    st.sampled_from(HELD_OUT_SCHEMES),
    st.floats(0.1, 0.9),
    st.integers(0, 10_000),
    st.floats(0, 0.5),
)
def test_every_spot_is_in_one_part_and_the_share_is_met(small_section, scheme, fraction, seed, val):
    split = SpotSplit.draw(small_section, fraction, scheme, seed, val)
    named = [barcode for part in PARTS for barcode in getattr(split, part)]
    assert sorted(named) == sorted(small_section.barcodes)
    sampled = len(named) - len(split.test)
    assert abs(sampled - fraction * len(named)) <= (1 if scheme != "blocks" else 5)
    order = {barcode: place for place, barcode in enumerate(small_section.barcodes)}
    for part in PARTS:
        places = [order[barcode] for barcode in getattr(split, part)]
        assert places == sorted(places)


@pytest.mark.parametrize("scheme", HELD_OUT_SCHEMES)
def test_the_seed_decides(small_section, scheme):
    draw = [SpotSplit.draw(small_section, 0.3, scheme, seed) for seed in (4, 4, 5)]
    assert draw[0] == draw[1]
    assert draw[0].train != draw[2].train


@pytest.mark.parametrize("scheme", ["buffered", "blocks"])
def test_no_training_patch_shares_a_pixel_with_a_test_patch(small_section, scheme):
    near = _dense(small_section, 1.8)  # pitch 111 µm, just below the patch width of 112 µm
    split = SpotSplit.draw(near, 0.6, scheme, seed=3)
    parts = split.of(near)
    centres = near.centres_um
    apart = np.abs(centres[parts == "train"][:, None] - centres[parts == "test"][None]).max(axis=2)
    assert split.buffer
    assert apart.min() >= near.patches.patch_um
    shared = np.abs(centres[parts == "buffer"][:, None] - centres[parts == "test"][None])
    assert (shared.max(axis=2).min(axis=1) < near.patches.patch_um).all()


def test_at_a_wide_pitch_nothing_is_set_aside(small_section):
    assert not SpotSplit.draw(small_section, 0.5, "buffered").buffer


def test_blocks_are_more_contiguous_than_single_spots(small_section):
    def torn(scheme):
        """Share of neighbouring pairs that fall into different parts, over seeds."""
        apart = np.abs(small_section.centres_um[:, None] - small_section.centres_um[None]).sum(-1)
        pairs = np.argwhere((apart > 0) & (apart < 250))
        shares = []
        for seed in range(10):
            parts = SpotSplit.draw(small_section, 0.5, scheme, seed).of(small_section)
            shares.append((parts[pairs[:, 0]] != parts[pairs[:, 1]]).mean())
        return np.mean(shares)

    assert torn("blocks") < 0.7 * torn("random")


def test_all_takes_every_spot_and_says_that_none_is_held_out(small_section, tmp_path):
    split = SpotSplit.draw(small_section, 0.25, "all", seed=3, val_fraction=0.25)
    assert split.fraction == 1
    assert set(split.train) | set(split.val) == set(small_section.barcodes)
    assert len(split.val) == len(small_section) / 4
    assert "test" not in split.of(small_section)
    with pytest.raises(InputError, match=r"has no test spots.*another scheme"):
        split.part(small_section, "test")
    split.save(tmp_path / "split.json")
    assert SpotSplit.load(tmp_path / "split.json") == split


@pytest.mark.parametrize(
    ("change", "words"), [({"fraction": 0.5}, "fraction"), ({"test": ("a", "b")}, "outside")]
)
def test_all_is_refused_where_a_spot_is_left_out(small_section, change, words):
    split = SpotSplit.draw(small_section, scheme="all")
    with pytest.raises(InputError, match=words):
        dataclasses.replace(split, **change)


def test_validation_spots_come_out_of_training(small_section):
    whole = SpotSplit.draw(small_section, 0.5, seed=2)
    part = SpotSplit.draw(small_section, 0.5, seed=2, val_fraction=0.2)
    assert set(part.train) | set(part.val) == set(whole.train)
    assert part.test == whole.test
    assert len(part.val) == pytest.approx(0.2 * len(whole.train), abs=1)


def test_training_gives_the_training_spots(small_section, small_split):
    train = small_split.training(small_section)
    assert tuple(train.barcodes) == small_split.train
    assert (small_split.of(small_section) == "train").sum() == len(train)
    assert tuple(small_split.part(small_section, "test").barcodes) == small_split.test


def test_a_split_survives_the_disk_exactly(small_section, tmp_path):
    split = SpotSplit.draw(small_section, 1 / 3, "blocks", 7, 0.1)
    split.save(tmp_path / "split.json")
    assert SpotSplit.load(tmp_path / "split.json") == split
    assert SpotSplit.load(tmp_path / "split.json").train_hash == split.train_hash


def test_the_hash_is_of_the_training_spots(small_section):
    a, b = (SpotSplit.draw(small_section, 0.3, seed=seed) for seed in (0, 1))
    assert a.train_hash != b.train_hash


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, np.nan, 0.01, 0.999])
def test_a_share_that_leaves_nothing_is_refused(small_section, fraction):
    with pytest.raises(InputError):
        SpotSplit.draw(small_section, fraction)


@pytest.mark.parametrize("val_fraction", [-0.1, 1.0, np.nan])
def test_a_validation_share_out_of_range_is_refused(small_section, val_fraction):
    with pytest.raises(InputError, match="val_fraction"):
        SpotSplit.draw(small_section, 0.5, val_fraction=val_fraction)


@pytest.mark.parametrize("scheme", ["random", "blocks", "all"])
def test_a_seed_below_zero_is_refused(small_section, scheme):
    with pytest.raises(InputError, match="seed, found -1, expected 0 or more"):
        SpotSplit.draw(small_section, 0.5, scheme, seed=-1)


def test_an_unknown_scheme_is_refused(small_section):
    with pytest.raises(InputError, match="scheme"):
        SpotSplit.draw(small_section, 0.5, "stripes")


def test_a_buffer_that_takes_everything_says_what_to_do(small_section):
    near = _dense(small_section, 20)
    with pytest.raises(InputError, match="blocks"):
        SpotSplit.draw(near, 0.25, "buffered")


def test_a_split_of_another_section_is_refused(small_section, small_split):
    other = small_section.subset(small_section.barcodes[::-1])
    for use in (small_split.check, small_split.of, small_split.training):
        with pytest.raises(InputError, match="does not belong"):
            use(other)


def _broken(value, change):
    value = json.loads(json.dumps(value))
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("train"), "train"),
        (lambda v: v.update(format=99), "format"),
        (lambda v: v.update(train="abc"), "no list"),
        (lambda v: v.update(train=[1, 2, 3]), "no list"),
        (lambda v: v["train"].append(v["test"][0]), "two parts"),
        (lambda v: v.update(test=[]), "too few test"),
        (lambda v: v.update(scheme="x"), "scheme"),
        (lambda v: v.update(fraction=2), "fraction"),
        (lambda v: v.update(fraction="0.25"), "'fraction' is no number, found '0.25'"),
        (lambda v: v.update(fraction=None), "'fraction' is no number"),
        (lambda v: v.update(fraction=True), "'fraction' is no number"),
        (lambda v: v.update(seed=1.5), "'seed' is no whole number"),
        (lambda v: v.update(scheme=["random"]), "'scheme' is no text"),
        (lambda v: v.update(section=3), "'section' is no text"),
        (lambda v: v.update(section_hash={}), "'section_hash' is no text"),
    ],
)
def test_a_damaged_split_file_is_refused_by_name(small_split, tmp_path, change, words):
    small_split.save(tmp_path / "split.json")
    value = json.loads((tmp_path / "split.json").read_text())
    (tmp_path / "split.json").write_text(json.dumps(_broken(value, change)))
    with pytest.raises(InputError, match=words) as caught:
        SpotSplit.load(tmp_path / "split.json")
    assert "split.json" in str(caught.value)


@pytest.mark.parametrize("shift", [0.0, 37.3])
def test_patches_side_by_side_share_no_pixel(small_section, shift):
    """Pseudo-spots as wide as their patches, in px that no width is a whole number of."""
    side = int(len(small_section) ** 0.5)
    column, row = np.divmod(np.arange(side**2), side)
    some = small_section.subset(small_section.barcodes[: side**2])
    centres_um = (np.column_stack([column, row]) + 0.5) * some.patches.patch_um
    adata = some.adata.copy()
    adata.obsm["spatial"] = centres_um / 0.2738 + shift
    near = dataclasses.replace(some, adata=adata, mpp=0.2738)
    assert SpotSplit.draw(near, 0.5, "buffered", seed=1).buffer == ()
