from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.readers.axes import array_lattice
from c2lst.data.readers.positions import read_positions
from c2lst.errors import InputError

COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres",
           "pxl_col_in_fullres"]  # fmt: skip
ROWS = [
    [f"ACGT{r}{c}-1", (r + c) % 4 != 0, r, c, 100 + 87 * r, 60 + 50 * c]
    for r in range(6)
    for c in range(r % 2, 8, 2)
]
LINES = [",".join(str(int(v) if isinstance(v, bool) else v) for v in row) for row in ROWS]
HEADER = ",".join(COLUMNS)


def _write(path, lines, zipped=False):
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_first_spot_is_never_lost_whatever_the_name(name, header, zipped, tmp_path):
    lines = [HEADER, *LINES] if header else LINES
    places = read_positions(_write(tmp_path / name, lines, zipped))
    assert places.header == header
    assert places.barcodes.tolist() == [row[0] for row in ROWS]
    assert places.in_tissue.tolist() == [row[1] for row in ROWS]
    assert places.array_row.tolist() == [row[2] for row in ROWS]
    assert places.array_col.tolist() == [row[3] for row in ROWS]


@pytest.mark.parametrize("header", [True, False])
def test_the_mark_that_spreadsheets_put_first_is_no_letter(header, tmp_path):
    lines = [HEADER, *LINES] if header else LINES
    places = read_positions(_write(tmp_path / "p.csv", ["\ufeff" + lines[0], *lines[1:]]))
    assert places.barcodes.tolist() == [row[0] for row in ROWS]


def test_row_is_y_and_column_is_x(tmp_path):
    places = read_positions(_write(tmp_path / "tissue_positions.csv", LINES))
    assert places.centres_px.tolist() == [[row[5], row[4]] for row in ROWS]


def test_columns_are_found_by_name_where_they_are_named(tmp_path):
    table = pd.DataFrame(ROWS, columns=COLUMNS).astype({"in_tissue": int})
    shuffled = table[[*COLUMNS[::-1]]].assign(note="x")
    shuffled.to_csv(tmp_path / "p.csv", index=False)
    places = read_positions(tmp_path / "p.csv")
    assert places.barcodes.tolist() == [row[0] for row in ROWS]
    assert places.centres_px[:, 0].tolist() == [row[5] for row in ROWS]


def test_parquet_is_the_same(tmp_path):
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(tmp_path / "tissue_positions.parquet")
    places = read_positions(tmp_path / "tissue_positions.parquet")
    assert places.barcodes.tolist() == [row[0] for row in ROWS]
    assert places.in_tissue.tolist() == [row[1] for row in ROWS]
    assert places.centres_px.tolist() == [[row[5], row[4]] for row in ROWS]


def _cell(row, column, value):
    def change(lines):
        fields = lines[row].split(",")
        fields[column] = value
        lines[row] = ",".join(fields)
        return lines

    return change


@pytest.mark.parametrize(("change", "says"), [
    (lambda lines: [], "empty"),
    (lambda lines: lines[:1], "has no spots"),
    (lambda lines: [lines[0].replace("pxl_row", "row"), *lines[1:]], "'pxl_row_in_fullres' is mis"),
    (lambda lines: [lines[0].replace("barcode", "in_tissue"), *lines[1:]], "'barcode' is missing"),
    (lambda lines: [line.replace(",", "\t") for line in lines], "is missing"),
    (lambda lines: [*lines, lines[-1]], "is listed twice"),
    (lambda lines: [*lines, "NEW-1" + lines[-1][lines[-1].index(",") :]], "shares its array pos"),
    (lambda lines: [*lines, "A,1,2"], "wrong number of fields"),
    (_cell(3, 0, ""), "has no barcode"),
    (_cell(3, 1, "2"), "in_tissue"),
    (_cell(3, 2, "1.5"), "place on the array"),
    (_cell(3, 2, "-1"), "place on the array"),
    (_cell(3, 4, "nan"), "'pxl_row_in_fullres' is no finite number"),
    (_cell(3, 5, ""), "'pxl_col_in_fullres' is no finite number"),
    (_cell(3, 5, "left"), "'pxl_col_in_fullres' is no finite number"),
    (_cell(3, 5, "1e300"), "lies on no image"),
    (lambda lines: [line.replace("-1,1,", "-1,0,") for line in lines], "no spot lies in tissue"),
])  # fmt: skip
def test_a_malformed_file_is_refused(change, says, tmp_path):
    path = _write(tmp_path / "tissue_positions.csv", change([HEADER, *LINES]))
    with pytest.raises(InputError, match=says) as caught:
        read_positions(path)
    error = caught.value
    assert str(path) in str(error)
    assert error.found is not None or error.expected is not None


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08cut", b"PAR1", b"\xff\xfe\x00", b"a,b\x00,c\n"])
@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions.parquet"])
def test_bytes_that_are_no_table_are_refused(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        read_positions(tmp_path / name)


def test_parquet_without_a_column_or_rows_is_refused(tmp_path):
    table = pd.DataFrame(ROWS, columns=COLUMNS)
    path = tmp_path / "tissue_positions.parquet"
    table.drop(columns="array_col").to_parquet(path)
    with pytest.raises(InputError, match="'array_col' is missing"):
        read_positions(path)
    table[:0].to_parquet(path)
    with pytest.raises(InputError, match="has no bins"):
        read_positions(path)
    table.assign(array_row="x").to_parquet(path)
    with pytest.raises(InputError, match="'array_row' is no finite number"):
        read_positions(path)


def _accepted_or_refused(path):
    try:
        places = read_positions(path)
        array_lattice(places)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(places) > 0 and np.isfinite(places.centres_px).all()


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "tissue_positions.csv"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    _accepted_or_refused(path)


CELLS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "nan", "inf", "-inf", "1e400", "0x10", "1_000", '"', "-0", "9" * 400]),
    st.integers().map(str),
    st.floats().map(str),
)


@given(
    st.lists(st.tuples(st.integers(0, len(LINES)), st.integers(0, 5), CELLS), max_size=4),
    st.booleans(),
)
def test_any_cells_are_read_or_refused(tmp_path_factory, changes, header):
    lines = [HEADER, *LINES] if header else [*LINES]
    for row, column, value in changes:
        row = min(row, len(lines) - 1)
        if lines[row].count(",") == 5:
            _cell(row, column, value.replace("\n", " "))(lines)
    path = tmp_path_factory.mktemp("fuzz") / "tissue_positions.csv"
    text = "\n".join(lines)
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    _accepted_or_refused(path)
