from __future__ import annotations

import gzip
import logging
import shutil

import numpy as np
import pytest

from c2lst.data.readers import read
from c2lst.errors import InputError


@pytest.fixture
def folder(small_legacy, tmp_path):
    return shutil.copytree(small_legacy, tmp_path / "slide")


def _edit(path, change):
    """Change the lines of a table, each a list of fields."""
    zipped = path.suffix == ".gz"
    text = gzip.decompress(path.read_bytes()).decode() if zipped else path.read_text()
    rows = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    rows = change(rows) or rows
    text = "".join("\t".join(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())


def _set(row, column, value):
    def change(rows):
        rows[row][column] = value

    return change


def test_counts_places_and_patches_belong_together(small_legacy, small_section):
    rows = gzip.decompress((small_legacy / "S1.tsv.gz").read_bytes()).decode().split("\n")
    genes = rows[0].split("\t")[1:]
    table = {r.split("\t")[0]: np.array(r.split("\t")[1:], int) for r in rows[1:] if r}
    assert small_section.genes.tolist() == genes
    for index in (0, 17, 71):
        barcode = small_section.barcodes[index]
        assert np.array_equal(small_section.counts[index].toarray().ravel(), table[barcode])
        x, y = map(int, barcode.split("x"))
        assert small_section.centres_px[index].tolist() == [100 * x, 100 * y]
        obs = small_section.adata.obs.iloc[index]
        assert (obs.array_col, obs.array_row) == (x, y)
        assert (obs.pxl_col_in_fullres, obs.pxl_row_in_fullres) == (100 * x, 100 * y)


def test_the_scale_comes_from_the_array(small_section):
    assert small_section.mpp == pytest.approx(2.0)
    assert small_section.pitch_um == 200.0


def test_the_array_of_2000_spots_is_a_chessboard(folder):
    """Its neighbours lie on the diagonal, 141 µm apart, so an array unit is 100 µm."""

    def thin(rows):
        return [rows[0]] + [row for row in rows[1:] if (int(row[0]) + int(row[1])) % 2 == 0]

    _edit(folder / "S1_selection.tsv", thin)
    section = read(folder, size=32)
    assert section.mpp == pytest.approx(1.0, rel=0.01)
    assert section.pitch_um == pytest.approx(141, abs=1)


def test_mpp_can_be_told(folder, caplog):
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        assert read(folder, size=16, mpp=2.05).mpp == 2.05
        assert "as told" not in caplog.text
        assert read(folder, size=16, mpp=1.0).mpp == 1.0
    assert "as told" in caplog.text


@pytest.mark.parametrize("mpp", [0, -1, np.nan])
def test_an_mpp_that_is_none_is_refused(folder, mpp):
    with pytest.raises(InputError, match="mpp"):
        read(folder, mpp=mpp)


def test_spots_without_counts_are_dropped_and_counted(folder, caplog):
    def rows(table):
        table[4] = [table[4][0]] + ["0"] * (len(table[4]) - 1)
        return table[:2] + table[3:]

    _edit(folder / "S1.tsv.gz", rows)
    _edit(folder / "S1_selection.tsv", _set(9, 6, "0"))
    with caplog.at_level(logging.INFO, logger="c2lst"):
        section = read(folder, size=32)
    assert len(section) == 69
    assert "1 not selected, 1 without a row of counts, 1 with no count above zero" in caplog.text
    assert (section.library_size > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [row[:6] for row in rows],  # only selected spots are listed
        lambda rows: [row[:2] + row[4:] for row in rows],  # no refined array positions
        lambda rows: [row[::-1] for row in rows],  # other order of columns
        lambda rows: [[*row, "note"] for row in rows],  # a further column
        lambda rows: rows[:1] + rows[:0:-1],  # other order of rows
    ],
)
def test_dialects_of_the_spot_file(folder, small_section, change):
    _edit(folder / "S1_selection.tsv", change)
    section = read(folder, size=32)
    assert sorted(section.barcodes) == sorted(small_section.barcodes)
    same = section.subset(small_section.barcodes)
    assert np.allclose(same.centres_px, small_section.centres_px)
    assert same.mpp == pytest.approx(small_section.mpp)


def test_the_other_names_are_found(folder, small_section):
    (folder / "S1_selection.tsv").rename(folder / "alignment_table_S1.tsv")
    (folder / "S1.tsv").write_bytes(gzip.decompress((folder / "S1.tsv.gz").read_bytes()))
    (folder / "S1.tsv.gz").unlink()
    assert read(folder, size=32).content_hash == small_section.content_hash


def test_a_header_without_the_empty_corner_is_read(folder, small_section):
    _edit(folder / "S1.tsv.gz", lambda rows: [rows[0][1:], *rows[1:]])
    assert read(folder, size=32).content_hash == small_section.content_hash


def test_tables_that_r_wrote_with_quotes_are_read(folder, small_section):
    def quoted(rows):
        return [[f'"{v}"' if n == 0 or k == 0 else v for k, v in enumerate(row)]
                for n, row in enumerate(rows)]  # fmt: skip

    for name in ("S1.tsv.gz", "S1_selection.tsv"):
        _edit(folder / name, quoted)
    section = read(folder, size=32)
    assert section.genes.tolist() == small_section.genes.tolist()
    assert section.barcodes.tolist() == small_section.barcodes.tolist()


def test_repeated_gene_names_are_kept_apart(folder, caplog):
    _edit(folder / "S1.tsv.gz", lambda rows: [["", "A", "A", "A-1", *rows[0][4:]], *rows[1:]])
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        section = read(folder, size=32)
    assert section.genes[:3].tolist() == ["A", "A-2", "A-1"]
    assert "made unique" in caplog.text


@pytest.mark.parametrize("path", ["", "S1", "S1.tsv.gz", "S1.png", "S1_selection.tsv"])
def test_a_section_is_found_by_folder_name_or_file(folder, small_section, path):
    assert read(folder / path, size=32).content_hash == small_section.content_hash


def test_of_several_sections_one_is_chosen(folder, write_legacy, small_section):
    write_legacy(folder, name="S2", seed=5)
    with pytest.raises(InputError, match="S1, S2"):
        read(folder)
    assert read(folder, section="S1", size=32).content_hash == small_section.content_hash
    assert read(folder / "S2", size=32).name == "S2"
    with pytest.raises(InputError, match="'S3' is not here"):
        read(folder, section="S3")


def test_upsampling_is_said(folder, caplog):
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        read(folder, size=32)
        assert "upsampled" not in caplog.text
        read(folder, size=128)
    assert "upsampled" in caplog.text


@pytest.mark.parametrize("missing", ["S1.png", "S1.tsv.gz", "S1_selection.tsv"])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    what = {"S1.png": "image", "S1.tsv.gz": "counts", "S1_selection.tsv": "spot file"}[missing]
    for use in (
        lambda: read(folder),
        lambda: read(folder, section="S1"),
        lambda: read(folder / "S1"),
    ):
        with pytest.raises(InputError, match=f"lacks the {what}"):
            use()


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _transpose(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def _alien(rows):
    return [rows[0], *([f"9{row[0]}", *row[1:]] for row in rows[1:])]


def _none_selected(rows):
    return [rows[0], *([*row[:6], "0"] for row in rows[1:])]


def _shuffled_pixels(rows):
    pixels = [row[4:] for row in rows[40:] + rows[1:40]]
    return [rows[0], *([*row[:4], *place] for row, place in zip(rows[1:], pixels, strict=True))]


def _names_only(rows):
    return [row[:1] for row in rows]


COUNTS, SPOTS, IMAGE = "S1.tsv.gz", "S1_selection.tsv", "S1.png"


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        (COUNTS, _cut, "damaged"),
        (COUNTS, lambda p: p.write_bytes(b""), "empty"),
        (COUNTS, lambda p: p.write_bytes(gzip.compress(b"")), "header"),
        (COUNTS, lambda p: p.write_bytes(gzip.compress(b"\tG1\tG2\n")), "no rows"),
        (COUNTS, lambda p: p.write_bytes(b"\x1f\x8b rubbish"), "damaged"),
        (COUNTS, lambda p: p.write_bytes(b"\xff\xfe\x00\x01" * 50), "damaged|regular|length"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "-2")), "negative"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "1.5")), "fractional"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "")), "no finite number"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "nan")), "no finite number"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "inf")), "no finite number"),
        (COUNTS, lambda p: _edit(p, _set(3, 5, "many")), "'many'"),
        (COUNTS, lambda p: _edit(p, lambda rows: [*rows, rows[-1]]), "several rows"),
        (COUNTS, lambda p: _edit(p, _transpose), "transpose"),
        (COUNTS, lambda p: _edit(p, _names_only), "header|rows|length|name"),
        (COUNTS, lambda p: _edit(p, _alien), "no selected spot"),
        (SPOTS, lambda p: p.write_text(""), "empty"),
        (SPOTS, lambda p: p.write_text("x,y,pixel_x,pixel_y\n1,1,5,5\n"), "column 'x'"),
        (SPOTS, lambda p: _edit(p, lambda rows: [row[:4] for row in rows]), "pixel_x"),
        (SPOTS, lambda p: _edit(p, lambda rows: rows[:1]), "no rows"),
        (SPOTS, lambda p: _edit(p, _set(5, 4, "nan")), "line 6, column 'pixel_x'|line 6"),
        (SPOTS, lambda p: _edit(p, _set(5, 5, "")), "pixel_y"),
        (SPOTS, lambda p: _edit(p, _set(5, 0, "2.5")), "array position"),
        (SPOTS, lambda p: _edit(p, _set(5, 6, "2")), "selected"),
        (SPOTS, lambda p: _edit(p, lambda rows: [*rows, rows[-1]]), "twice"),
        (SPOTS, lambda p: _edit(p, _none_selected), "no selected spot"),
        (SPOTS, lambda p: _edit(p, lambda rows: rows[:3]), "span the array"),
        (SPOTS, lambda p: _edit(p, _shuffled_pixels), "disagree"),
        (IMAGE, lambda p: p.write_bytes(b""), "empty"),
        (IMAGE, lambda p: p.write_bytes(b"GIF no"), "not an image"),
        (IMAGE, _cut, "cannot be decoded"),
    ],
)  # fmt: skip
def test_damage_is_refused_by_file_and_the_source_untouched(folder, file, damage, words):
    damage(folder / file)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match=words) as caught:
        read(folder)
    assert file.removesuffix(".gz") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_the_image_may_lie_elsewhere(folder, small_section, tmp_path):
    (folder / "S1.png").rename(tmp_path / "slide.png")
    with pytest.raises(InputError, match=r"lacks the image.*--image"):
        read(folder)
    section = read(folder, size=32, image=tmp_path / "slide.png")
    assert section.content_hash == small_section.content_hash
    assert section.image_path == tmp_path / "slide.png"


@pytest.mark.parametrize(
    "wrong", [{"size": 4}, {"size": 5000}, {"patch_um": 0}, {"patch_um": np.nan}]
)
def test_a_patch_width_that_is_none_is_refused(folder, wrong):
    with pytest.raises(InputError):
        read(folder, **wrong)


def test_what_a_mac_leaves_beside_the_files_is_no_section(folder, small_section):
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(b"resource")
    (folder / ".DS_Store").write_bytes(b"resource")
    assert read(folder, patch_um=112, size=32).content_hash == small_section.content_hash
