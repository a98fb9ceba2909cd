from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.patches import Patches
from c2lst.data.pooling import APART_UM, pool
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainNormaliser, StainReference
from c2lst.errors import InputError

TINTED = StainReference(
    np.array([[0.55, 0.75, 0.37], [0.15, 0.90, 0.41]])
    / np.linalg.norm([[0.55, 0.75, 0.37], [0.15, 0.90, 0.41]], axis=1, keepdims=True),
    np.array([1.2, 1.3]),
    None,
)


def named(section: Section, name: str, **changes) -> Section:
    return dataclasses.replace(section, name=name, **changes)


@pytest.fixture(scope="module")
def pair(small_section) -> tuple[Section, Section]:
    """A section, and another of other tint, another resolution and another set of genes."""
    own = StainReference.fit(small_section.patches[:])
    images = StainNormaliser(own, TINTED).apply(small_section.patches[:])
    adata = small_section.adata[:50, 5:].copy()
    adata.obsm["spatial"] = adata.obsm["spatial"] / 2
    other = named(
        small_section,
        "B",
        adata=adata,
        mpp=small_section.mpp * 2,
        patches=Patches(images[:50], small_section.patches.patch_um),
        metadata={"patient": "P2"},
    )
    return small_section, other


def test_a_pool_holds_every_spot_with_its_counts_and_its_origin(pair):
    a, b = pair
    pooled = pool(pair)
    assert len(pooled) == len(a) + len(b)
    assert pooled.barcodes[0] == f"{a.name}/{a.barcodes[0]}"
    assert pooled.genes.tolist() == a.genes[5:].tolist()
    assert np.array_equal(pooled.counts[len(a) :].toarray(), b.counts.toarray())
    assert pooled.adata.obs["section"].tolist() == [a.name] * len(a) + ["B"] * len(b)
    assert pooled.adata.obs["patient"].tolist() == [""] * len(a) + ["P2"] * len(b)


def test_distances_hold_within_a_section_and_nothing_is_near_across(pair):
    a, b = pair
    centres = pool(pair).centres_um
    for own, section in ((centres[: len(a)], a), (centres[len(a) :], b)):
        assert np.allclose(own - own[0], section.centres_um - section.centres_um[0])
    apart = np.linalg.norm(centres[: len(a), None] - centres[None, len(a) :], axis=-1)
    assert apart.min() >= APART_UM


def test_patches_get_one_stain(pair):
    a, b = pair
    pooled = pool(pair)
    target = StainReference.fit(a.patches[:])
    assert np.array_equal(pooled.patches[: len(a)], a.patches[:])
    found = StainReference.fit(pooled.patches[len(a) :])
    before = StainReference.fit(b.patches[:])
    assert np.abs(found.matrix - target.matrix).max() < 0.02
    assert np.abs(before.matrix - target.matrix).max() > 0.05
    assert np.array_equal(pool(pair, normalise=False).patches[len(a) :], b.patches[:])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 121), min_size=1, max_size=30))
def test_patches_are_the_same_however_they_are_asked_for(pair, wanted):
    pooled = pool(pair).patches
    rows = np.array(wanted)
    together = pooled[rows]
    assert all(
        np.array_equal(pooled[int(row)], image) for row, image in zip(rows, together, strict=True)
    )
    assert np.array_equal(pooled.subset(rows)[:], together)


def test_a_pool_is_a_section_for_all_that_learns(pair, tmp_path):
    pooled = pool(pair)
    split = SpotSplit.draw(pooled, scheme="all")
    fitted = Preprocessing.fit(pooled, split, n_genes=12)
    assert np.array_equal(fitted.images(pooled), pooled.patches[:])
    elsewhere = fitted.for_section(pair[1])
    assert np.abs(elsewhere.images(pair[1]).astype(int) - pooled.patches[72:]).mean() < 2
    pooled.save(tmp_path / "pool")
    assert Section.load(tmp_path / "pool").content_hash == pooled.content_hash
    with pytest.raises(InputError):
        pooled.open_image()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: named(s, s.name), "given twice"),
        (lambda s: named(s, "B", patches=Patches(s.patches[:], 100.0)), "another width"),
        (
            lambda s: named(s, "B", patches=Patches(s.patches[:][:, :16, :16], 112.0)),
            "another width",
        ),
    ],
)
def test_sections_that_do_not_belong_together_are_refused(small_section, change, words):
    with pytest.raises(InputError, match=words):
        pool([small_section, change(small_section)])


def test_sections_without_a_common_gene_are_refused(small_section):
    adata = small_section.adata.copy()
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    with pytest.raises(InputError, match="no gene in common"):
        pool([small_section, named(small_section, "B", adata=adata)])
    with pytest.raises(InputError, match="no section"):
        pool([])
