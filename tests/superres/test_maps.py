"""Maps: what is checked, pooled, saved and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.superres.maps import SuperresMaps, joined


def test_pooling_to_a_coarser_scale_keeps_counts_and_spots(maps):
    fine = SuperresMaps(maps.genes, 20.0, 200.0, maps.samples)
    coarse = fine.at_scale(5)
    assert coarse.bin_um == 40.0 and coarse.scale == 5
    for before, after in zip(fine.samples, coarse.samples, strict=True):
        np.testing.assert_allclose(after.counts.sum(), before.counts.sum())
        np.testing.assert_array_equal(coarse.spots(after), fine.spots(before))
        assert after.image_px == 2 * before.image_px
        np.testing.assert_allclose(after.expected.sum(), before.expected.sum(), rtol=1e-4)


def test_a_scale_that_no_bins_make_is_refused(maps):
    with pytest.raises(InputError, match="cannot be pooled to scale 3"):
        maps.at_scale(3)


def test_saved_maps_are_read_as_they_were(maps, tmp_path):
    maps.save(tmp_path / "maps")
    again = SuperresMaps.load(tmp_path / "maps")
    assert (again.genes, again.bin_um, again.lr_um) == (maps.genes, maps.bin_um, maps.lr_um)
    for before, after in zip(maps.samples, again.samples, strict=True):
        for name in ("counts", "image", "tissue", "expected"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_a_changed_file_is_refused(maps, tmp_path):
    maps.save(tmp_path / "maps")
    (tmp_path / "maps/S01.safetensors").write_bytes(
        (tmp_path / "maps/S02.safetensors").read_bytes()
    )
    with pytest.raises(InputError, match="not the file that was written"):
        SuperresMaps.load(tmp_path / "maps")


@pytest.mark.parametrize(
    ("key", "value"),
    [("bin_um", "wide"), ("lr_um", -1), ("genes", 5), ("samples", ["S01"]), ("samples", [{}])],
)
def test_json_that_says_something_else_is_refused(maps, tmp_path, key, value):
    maps.of(["P01"]).save(tmp_path)
    about = json.loads((tmp_path / "maps.json").read_text())
    (tmp_path / "maps.json").write_text(json.dumps(about | {key: value}))
    with pytest.raises(InputError, match=f"'{key}'"):
        SuperresMaps.load(tmp_path)


def test_other_files_are_not_replaced(maps, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not replaced, found notes\.txt"):
        maps.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_maps_are_made_anew_but_not_over_what_lies_beside_them(maps, tmp_path):
    maps.save(tmp_path / "maps")
    maps.of(["P01"]).save(tmp_path / "maps")
    assert SuperresMaps.load(tmp_path / "maps").patients == ("P01",)
    (tmp_path / "maps/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not replaced, found notes\.txt"):
        maps.save(tmp_path / "maps")
    assert (tmp_path / "maps/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": lambda s: s.image[:-3]}, "image and map do not match"),
        ({"counts": lambda s: -s.counts - 1}, "negative or not finite"),
        ({"tissue": lambda s: s.tissue[1:]}, "tissue and map differ"),
        ({"expected": lambda s: s.expected[:, 1:]}, "another shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(maps, change, message):
    sample = maps.samples[0]
    with pytest.raises(InputError, match=message):
        replace(sample, **{name: make(sample) for name, make in change.items()})


def test_bins_that_fill_no_spot_are_refused(maps):
    with pytest.raises(InputError, match="no whole number of bins"):
        replace(maps, lr_um=110.0)


def test_genes_are_chosen_by_name_and_unknown_ones_refused(maps):
    swapped = maps.in_order(maps.genes[::-1])
    np.testing.assert_array_equal(swapped.samples[0].counts[0], maps.samples[0].counts[-1])
    with pytest.raises(InputError, match="1 of 2 genes are unknown"):
        maps.in_order([maps.genes[0], "NOPE"])


def test_joined_maps_have_the_genes_that_all_have(maps):
    first, other = maps.of(["P01"]), maps.of(["P02"]).in_order(maps.genes[:0:-1])
    both = joined([first, other])
    assert both.genes == maps.genes[1:] and both.patients == ("P01", "P02")
    np.testing.assert_array_equal(both.samples[1].counts[0], maps.samples[1].counts[1])
    with pytest.raises(InputError, match="differ in lr_um"):
        joined([first, replace(other, lr_um=200.0)])
    with pytest.raises(InputError, match="share no gene"):
        joined([first, replace(other, genes=("X", "Y", "Z"))])


def test_joined_maps_name_all_that_they_come_from(maps):
    kinds = ("Xenium transcripts", "Visium HD bins", "Xenium transcripts")
    parts = [
        replace(maps.of([patient]), source={"kind": kind, "seed": number})
        for number, (patient, kind) in enumerate(zip(maps.patients, kinds, strict=True))
    ]
    source = joined(parts).source
    assert source["kind"] == "Xenium transcripts; Visium HD bins"
    assert [part["seed"] for part in source["parts"]] == [0, 1, 2]
    assert joined([maps.of(["P01"]), maps.of(["P02"])]).source == maps.source
