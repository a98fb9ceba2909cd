from __future__ import annotations

import gzip

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import io, sparse

from c2lst.data.readers import tenx
from c2lst.data.readers.names import unique_names
from c2lst.data.readers.tenx import open_matrix
from c2lst.errors import InputError
from miniatures.tenx import Features, write_matrix, write_mex

BARCODES = [f"AAAC{i:04d}-1" for i in range(17)]


@pytest.fixture(scope="module")
def features():
    return Features.panel(9, ("Antibody Capture", "CRISPR Guide Capture"))


@pytest.fixture(scope="module")
def counts(features):
    return np.random.default_rng(0).poisson(0.7, (len(BARCODES), len(features.ids)))


def _check(matrix, counts, features):
    assert matrix.barcodes.tolist() == BARCODES
    assert matrix.genes.tolist() == features.gene_names
    assert matrix.gene_ids.tolist() == np.array(features.ids)[features.is_gene].tolist()
    read = matrix.counts()
    assert sparse.isspmatrix_csr(read)
    assert np.array_equal(read.toarray(), counts[:, features.is_gene])


@pytest.mark.parametrize("kind", ["h5", "mex"])
def test_counts_of_genes_alone_come_back(kind, counts, features, tmp_path, caplog):
    with caplog.at_level("INFO", logger="c2lst"):
        _check(open_matrix(write_matrix(tmp_path, "m", kind, counts, BARCODES, features)),
               counts, features)  # fmt: skip
    assert "1 Antibody Capture, 1 CRISPR Guide Capture" in caplog.text


def test_the_layout_before_version_3(counts, tmp_path):
    features = Features.panel(9)
    path = write_matrix(tmp_path, "m", "h5v2", counts[:, :9], BARCODES, features)
    _check(open_matrix(path), counts[:, :9], features)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "GSM1_S1_"])
def test_mex_plain_or_gzipped_with_or_without_prefix(zipped, prefix, counts, features, tmp_path):
    content = (sparse.csr_matrix(counts), BARCODES, features)
    _check(open_matrix(write_mex(tmp_path, *content, zipped=zipped, prefix=prefix)),
           counts, features)  # fmt: skip


def test_mex_with_the_older_genes_file(counts, tmp_path):
    features = Features.panel(9)
    content = (sparse.csr_matrix(counts[:, :9]), BARCODES, features)
    folder = write_mex(tmp_path, *content, zipped=False, genes_file=True)
    _check(open_matrix(folder), counts[:, :9], features)


def test_gzip_is_seen_from_the_content_not_the_name(counts, features, tmp_path):
    folder = write_mex(tmp_path, sparse.csr_matrix(counts), BARCODES, features)
    for path in folder.glob("*.gz"):
        path.write_bytes(gzip.decompress(path.read_bytes()))
    _check(open_matrix(folder), counts, features)


@pytest.mark.parametrize("entries", [1, 7, 10_000])
def test_blocks_of_rows_are_the_whole_matrix(entries, counts, features, tmp_path, monkeypatch):
    monkeypatch.setattr(tenx, "_BLOCK_ENTRIES", entries)
    matrix = open_matrix(write_matrix(tmp_path, "m", "h5", counts, BARCODES, features))
    blocks = list(matrix.blocks())
    assert (len(blocks) == 1) == (entries == 10_000)
    assert all(block.nnz <= max(entries, counts.shape[1]) for block in blocks)
    _check(matrix, counts, features)


@pytest.mark.parametrize("key", [
    "barcodes", "data", "indices", "indptr", "shape", "features", "features/id", "features/name",
    "features/feature_type",
])  # fmt: skip
def test_a_missing_key_is_named(key, counts, features, tmp_path):
    path = write_matrix(tmp_path, "m", "h5", counts, BARCODES, features)
    with h5py.File(path, "a") as file:
        del file["matrix"][key]
    with pytest.raises(InputError, match=key if key != "features" else "genes") as caught:
        open_matrix(path)
    assert str(path) in str(caught.value) and caught.value.remedy


def _change(key, change):
    def damage(path):
        with h5py.File(path, "a") as file:
            values = change(file["matrix"][key][()])
            del file["matrix"][key]
            file["matrix"][key] = values

    return damage


def _first(value):
    def change(values):
        values = values.copy()
        values[0] = value
        return values

    return change


def _cut(path):
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(("damage", "says"), [
    (_change("data", _first(-3)), "no raw count"),
    (_change("data", lambda v: v + 0.5), "no raw count"),
    (_change("data", lambda v: v.astype("S5")), "'matrix/data' has the wrong type"),
    (_change("indices", _first(999)), "'indices' names features that are not there"),
    (_change("indices", lambda v: v[:-1]), "'matrix/indices' has the wrong length"),
    (_change("indptr", lambda v: v[:-1]), "'indptr' has the wrong length"),
    (_change("indptr", lambda v: v[::-1].copy()), "'indptr' does not part"),
    (_change("shape", lambda v: v[::-1].copy()), "'shape' disagrees"),
    (_change("barcodes", lambda v: np.repeat(v[:1], len(v))), "barcodes are repeated"),
    (_change("barcodes", lambda v: v[:-1]), "'shape' disagrees"),
    (_change("features/name", lambda v: v[:-1]), "'features/name' has the wrong length"),
    (_change("features/feature_type", lambda v: np.full(len(v), b"Custom")), "holds no genes"),
    (_change("features/id", lambda v: np.full(len(v), b"\xff\xfe")), "is no text"),
    (_cut, "no readable HDF5"),
    (lambda path: path.write_bytes(b""), "empty"),
    (lambda path: path.write_text("barcode,gene"), "no readable HDF5"),
    (lambda path: path.unlink(), "no such file"),
])  # fmt: skip
def test_a_damaged_file_is_refused_by_key(damage, says, counts, features, tmp_path):
    path = write_matrix(tmp_path, "m", "h5", counts, BARCODES, features)
    damage(path)
    with pytest.raises(InputError, match=says) as caught:
        open_matrix(path).counts()
    assert str(path) in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize(("name", "text", "says"), [
    ("matrix.mtx.gz", "", "empty"),
    ("matrix.mtx.gz", "%%MatrixMarket matrix coordinate integer general\n5 5 1\n", "readable"),
    ("matrix.mtx.gz", "no matrix", "readable"),
    ("matrix.mtx.gz", "%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 3\n",
     "size disagrees"),
    ("features.tsv.gz", "ENSG1\n", "line 1 is too short"),
    ("barcodes.tsv.gz", "A-1\nA-1\n", "repeated"),
])  # fmt: skip
def test_a_damaged_mex_file_is_named(name, text, says, counts, features, tmp_path):
    folder = write_mex(tmp_path, sparse.csr_matrix(counts), BARCODES, features)
    (folder / name).write_bytes(text.encode())
    with pytest.raises(InputError, match=says) as caught:
        open_matrix(folder).counts()
    assert name in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("name", ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"])
def test_a_missing_or_cut_mex_file_is_named(name, counts, features, tmp_path):
    folder = write_mex(tmp_path, sparse.csr_matrix(counts), BARCODES, features)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=name.removesuffix(".gz")):
        open_matrix(folder).counts()
    (folder / name).unlink()
    with pytest.raises(InputError, match=name.removesuffix(".gz")):
        open_matrix(folder).counts()


def test_negative_counts_of_a_mex_file_are_refused_by_barcode(counts, features, tmp_path):
    folder = write_mex(tmp_path, sparse.csr_matrix(counts), BARCODES, features, zipped=False)
    io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(-counts.T), field="integer")
    with pytest.raises(InputError, match=f"{BARCODES[0]}.*{features.names[0]}"):
        open_matrix(folder).counts()


@given(st.lists(st.sampled_from(["A", "B", "A-1", "A-2", "B-1", "C"]), max_size=30))
def test_unique_names_are_unique_and_keep_first_ones(names):
    unique = unique_names(None, names).tolist()
    assert len(set(unique)) == len(names) == len(unique)
    for place, name in enumerate(names):
        if names.index(name) == place:
            assert unique[place] == name
        else:
            assert unique[place].startswith(f"{name}-")


def test_many_repeats_take_no_quadratic_time():
    assert unique_names(None, ["X"] * 200_000)[-1] == "X-199999"
