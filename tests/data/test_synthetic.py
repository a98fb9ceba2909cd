from __future__ import annotations

import dataclasses
import json

import anndata
import h5py
import numpy as np
import pytest

from c2lst.data.section import Section
from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError

M, G = 12, 5


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return SyntheticPairs(
        images=rng.integers(0, 256, (M, 16, 16, 3)).astype(np.uint8),
        scaled=rng.normal(size=(M, G)),
        lognorm=rng.uniform(0, 5, (M, G)),
        source_barcodes=np.repeat(["1x1", "1x2", "2x1"], 4),
        seeds=np.arange(M) + 2**40,
        guidance_scale=3.0,
        sampler="ddim-50",
        provenance={"adapter": "abc", "settings": {"policy": "real"}},
        genes=tuple("ABCDE"),
        patch_um=112.0,
        counts=rng.uniform(0, 40, (M, G)),
    )


def _equal(a, b):
    for field in ("images", "source_barcodes", "seeds"):
        assert np.array_equal(getattr(a, field), getattr(b, field)), field
    for field in ("scaled", "lognorm", "counts"):
        one, other = getattr(a, field), getattr(b, field)
        assert one is other or np.array_equal(one, other, equal_nan=True), field
    assert (a.guidance_scale, a.sampler, a.genes, a.patch_um) == (
        b.guidance_scale, b.sampler, b.genes, b.patch_um,
    )  # fmt: skip
    assert a.provenance == b.provenance


def test_pairs_survive_the_disk(pairs, tmp_path):
    pairs.save(tmp_path / "out", "C3")
    _equal(SyntheticPairs.load(tmp_path / "out"), pairs)
    _equal(SyntheticPairs.load(tmp_path / "out", "C3"), pairs)


def test_the_layout_is_that_of_hest_without_invented_places(pairs, tmp_path):
    pairs.save(tmp_path / "out", "C3")
    with h5py.File(tmp_path / "out/patches/C3_synthetic.h5") as file:
        assert set(file) == {"img", "barcode"}
        assert file["img"].attrs["pixel_size"] * 16 == pytest.approx(112.0)
        rows = [value.decode() for value in file["barcode"][:, 0]]
    adata = anndata.read_h5ad(tmp_path / "out/st/C3_synthetic.h5ad")
    assert adata.obs_names.tolist() == rows
    assert len(set(rows)) == M
    assert {"source_barcode", "seed", "guidance_scale", "sampler"} <= set(adata.obs)
    assert "spatial" not in adata.obsm and "spatial" not in adata.uns
    assert adata.var_names.tolist() == list("ABCDE")
    assert adata.obs["seed"].tolist() == pairs.seeds.tolist()


def test_the_contract_needs_neither_genes_nor_width(tmp_path):
    pairs = SyntheticPairs(
        np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 3)), np.zeros((2, 3)),
        np.array(["a", "b"]), np.array([1, 2]), 1.0, "paper", {"genes": ["x", "y", "z"]},
    )  # fmt: skip
    assert pairs.genes == ("x", "y", "z") and pairs.patch_um is None
    pairs.save(tmp_path / "out", "S")
    _equal(SyntheticPairs.load(tmp_path / "out"), pairs)


def test_genes_that_were_not_measured_survive_the_disk(pairs, tmp_path):
    unknown = {name: getattr(pairs, name).copy() for name in ("scaled", "lognorm", "counts")}
    for values in unknown.values():
        values[3:5, 2] = np.nan
    some = dataclasses.replace(pairs, **unknown)
    some.save(tmp_path / "out", "C3")
    _equal(SyntheticPairs.load(tmp_path / "out"), some)


def test_expression_is_written_in_three_forms(pairs, tmp_path):
    pairs.save(tmp_path / "out", "C3")
    adata = anndata.read_h5ad(tmp_path / "out/st/C3_synthetic.h5ad")
    forms = {"lognorm": adata.X, "scaled": adata.layers["scaled"], "counts": adata.layers["counts"]}
    for form, found in forms.items():
        assert np.array_equal(found, getattr(pairs, form)), form


class _OnDisk:
    """Images that are there only while their batch is read."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, images):
        self.images, self.shape = images, images.shape

    def __len__(self):
        return len(self.images)

    def batches(self):
        for rows in (np.array([5, 3]), np.array([0, 1, 2, 4, *range(6, M)])):
            yield rows, self.images[rows]


def test_images_are_written_as_they_are_read(pairs, tmp_path):
    dataclasses.replace(pairs, images=_OnDisk(pairs.images)).save(tmp_path / "out", "C3")
    _equal(SyntheticPairs.load(tmp_path / "out"), pairs)


def test_a_subset_keeps_rows_together(pairs):
    part = pairs.subset(np.array([7, 0]))
    assert np.array_equal(part.counts, pairs.counts[[7, 0]])
    assert part.seeds.tolist() == pairs.seeds[[7, 0]].tolist()
    assert np.array_equal(part.images, pairs.images[[7, 0]])
    assert len(part) == 2 and part.size == 16


def test_they_stand_beside_the_section_they_came_from(pairs, small_section, tmp_path):
    small_section.save(tmp_path / "out")
    pairs.save(tmp_path / "out", "S1")
    assert Section.load(tmp_path / "out").content_hash == small_section.content_hash
    _equal(SyntheticPairs.load(tmp_path / "out"), pairs)


def test_no_pairs_survive_the_disk_too(pairs, tmp_path):
    none = pairs.subset(np.array([], dtype=int))
    none.save(tmp_path / "out", "C3")
    assert len(SyntheticPairs.load(tmp_path / "out")) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"scaled": np.zeros((M, G + 1))},
        {"lognorm": np.zeros((M - 1, G))},
        {"seeds": np.arange(3)},
        {"source_barcodes": np.array(["a"])},
        {"images": np.zeros((M, 16, 16, 3))},
        {"images": np.zeros((M, 16, 12, 3), np.uint8)},
        {"scaled": np.full((M, G), np.nan)},
        {"lognorm": np.full((M, G), np.nan)},
        {"scaled": np.full((M, G), np.inf)},
        {"counts": np.zeros((M, G + 1))},
    ],
)
def test_parts_that_do_not_fit_are_refused(pairs, change):
    with pytest.raises(InputError, match="synthetic pairs"):
        dataclasses.replace(pairs, **change)


def test_a_folder_of_someone_else_is_not_replaced(pairs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        pairs.save(tmp_path, "C3")


def _forget(path):
    value = json.loads(path.read_text())
    del value["c2lst"]["sampler"]
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("st/C3_synthetic.h5ad", lambda p: p.unlink()),
        ("st/C3_synthetic.h5ad", lambda p: p.write_text("x")),
        ("patches/C3_synthetic.h5", lambda p: p.unlink()),
        ("patches/C3_synthetic.h5", lambda p: p.write_bytes(p.read_bytes()[:300])),
        ("metadata/C3_synthetic.json", lambda p: p.unlink()),
        ("metadata/C3_synthetic.json", _forget),
    ],
)
def test_damage_is_refused(pairs, tmp_path, file, damage):
    pairs.save(tmp_path / "out", "C3")
    damage(tmp_path / "out" / file)
    with pytest.raises(InputError):
        SyntheticPairs.load(tmp_path / "out")


def test_an_empty_folder_holds_none(tmp_path):
    with pytest.raises(InputError, match="holds no synthetic pairs"):
        SyntheticPairs.load(tmp_path)
