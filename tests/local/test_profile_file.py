import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from c2lst.errors import InputError
from c2lst.local.profile_file import ProfileFile
from c2lst.progress import logger

quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, counts, rows, genes, total=None):
    """Write counts in the format that the name of the file says."""
    table = pd.DataFrame(counts, index=rows, columns=genes)
    if path.suffix == ".h5ad":
        obs = pd.DataFrame(index=rows)
        if total is not None:
            obs["total_counts"] = total
        adata = anndata.AnnData(sparse.csr_matrix(np.asarray(counts, dtype=np.float32)), obs=obs)
        adata.var_names = list(genes)
        adata.write_h5ad(path)
        return path
    if total is not None:
        table["total_counts"] = total
    table.to_csv(path, sep="\t" if ".tsv" in path.name else ",")
    return path


@pytest.fixture
def fitted(spots):
    return spots[2]


@pytest.fixture
def table(spots):
    """Counts of the training spots: rows, genes and values."""
    section, split, _ = spots
    training = split.training(section)
    return training.counts.toarray(), [f"p{i}" for i in range(len(training))], training.genes


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "p.h5ad"])
def test_the_training_spots_counts_give_the_training_spots_profiles(
    spots, table, fitted, tmp_path, name
):
    section, split, _ = spots
    profiles = ProfileFile.read(write(tmp_path / name, *table)).profiles(fitted, per_row=2)
    expected = fitted.expression(split.training(section))
    np.testing.assert_allclose(profiles.scaled[::2], expected, atol=1e-5)
    assert profiles.sources[1::2].tolist() == table[1]
    assert set(profiles.library_size) == {fitted.scaler.median_library_size}
    assert profiles.origin["missing_genes"] == []


def test_counts_are_in_the_layer_of_that_name(table, fitted, tmp_path):
    path = write(tmp_path / "p.h5ad", *table)
    plain = ProfileFile.read(path).profiles(fitted)
    adata = anndata.read_h5ad(path)
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(path)
    assert ProfileFile.read(path).profiles(fitted).hash == plain.hash


@quick
@given(data=st.data())
def test_order_and_further_genes_change_nothing_and_missing_ones_are_nan(
    table, fitted, tmp_path_factory, data
):
    counts, rows, genes = table
    panel = list(fitted.panel.genes)
    gone = set(data.draw(st.lists(st.sampled_from(panel), unique=True, max_size=6)))
    order = data.draw(st.permutations(range(len(genes))))
    kept = [i for i in order if genes[i] not in gone]
    folder = tmp_path_factory.mktemp("profiles")
    suffix = data.draw(st.sampled_from([".csv", ".tsv", ".h5ad"]))
    total = counts.sum(axis=1)
    path = write(folder / f"p{suffix}", counts[:, kept], rows, genes[kept], total)
    found = ProfileFile.read(path).profiles(fitted, allow_missing=True)
    whole = ProfileFile.read(write(folder / "w.csv", counts, rows, genes)).profiles(fitted)
    missing = np.isin(panel, list(gone))
    assert (np.isnan(found.scaled) == missing).all()
    np.testing.assert_allclose(found.scaled[:, ~missing], whole.scaled[:, ~missing], atol=1e-5)
    assert found.origin["missing_genes"] == [gene for gene in panel if gene in gone]


def test_what_is_missing_is_said_in_one_line(table, fitted, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logger, "propagate", True)  # which the command line turns off
    counts, rows, genes = table
    kept = ~np.isin(genes, fitted.panel.genes[:2])
    file = ProfileFile.read(write(tmp_path / "p.csv", counts[:, kept], rows, genes[kept]))
    with caplog.at_level("INFO", "c2lst"):
        file.profiles(fitted)
    assert "2 of the panel's 12 genes are missing" in caplog.text
    assert len({record.getMessage() for record in caplog.records}) == 1


def test_few_genes_must_be_allowed_and_none_never(table, fitted, tmp_path):
    counts, rows, genes = table
    five = np.isin(genes, fitted.panel.genes[:5])
    few = ProfileFile.read(write(tmp_path / "few.csv", counts[:, five], rows, genes[five]))
    with pytest.raises(InputError, match=r"has 5 of the 12 genes.*--allow-missing"):
        few.profiles(fitted)
    assert np.isnan(few.profiles(fitted, allow_missing=True).scaled).mean() == 7 / 12
    none = ProfileFile.read(write(tmp_path / "none.csv", 1 + counts.T[:, :5], genes, rows[:5]))
    with pytest.raises(InputError, match=r"has 0 of the 12 genes.*genes as columns$"):
        none.profiles(fitted, allow_missing=True)


def test_a_corner_may_be_left_out(table, fitted, tmp_path):
    path = write(tmp_path / "p.csv", *table)
    with_corner = ProfileFile.read(path).profiles(fitted)
    path.write_text(path.read_text().removeprefix(","))
    assert ProfileFile.read(path).profiles(fitted).hash == with_corner.hash


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-1", "row 'b'|barcode 'b', gene 'B': is no raw count, found -1"),
        ("0.5", "gene 'B': is no raw count, found 0.5, expected a whole number"),
        ("inf", "row 'b', column 'B' is no finite number, found 'inf'"),
        ("", "row 'b', column 'B' is no finite number, found 'nan'"),
        ("many", "row 'b', column 'B' is no finite number, found 'many'"),
    ],
)
def test_what_is_no_count_is_refused_by_its_cell(tmp_path, value, message):
    (tmp_path / "p.csv").write_text(f",A,B\na,1,2\nb,3,{value}\n")
    with pytest.raises(InputError, match=message):
        ProfileFile.read(tmp_path / "p.csv")


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
def test_what_is_no_count_is_refused_in_annotated_data_too(tmp_path, value):
    path = write(tmp_path / "p.h5ad", [[1, 2], [3, value]], ["a", "b"], ["A", "B"])
    with pytest.raises(InputError, match="barcode 'b', gene 'B': is no raw count"):
        ProfileFile.read(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", ",A,B\na,1,2\na,3,4\n", "a row is named twice, found 'a'"),
        ("p.csv", ",A,A\na,1,2\nb,3,4\n", "a gene is named twice, found 'A'"),
        ("p.csv", ",A,B\na,0,0\n", "row 'a' has a library of no use, found 0 counts"),
        ("p.csv", ",A,total_counts\na,5,4\n", "found 4 counts over all genes, expected at least"),
        ("p.csv", ",A,B\na,1\n", "header and rows differ in length, found 2 fields"),
        ("p.csv", ",A,B\na,1,2\nb,1,2,3\n", "is no regular table"),
        ("p.csv", ",A,B\n", "holds no profile"),
        ("p.csv", "", "holds no profile"),
        ("p.xlsx", "", "no format that profiles are read from, found .xlsx, expected .h5ad"),
        ("p.h5ad", "x", "is no readable AnnData file"),
    ],
)
def test_files_that_hold_no_profiles_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        ProfileFile.read(tmp_path / name)


def test_a_compressed_file_that_cannot_be_unpacked_is_refused(tmp_path):
    rows = "".join(f"r{row},{row % 7},{row % 13}\n" for row in range(400))
    packed = bytearray(gzip.compress(f",A,B\n{rows}".encode(), mtime=0))
    packed[60:64] = b"\xff\xff\xff\xff"
    (tmp_path / "p.csv.gz").write_bytes(packed)
    with pytest.raises(InputError, match="is no regular table"):
        ProfileFile.read(tmp_path / "p.csv.gz")


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", gzip.compress(b",A\na,1\n", mtime=0)[:-9]],
    ids=["no text", "cut short"],
)
def test_damaged_files_are_refused(tmp_path, content):
    for name in ("p.csv", "p.csv.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            ProfileFile.read(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        ProfileFile.read(tmp_path / "absent.csv")


@settings(max_examples=60)
@given(text=st.text(alphabet="a,\t\n\"'1.-\x00é", max_size=60))
def test_any_text_is_profiles_or_one_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "p.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        ProfileFile.read(path)
    except InputError as error:
        assert "\n" not in str(error)


def test_held_out_spots_are_refused_by_name_and_by_counts(spots, fitted, tmp_path):
    section, split, _ = spots
    genes = section.genes
    train, test = (section.subset(part).counts.toarray() for part in (split.train, split.test))

    def check(counts, rows):
        file = ProfileFile.read(write(tmp_path / "p.csv", counts, rows, genes))
        file.check(section, split, fitted)

    check(train, split.train)
    check(train + 1, [f"mine {i}" for i in range(len(train))])
    with pytest.raises(
        InputError, match=f"row '{split.test[3]}' has the barcode of a spot outside"
    ):
        check(train[:2], [split.train[0], split.test[3]])
    with pytest.raises(
        InputError, match=f"row 'b' has the counts of spot '{split.test[4]}' outside"
    ):
        check(np.stack([train[0], test[4]]), ["a", "b"])


def test_totals_that_are_no_numbers_are_named(table, tmp_path):
    counts, rows, genes = table
    path = write(tmp_path / "p.h5ad", counts, rows, genes, total=["many"] * len(rows))
    with pytest.raises(InputError, match=r"total_counts.*no column of numbers"):
        ProfileFile.read(path)
