from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from c2lst.data.duplicates import (
    LEAST_GENES,
    Duplicates,
    PatchSketch,
    count_hashes,
    find_duplicates,
)
from c2lst.data.patches import Patches
from c2lst.data.section import Section
from c2lst.errors import InputError

GENES = np.array([f"g{i}" for i in range(40)])


def changed(section: Section, name: str, *, counts=None, images=None) -> Section:
    adata = section.adata.copy()
    if counts is not None:
        adata.X = sparse.csr_matrix(counts.astype(np.float32))
    images = section.patches[:] if images is None else np.ascontiguousarray(images)
    patches = Patches(images, section.patches.patch_um)
    return dataclasses.replace(section, name=name, adata=adata, patches=patches)


def textures(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Patches of coarse structure, each its own."""
    waves = np.random.default_rng(seed).normal(0, 1, (count, 5, 5, 3))
    x = np.cos(np.pi * np.outer(np.arange(5), np.arange(size) + 0.5) / size)
    images = 150 + 25 * np.einsum("nijc,ix,jy->nxyc", waves, x, x)
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def slide(small_section) -> Section:
    return changed(small_section, "A", images=textures(len(small_section)))


def other_counts(section: Section) -> np.ndarray:
    return np.random.default_rng(7).poisson(9, section.counts.shape) + 1


def test_a_slide_scanned_again_is_known_by_its_patches_however_they_lie(slide):
    images = (0.8 * slide.patches[:] + 30).astype(np.uint8)  # another scanner's light
    images = np.stack([np.rot90(image, i % 4) for i, image in enumerate(images)])[::-1]
    again = changed(slide, "B", counts=other_counts(slide), images=images)
    (found,) = find_duplicates([slide, again])
    assert (found.first, found.second, found.counts) == ("A", "B", 0)
    assert found.patches > 0.9 * len(slide)
    assert found.same_slide


def test_a_slide_cut_at_other_places_is_known_by_its_counts(slide):
    rng = np.random.default_rng(1)
    again = changed(slide, "B", images=textures(len(slide), seed=5))
    genes = rng.permutation(len(slide.genes))
    again = dataclasses.replace(again, adata=again.adata[rng.permutation(len(slide)), genes].copy())
    (found,) = find_duplicates([slide, again])
    rich = (slide.counts.toarray() > 0).sum(axis=1) >= LEAST_GENES
    assert (found.patches, found.counts) == (0, rich.sum())
    assert found.same_slide


def test_slides_of_their_own_share_nothing(slide):
    images = textures(len(slide), seed=5)
    other = changed(slide, "B", counts=other_counts(slide), images=images)
    assert find_duplicates([slide, other]) == []
    assert find_duplicates([slide]) == []


def test_blank_patches_are_copies_of_nothing(slide):
    blank = np.full_like(slide.patches[:], 240)
    pair = [changed(slide, "A", images=blank)]
    pair.append(changed(slide, "B", counts=other_counts(slide), images=blank))
    assert find_duplicates(pair) == []


def test_patches_that_repeat_within_a_slide_count_each_and_cost_little(slide):
    same = np.repeat(textures(1), len(slide), axis=0)
    pair = [changed(slide, "A", images=same)]
    pair.append(changed(slide, "B", counts=other_counts(slide), images=same))
    (found,) = find_duplicates(pair)
    assert found.patches == len(slide)


@pytest.mark.parametrize(
    ("patches", "counts", "same"),
    [(0, 2, False), (0, 3, True), (4, 0, False), (5, 0, True), (2, 2, False)],
)
def test_a_few_alike_are_no_slide(patches, counts, same):
    assert Duplicates("A", "B", 100, patches, counts).same_slide == same


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.permutations(range(40)))
def test_no_order_of_genes_changes_a_hash_and_every_count_does(seed, order):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3, (5, 40))
    counts[:, :LEAST_GENES] += 1
    first = count_hashes(sparse.csr_matrix(counts), GENES)
    assert len(set(first.tolist())) == 5
    turned = count_hashes(sparse.csr_matrix(counts[:, order]), GENES[list(order)])
    assert np.array_equal(first, turned)
    counts[np.arange(5), rng.integers(0, 40, 5)] += 1
    assert not np.isin(count_hashes(sparse.csr_matrix(counts), GENES), first).any()


def test_poor_spots_have_no_hash():
    counts = np.zeros((2, 40))
    counts[0, : LEAST_GENES - 1] = 1
    counts[1, :LEAST_GENES] = 1
    assert len(count_hashes(sparse.csr_matrix(counts), GENES)) == 1


def test_a_sketch_knows_its_patches_again(slide, tmp_path):
    images = np.concatenate([textures(300, seed=9), slide.patches[:10]])
    sketch = PatchSketch.of(images.__getitem__, len(images))
    sketch.save(tmp_path / "sketch.safetensors")
    loaded = PatchSketch.load(tmp_path / "sketch.safetensors")
    assert np.array_equal(loaded.hashes, sketch.hashes)
    assert loaded.copies_in(slide) == 10
    few = PatchSketch.of(images.__getitem__, len(images), most=31)
    assert len(few.hashes) == 31


def test_what_is_no_sketch_is_refused(tmp_path):
    (tmp_path / "bad").write_bytes(b"nothing")
    for path in (tmp_path / "bad", tmp_path / "none"):
        with pytest.raises(InputError, match="no sketch"):
            PatchSketch.load(path)


def test_a_hundred_thousand_patches_are_compared_in_seconds():
    import time

    from c2lst.data.duplicates import _shared_patches

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 100_000).astype(np.uint64) << np.uint64(1)
    started = time.perf_counter()
    assert _shared_patches([hashes[:50_000], hashes[49_990:]]) == {(0, 1): 10}
    assert time.perf_counter() - started < 60
