from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.raw import ReadRequest
from c2lst.data.readers import transcripts, xenium
from c2lst.data.readers.alignment import read_alignment
from c2lst.data.readers.bins import LEAST_FILLED
from c2lst.data.readers.transcripts import bin_transcripts
from c2lst.data.section import Section
from c2lst.errors import InputError
from miniatures.xenium import CONTROLS, write_xenium

SMALL = ReadRequest(size=16)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_xenium(tmp_path_factory.mktemp("xenium") / "S1")


@pytest.fixture
def sample(tmp_path):
    """A section that a test may change."""
    return write_xenium(tmp_path / "S1", number=8_000, seed=3)


def _check(section: Section, truth, squares, width: float) -> None:
    obs = section.adata.obs
    counts = section.counts.toarray()
    places = list(zip(obs["array_row"], obs["array_col"], strict=True))
    for index, place in enumerate(places):
        assert np.array_equal(counts[index], squares[place])
        assert np.allclose(section.centres_px[index], truth.centre_px(*place, width))
        row, col = place
        assert section.barcodes[index] == f"s_{width:03g}um_{row:05d}_{col:05d}-1"
    # What is left out holds next to nothing.
    totals = {place: counts.sum() for place, counts in squares.items()}
    left = [total for place, total in totals.items() if place not in places]
    assert max(left, default=0) < LEAST_FILLED * max(totals.values())
    assert sum(left) < 0.03 * sum(totals.values())
    assert section.mpp == pytest.approx(truth.mpp, rel=0.005)
    assert section.pitch_um == width


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("width", [None, 56.0, 80.0])
def test_transcripts_of_good_quality_are_counted_by_square(kind, width, tmp_path):
    truth = write_xenium(tmp_path / "S1", kind)
    section = xenium.read(truth.source, ReadRequest(size=16, bin_um=width))
    width = width or 112.0
    assert section.genes.tolist() == truth.genes
    assert section.name == "S1"
    _check(section, truth, truth.squares(width), width)


def test_text_columns_of_bytes_are_read(tmp_path):
    truth = write_xenium(tmp_path / "S1", names_as_bytes=True)
    _check(xenium.read(truth.source, SMALL), truth, truth.squares(112.0), 112.0)


@pytest.mark.parametrize("cells", ["cells.parquet", "cells.csv.gz"])
def test_without_transcripts_cells_are_summed(cells, tmp_path):
    truth = write_xenium(tmp_path / "S1", transcripts=None)
    for name in {"cells.parquet", "cells.csv.gz"} - {cells}:
        (truth.source / name).unlink()
    section = xenium.read(truth.source, SMALL)
    assert sorted(section.genes) == truth.genes
    squares = truth.cell_squares(112.0)
    order = np.argsort(np.argsort(section.genes))
    _check(section, truth, {place: c[order] for place, c in squares.items()}, 112.0)


@pytest.mark.parametrize("batch", [997, 10**6])
@pytest.mark.parametrize("merged_at", [50, 10**6])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_batches_and_merges_change_nothing(batch, merged_at, kind, tmp_path, monkeypatch):
    truth = write_xenium(tmp_path / "S1", kind, number=5_000)
    monkeypatch.setattr(transcripts, "_BATCH", batch)
    monkeypatch.setattr(transcripts, "_MERGED_AT", merged_at)
    path = next(truth.source.glob("transcripts.*"))
    binned = bin_transcripts(path, 30.0)
    squares = truth.squares(30.0)
    assert list(zip(binned.row.tolist(), binned.col.tolist(), strict=True)) == sorted(squares)
    assert np.array_equal(binned.counts.toarray(), [squares[place] for place in sorted(squares)])


def test_an_extent_begins_its_own_grid(truth):
    path = truth.source / "transcripts.parquet"
    x0, y0, x1, y1 = extent = (300.0, 240.0, 900.0, 640.0)
    binned = bin_transcripts(path, 50.0, extent)
    inside = (truth.x_um >= x0) & (truth.x_um < x1) & (truth.y_um >= y0) & (truth.y_um < y1)
    assert binned.totals.sum() == inside.sum()
    assert binned.row.max() < 8 and binned.col.max() < 12
    assert binned.centres_um.min(axis=0) == pytest.approx([325.0, 265.0])


def test_controls_and_poor_transcripts_do_not_count(truth):
    path = truth.source / "transcripts.parquet"
    table = pd.read_parquet(path)
    genes = ~table["feature_name"].isin(CONTROLS)
    for least in (0.0, 20.0, 35.0):
        binned = bin_transcripts(path, 100.0, least_qv=least)
        assert binned.totals.sum() == (genes & (table["qv"] >= least)).sum()
        assert not set(binned.genes) & set(CONTROLS)


def test_the_section_survives_saving(truth, tmp_path):
    section = xenium.read(truth.source, SMALL)
    section.save(tmp_path / "saved")
    again = Section.load(tmp_path / "saved")
    _check(again, truth, truth.squares(112.0), 112.0)
    assert again.content_hash == section.content_hash


def test_an_alignment_written_the_other_way_round_is_inverted(tmp_path, caplog):
    truth = write_xenium(tmp_path / "S1", inverted=True)
    with caplog.at_level("WARNING", logger="c2lst"):
        _check(xenium.read(truth.source, SMALL), truth, truth.squares(112.0), 112.0)
    assert "is inverted" in caplog.text


def test_image_and_alignment_may_lie_elsewhere(sample, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image = sample.image.rename(folder / sample.image.name)
    sample.alignment.rename(folder / sample.alignment.name)
    with pytest.raises(InputError, match=r"H&E image is missing.*--image"):
        xenium.read(sample.source, SMALL)
    section = xenium.read(sample.source, ReadRequest(image=image, size=16))
    assert section.image_path == image


def test_squares_beyond_the_image_are_dropped(sample, caplog):
    """The H&E image often shows less than the instrument scanned."""
    image = Image.open(sample.image)
    cut = image.crop((0, 0, image.width, round(image.height * 0.7)))
    cut.save(sample.image, format="tiff")
    with caplog.at_level("INFO", logger="c2lst"):
        section = xenium.read(sample.source, SMALL)
    assert "0 beyond the image" not in caplog.text
    assert (section.centres_px[:, 1] < cut.height).all()


def test_any_of_its_paths_may_be_given(truth, tmp_path, small_legacy):
    for source in (truth.source, truth.source / "experiment.xenium"):
        assert xenium.recognise(source, None) == "it has experiment.xenium"
    outs = tmp_path / "S1" / "outs"
    shutil.copytree(truth.source, outs)
    assert xenium.recognise(outs.parent, None) == "it has experiment.xenium"
    for source in (tmp_path, tmp_path / "nothing", small_legacy, truth.image):
        assert xenium.recognise(source, None) is None


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"),
    ("1,0,0\n0,1,0\n", "no alignment"),
    ("1,0,0\n0,x,0\n0,0,1\n", "no alignment"),
    ("1,0,0\n0,nan,0\n0,0,1\n", "no alignment"),
    ("0,0,0\n0,0,0\n0,0,1\n", "no alignment"),
    ("1,0,0\n0,3,0\n0,0,1\n", "without shear"),
    ("1,0,0\n0,1,0\n5,7,1\n", "no alignment"),
    ("4.7,0,1e9\n0,4.7,1e9\n0,0,1\n", "outside the image"),
])  # fmt: skip
def test_an_alignment_that_is_none_is_refused(sample, text, says):
    sample.alignment.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        xenium.read(sample.source, SMALL)
    assert "imagealignment.csv" in str(caught.value) and caught.value.remedy


def test_without_an_alignment_places_are_unknown(sample):
    sample.alignment.unlink()
    with pytest.raises(InputError, match=r"alignment of .* is missing.*Xenium Explorer"):
        xenium.read(sample.source, SMALL)


@pytest.mark.parametrize(("experiment", "says"), [
    ("{", "not readable JSON"), ("{}", "'pixel_size' is missing"),
    (json.dumps({"pixel_size": "0.2"}), "'pixel_size' is no length"),
])  # fmt: skip
def test_a_damaged_manifest_is_refused(sample, experiment, says):
    (sample.source / "experiment.xenium").write_text(experiment)
    with pytest.raises(InputError, match=says):
        xenium.read(sample.source, SMALL)


@pytest.mark.parametrize(("change", "says"), [
    (lambda table: table.drop(columns="qv"), "'qv' is missing"),
    (lambda table: table.assign(x_location=np.nan), "lack a name, a place or a quality"),
    (lambda table: table.assign(qv=3.0), "no transcript counts"),
    (lambda table: table.assign(x_location=1e12), "too far away"),
    (lambda table: table.assign(x_location="left"), "Parquet|regular table"),
    (lambda table: table[:0], "no transcript counts"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_malformed_transcripts_are_refused(sample, change, says, kind):
    path = sample.source / "transcripts.parquet"
    table = change(pd.read_parquet(path))
    table.to_parquet(path)
    if kind == "csv":
        path.unlink()
        path = sample.source / "transcripts.csv.gz"
        table.to_csv(path, index=False)
    with pytest.raises(InputError, match=says) as caught:
        xenium.read(sample.source, SMALL)
    assert path.name in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("name", ["transcripts.parquet", "transcripts.csv.gz"])
def test_cut_transcripts_are_refused(name, tmp_path):
    truth = write_xenium(tmp_path / "S1", "csv" if "csv" in name else "parquet", number=3000)
    path = truth.source / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=name):
        xenium.read(truth.source, SMALL)


@pytest.mark.parametrize(("change", "says"), [
    (lambda table: table.drop(columns="x_centroid"), "'x_centroid' is missing"),
    (lambda table: table[5:], "5 of 600 cells have no place"),
    (lambda table: pd.concat([table, table[:1]]), "listed twice"),
    (lambda table: table.assign(y_centroid=np.inf), "'y_centroid' is no finite number"),
])  # fmt: skip
def test_malformed_cells_are_refused(change, says, tmp_path):
    truth = write_xenium(tmp_path / "S1", transcripts=None)
    path = truth.source / "cells.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(InputError, match=says):
        xenium.read(truth.source, SMALL)


@given(st.text(alphabet="0123456789.,-e\n nai", max_size=80))
def test_any_alignment_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "x_imagealignment.csv"
    path.write_text(text)
    try:
        alignment = read_alignment(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(alignment.scale) and alignment.scale > 0
        places = np.array([[3.0, 5.0]])
        back = alignment.inverted().to_image(alignment.to_image(places))
        assert np.allclose(back, places, rtol=1e-3, atol=1e-3)
