from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.genes import ExpressionScaler
from c2lst.data.patches import Patches
from c2lst.data.pooling import pool
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainReference, even_rows, reference
from c2lst.errors import InputError


@pytest.fixture
def fitted(small_section, small_split):
    return Preprocessing.fit(small_section, small_split, n_genes=12)


def _with_other_tests(section: Section, split: SpotSplit) -> tuple[Section, SpotSplit]:
    """Other counts and other images at every spot that is no training spot."""
    rng = np.random.default_rng(0)
    outside = split.of(section) != "train"
    adata = section.adata.copy()
    counts = adata.X.toarray()
    counts[outside] = rng.poisson(50, counts[outside].shape)
    adata.X = type(adata.X)(counts)
    images = np.array(section.patches.images)
    images[outside] = rng.integers(0, 256, images[outside].shape)
    changed = dataclasses.replace(
        section, adata=adata, patches=Patches(images, section.patches.patch_um)
    )
    return changed, dataclasses.replace(split, section_hash=changed.content_hash)


@pytest.mark.parametrize("val_fraction", [0.0, 0.3])
def test_nothing_is_learnt_outside_the_training_spots(small_section, val_fraction):
    split = SpotSplit.draw(small_section, 0.5, seed=5, val_fraction=val_fraction)
    before = Preprocessing.fit(small_section, split, n_genes=12)
    section, split = _with_other_tests(small_section, split)
    after = Preprocessing.fit(section, split, n_genes=12)
    assert after.panel == before.panel
    assert after.scaler.to_dict() == before.scaler.to_dict()
    assert after.source_stain.same_as(before.source_stain)
    assert after.stain.same_as(before.stain)


def test_other_training_spots_give_another_fit(small_section):
    a, b = (
        Preprocessing.fit(small_section, SpotSplit.draw(small_section, 0.3, seed=seed), n_genes=12)
        for seed in (0, 1)
    )
    assert a.hash != b.hash
    assert a.train_hash != b.train_hash


@given(st.integers(0, 20_000))
def test_a_stain_is_fitted_to_all_patches_or_to_an_even_choice(count):
    rows = even_rows(count)
    if count <= reference.MOST_PATCHES:
        assert np.array_equal(rows, np.arange(count))
    else:
        assert len(rows) == reference.MOST_PATCHES
        assert (rows[0], rows[-1]) == (0, count - 1)
        steps = np.diff(rows)
        assert steps.min() >= 1 and np.ptp(steps) <= 1


def test_of_many_patches_only_some_are_read_for_a_stain(small_section, small_split, monkeypatch):
    read = []

    class Counted:
        dtype = np.dtype(np.uint8)

        def __init__(self, images):
            self.images, self.shape = images, images.shape

        def subset(self, rows):
            return Counted(self.images[rows])

        def __getitem__(self, rows):
            read.append(len(rows))
            return self.images[rows]

    monkeypatch.setattr(reference, "MOST_PATCHES", 7)
    patches = Patches(Counted(small_section.patches[:]), small_section.patches.patch_um)
    section = dataclasses.replace(small_section, patches=patches)
    fitted = Preprocessing.fit(section, small_split, n_genes=12)
    fitted.for_section(section)
    pool([section], name="pooled")
    assert read == [7, 7, 7]


def test_without_a_target_images_stay_as_they_are(small_section, fitted):
    assert np.array_equal(fitted.images(small_section), small_section.patches[:])


def test_images_come_from_a_section_or_from_patches_alike(small_section, small_split):
    target = StainReference.standard()
    fitted = Preprocessing.fit(small_section, small_split, n_genes=12, stain=target)
    from_section = fitted.images(small_section)
    assert from_section.dtype == np.uint8
    assert np.array_equal(from_section, fitted.images(small_section.patches[:]))
    some = small_section.subset(small_section.barcodes[5:9])
    assert np.array_equal(fitted.images(some), from_section[5:9])
    assert not np.array_equal(from_section, small_section.patches[:])
    assert fitted.stain.same_as(target)


def test_expression_is_scaled_lognorm(small_section, small_split, fitted):
    lognorm, scaled = fitted.lognorm(small_section), fitted.expression(small_section)
    assert scaled.shape == (len(small_section), 12) and scaled.dtype == np.float32
    assert np.allclose(fitted.scaler.unscale(scaled), lognorm, atol=1e-5)
    train = fitted.expression(small_split.training(small_section))
    assert np.abs(train.mean(axis=0)).max() < 1e-4


def test_a_given_panel_is_taken(small_section, small_split):
    fitted = Preprocessing.fit(small_section, small_split, genes=["G3", "G1"])
    assert fitted.panel.genes == ("G3", "G1")
    with pytest.raises(InputError, match="NOPE"):
        Preprocessing.fit(small_section, small_split, genes=["NOPE"])


def test_it_survives_the_disk_exactly(small_section, small_split, tmp_path):
    fitted = Preprocessing.fit(
        small_section, small_split, n_genes=12, stain=StainReference.standard()
    )
    fitted.save(tmp_path / "p.json")
    loaded = Preprocessing.load(tmp_path / "p.json")
    assert loaded.hash == fitted.hash
    assert np.array_equal(loaded.expression(small_section), fitted.expression(small_section))
    assert np.array_equal(loaded.images(small_section), fitted.images(small_section))


def test_a_section_with_other_patches_is_refused(small_section, fitted):
    smaller = Patches(np.zeros((len(small_section), 16, 16, 3), np.uint8), 112.0)
    wider = Patches(np.array(small_section.patches.images), 150.0)
    for patches in (smaller, wider):
        section = dataclasses.replace(small_section, patches=patches)
        for use in (fitted.check, fitted.images):
            with pytest.raises(InputError, match="another size"):
                use(section)


def test_a_section_that_lacks_a_gene_is_refused(small_section, fitted):
    keep = small_section.genes != fitted.panel.genes[4]
    section = dataclasses.replace(small_section, adata=small_section.adata[:, keep].copy())
    for use in (fitted.check, fitted.expression):
        with pytest.raises(InputError, match=fitted.panel.genes[4]):
            use(section)


def test_another_section_brings_its_own_stain(small_section, small_split):
    target = StainReference.standard()
    fitted = Preprocessing.fit(small_section, small_split, n_genes=12, stain=target)
    darker = np.rint(255 * (np.array(small_section.patches.images) / 255) ** 1.5).astype(np.uint8)
    other = dataclasses.replace(small_section, patches=Patches(darker, 112.0))
    local = fitted.for_section(other)
    assert local.stain.same_as(target) and local.panel == fitted.panel
    assert not local.source_stain.same_as(fitted.source_stain)
    reference = fitted.images(small_section).astype(float)
    gap = np.abs(local.images(other) - reference).mean()
    assert gap < 0.6 * np.abs(fitted.images(other) - reference).mean()


def test_a_foreign_split_is_refused(small_section, small_split):
    other = small_section.subset(small_section.barcodes[:-1])
    with pytest.raises(InputError, match="does not belong"):
        Preprocessing.fit(other, small_split, n_genes=5)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("scaler"),
        lambda v: v.update(format=0),
        lambda v: v["genes"].pop(),
        lambda v: v["scaler"].pop("mean"),
        lambda v: v["scaler"].update(std=[0] * 12),
        lambda v: v["stain"].update(matrix=[[1, 0], [0, 1]]),
        lambda v: v.update(size="wide"),
        lambda v: v.update(genes=v["genes"][:-1] + v["genes"][:1]),
    ],
)
def test_a_damaged_file_is_refused_by_name(fitted, tmp_path, change):
    fitted.save(tmp_path / "p.json")
    value = json.loads((tmp_path / "p.json").read_text())
    change(value)
    (tmp_path / "p.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"p\.json"):
        Preprocessing.load(tmp_path / "p.json")


def test_the_scaler_type_is_kept(fitted):
    assert isinstance(fitted.scaler, ExpressionScaler)
    assert fitted.patch_um == 112.0 and fitted.size == 32
