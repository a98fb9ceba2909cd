"""Leaks and mistakes of whole slides: each is planted by the public API, and refused or told."""

from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest
from PIL import Image

from c2lst.benchmark import BenchmarkSettings, leave_one_out, run_benchmark
from c2lst.data.collections.copies import Fingerprint, known_in
from c2lst.data.collections.duplicates import perceptual_hash
from c2lst.data.duplicates import PatchSketch
from c2lst.data.genes import ExpressionScaler, GenePanel
from c2lst.data.patches import Patches
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainReference
from c2lst.errors import InputError
from miniatures.hest import write_hest
from miniatures.legacy import stained, write_legacy_section
from toy_sections import toy_section

QUICK = BenchmarkSettings(genes=10, encoder="random", network="none")


def turned(section: Section, name: str, patient: str) -> Section:
    """The slide as another scanner sees it, turned and brighter, under another name."""
    images = (0.9 * np.rot90(section.patches[:], 1, axes=(1, 2)) + 15).astype(np.uint8)
    return dataclasses.replace(
        section, name=name, patches=Patches(images, 112.0), metadata={"patient": patient}
    )


# Duplicate slides or patients across central, local, train and test


def test_a_slide_under_two_names_is_not_on_both_sides(section, elsewhere, tmp_path):
    task = leave_one_out([section, elsewhere, turned(section, "C", "S")])
    with pytest.raises(InputError, match="one slide in training and in test"):
        run_benchmark(task, tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_a_patient_is_not_on_both_sides(section, elsewhere):
    sister = toy_section("C", 2, patient="P")
    for fold in leave_one_out([section, elsewhere, sister]).folds:
        assert {"A", "C"} <= set(fold.train) or {"A", "C"} <= set(fold.test)
    with pytest.raises(InputError, match="all of one patient"):
        leave_one_out([section, sister])


def test_a_central_collection_that_holds_the_slide_is_found_out(section, elsewhere, tmp_path):
    others = np.concatenate([toy_section(f"X{i}", 10 + i).patches[:] for i in range(3)])
    leaky = np.concatenate([others, turned(section, "C", "S").patches[:]])
    assert PatchSketch.of(others.__getitem__, len(others)).copies_in(section) == 0
    sketch = PatchSketch.of(leaky.__getitem__, len(leaky))
    assert sketch.copies_in(section) > 0.9 * len(section)
    assert sketch.copies_in(elsewhere) == 0


def test_a_collection_is_collected_without_the_patches_of_a_section(section, tmp_path):
    section.save(tmp_path / "held")
    hashes, _ = perceptual_hash(turned(section, "C", "S").patches[:])
    prints = [Fingerprint("00" * 32, int(value)) for value in hashes]
    originals = known_in(tmp_path / "held").originals(prints)
    assert sum(original is not None for original in originals) > 0.9 * len(section)


# Misaligned or off-tissue spots


@pytest.mark.parametrize(("move", "words"), [(450, "outside the image"), (0, "lie on tissue")])
def test_spots_that_miss_their_tissue_are_refused(tmp_path, move, words):
    folder = write_legacy_section(tmp_path)
    if move:
        path = folder / "S1_selection.tsv"
        head, *spots = path.read_text().splitlines()
        fields = [line.split("\t") for line in spots]
        moved = ["\t".join([*f[:4], str(float(f[4]) + move), *f[5:]]) for f in fields]
        path.write_text("\n".join([head, *moved]) + "\n")
    else:
        image = np.full((900, 1000, 3), 240, np.uint8)
        image[500:, 600:] = stained(400, 400)
        Image.fromarray(image).save(folder / "S1.png")
    with pytest.raises(InputError, match=words):
        read(folder, size=16)


# Wrong µm/px


@pytest.mark.parametrize(("error", "fits"), [(1.04, True), (1.06, False), (0.94, False)])
def test_a_wrong_scale_is_refused_beyond_five_per_cent(tmp_path, error, fits, caplog):
    write_hest(tmp_path, stated_mpp=error)
    if fits:
        assert read(tmp_path, size=32).mpp == error
        return
    with pytest.raises(InputError, match=r"µm/px.*disagree"):
        read(tmp_path, size=32)
    assert read(tmp_path, size=32, mpp=1.0).mpp == 1.0
    assert "as told" in caplog.text


# Stain fit failing on blank tiles


def test_blank_tiles_give_no_stain_and_no_nan(section, caplog):
    blank = np.full((9, 16, 16, 3), 243, np.uint8)
    found = StainReference.fit(blank)
    assert "stain not estimated" in caplog.text
    assert np.isfinite(found.matrix).all() and np.isfinite(found.max_concentrations).all()
    images = section.patches[:].copy()
    images[::2] = 243
    half = dataclasses.replace(section, patches=Patches(images, 112.0))
    split = SpotSplit.draw(half, scheme="all")
    normalised = Preprocessing.fit(half, split, n_genes=5, stain=StainReference.standard())
    assert np.abs(normalised.images(half)[::2].astype(int) - 243).max() <= 12


# Library-size normalisation of an all-zero spot


def test_an_empty_spot_is_dropped_with_a_message(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = write_legacy_section(tmp_path)
    with gzip.open(folder / "S1.tsv.gz", "rt") as file:
        head, first, *rest = file.read().splitlines()
    empty = "\t".join([first.split("\t")[0], *["0"] * (first.count("\t"))])
    with gzip.open(folder / "S1.tsv.gz", "wt") as file:
        file.write("\n".join([head, empty, *rest]) + "\n")
    section = read(folder, size=16)
    assert first.split("\t")[0] not in section.barcodes
    assert "dropped" in caplog.text


def test_an_empty_spot_that_came_through_is_refused_by_name(section):
    adata = section.adata.copy()
    counts = adata.X.toarray()
    counts[5] = 0
    adata.X = type(adata.X)(counts)
    empty = dataclasses.replace(section, adata=adata)
    panel = GenePanel.top_mean(empty, 5)
    with pytest.raises(InputError, match=f"no counts at all.*{section.barcodes[5]}"):
        ExpressionScaler.fit(empty, panel)
