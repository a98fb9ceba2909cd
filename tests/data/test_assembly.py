from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.assembly import assemble, choose_mpp
from c2lst.data.image import SlideImage
from c2lst.data.patches import SlidePatches
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.errors import InputError
from miniatures.histology import he_image, on_tissue

MPP = 4.0
SMALL = ReadRequest(size=16)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Spots on the tissue of a slide that no turn and no mirroring leaves as it is."""
    image, tissue = he_image(360, 800, seed=1)
    image, tissue = (np.pad(a, [(0, 240), (0, 200), (0, 0)][: a.ndim]) for a in (image, tissue))
    image[360:], image[:, 800:] = 245, 245
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    Image.fromarray(image).save(path)
    column, row = np.meshgrid(np.arange(18), np.arange(10))
    centres = np.stack([column, row], axis=-1).reshape(-1, 2) * 50.0 + 50
    kept = on_tissue(tissue, centres)
    counts = np.random.default_rng(0).poisson(5, (kept.sum(), 4)) + 1
    return RawSection(
        name="R",
        technology="Spatial Transcriptomics",
        counts=counts,
        barcodes=np.array([f"{x}x{y}" for x, y in zip(column.ravel(), row.ravel(), strict=True)])[
            kept
        ],
        genes=np.array(list("ABCD")),
        array_row=row.ravel()[kept],
        array_col=column.ravel()[kept],
        centres_px=centres[kept],
        image_path=path,
        pitch_um=200.0,
        spot_um=100.0,
        mpp_pitch=MPP,
    )


def test_what_was_read_is_what_the_section_has(raw):
    section = assemble(raw, SMALL)
    assert np.array_equal(section.counts.toarray(), raw.counts)
    assert np.array_equal(section.centres_px, raw.centres_px)
    assert (section.mpp, section.pitch_um, section.name) == (MPP, 200.0, "R")
    assert isinstance(section.patches.images, SlidePatches)
    assert section.metadata["st_technology"] == "Spatial Transcriptomics"
    assert section.reading["spots_on_tissue"] == len(section)
    assert section.reading["dropped"] == {}


# µm/px


@pytest.mark.parametrize("source", ["mpp_stated", "image"])
@pytest.mark.parametrize(
    ("factor", "fits"), [(1.04, True), (0.96, True), (1.06, False), (0.94, False)]
)
def test_five_per_cent_between_what_says_the_scale(raw, source, factor, fits, caplog, tmp_path):
    if source == "image":
        path = tmp_path / "slide.png"
        dpi = 25_400 / (MPP * factor)
        Image.open(raw.image_path).save(path, dpi=(dpi, dpi))
        raw = dataclasses.replace(raw, image_path=path)
    else:
        raw = dataclasses.replace(raw, mpp_stated=MPP * factor)
    if fits:
        assert assemble(raw, SMALL).mpp == MPP
        return
    with pytest.raises(InputError, match=r"disagree.*--mpp 4"):
        assemble(raw, SMALL)
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        section = assemble(raw, dataclasses.replace(SMALL, mpp=MPP * factor))
    assert section.mpp == MPP * factor
    assert section.reading["mpp_from"] == "as told"
    assert "as told" in caplog.text


@given(st.floats(0.1, 10), st.floats(0.8, 1.2))
def test_the_first_is_taken_or_the_two_are_refused(mpp, factor):
    known = {"a": None, "b": mpp, "c": mpp * factor}
    if abs(factor - 1) > 0.05 + 1e-9:
        with pytest.raises(InputError, match="from b and from c disagree"):
            choose_mpp("S", "file", known, None)
    elif abs(factor - 1) < 0.05 - 1e-9:
        assert choose_mpp("S", "file", known, None) == (mpp, "from b")
    assert choose_mpp("S", "file", known, 3.0) == (3.0, "as told")


def test_an_unknown_scale_must_be_told(raw):
    unknown = dataclasses.replace(raw, mpp_pitch=None)
    with pytest.raises(InputError, match="--mpp"):
        assemble(unknown, SMALL)
    assert assemble(unknown, dataclasses.replace(SMALL, mpp=MPP)).mpp == MPP


def test_a_told_scale_is_meant_for_the_full_slide(raw):
    """The image at hand may be a smaller one."""
    half = dataclasses.replace(raw, image_scale=0.5)
    assert assemble(half, dataclasses.replace(SMALL, mpp=2.0)).mpp == MPP


@pytest.mark.parametrize("mpp", [0, -1, np.nan, np.inf])
def test_an_mpp_that_is_none_is_refused(raw, mpp):
    with pytest.raises(InputError, match="mpp"):
        assemble(raw, dataclasses.replace(SMALL, mpp=mpp))


@pytest.mark.parametrize(
    "wrong", [{"size": 4}, {"size": 5000}, {"patch_um": 0}, {"patch_um": np.nan}]
)
def test_a_patch_width_that_is_none_is_refused(raw, wrong):
    with pytest.raises(InputError):
        assemble(raw, dataclasses.replace(SMALL, **wrong))


# Orientation

TURNS = {
    "exchange the pixel columns x and y": Image.Transpose.TRANSPOSE,
    "mirror the image left to right": Image.Transpose.FLIP_LEFT_RIGHT,
    "mirror the image top to bottom": Image.Transpose.FLIP_TOP_BOTTOM,
    "turn the image by 180 degrees": Image.Transpose.ROTATE_180,
    "turn the image by 90 degrees clockwise": Image.Transpose.ROTATE_90,
    "turn the image by 90 degrees counterclockwise": Image.Transpose.ROTATE_270,
    "turn the image by 180 degrees and exchange x and y": Image.Transpose.TRANSVERSE,
}
"""What mends a slide, and what was done to it. Pillow turns counterclockwise."""


@pytest.mark.parametrize("remedy", TURNS)
def test_a_slide_laid_wrongly_is_refused_with_what_mends_it(raw, remedy, tmp_path):
    with Image.open(raw.image_path) as image:
        image.transpose(TURNS[remedy]).save(tmp_path / "slide.png")
    wrong = dataclasses.replace(raw, image_path=tmp_path / "slide.png")
    overlay = tmp_path / "out" / "o.png"
    with pytest.raises(InputError) as caught:
        assemble(wrong, dataclasses.replace(SMALL, overlay=overlay))
    message = str(caught.value)
    assert remedy in message and str(overlay) in message and "\n" not in message
    with Image.open(overlay) as picture:
        assert picture.width > picture.height  # as given, and as they would fit


def test_no_picture_is_written_where_none_was_asked_for(raw, tmp_path):
    with Image.open(raw.image_path) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "slide.png")
    with pytest.raises(InputError, match="180"):
        assemble(dataclasses.replace(raw, image_path=tmp_path / "slide.png"), SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["slide.png"]


def test_spots_of_another_resolution_are_refused(raw):
    small = dataclasses.replace(raw, centres_px=raw.centres_px / 20)
    with pytest.raises(InputError, match="same resolution"):
        assemble(small, SMALL)


def test_an_image_of_nothing_but_tissue_fits_any_way(raw, tmp_path):
    with Image.open(raw.image_path) as image:
        field = np.tile(np.asarray(image.crop((250, 130, 350, 230))), (6, 10, 1))
    Image.fromarray(field).save(tmp_path / "slide.png")
    assert len(assemble(dataclasses.replace(raw, image_path=tmp_path / "slide.png"), SMALL))


def test_few_spots_outside_the_image_are_dropped_and_counted(raw, caplog):
    centres = raw.centres_px.copy()
    centres[[2, 5]] = [[-30, 100], [5000, 100]]
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        section = assemble(dataclasses.replace(raw, centres_px=centres), SMALL)
    assert set(raw.barcodes) - set(section.barcodes) == {raw.barcodes[2], raw.barcodes[5]}
    assert section.reading["dropped"] == {"outside the image": 2}
    assert "2 spots outside the image" in caplog.text
    kept = np.delete(np.arange(len(centres)), [2, 5])
    assert np.array_equal(section.counts.toarray(), raw.counts[kept])


def test_many_spots_outside_the_image_are_refused(raw):
    centres = raw.centres_px.copy()
    centres[: len(centres) // 10] += 5000
    with pytest.raises(InputError, match="lie outside the image"):
        assemble(dataclasses.replace(raw, centres_px=centres), SMALL)


def test_patches_show_what_is_around_their_spots(raw):
    section = assemble(raw, ReadRequest(patch_um=64.0, size=16))
    image = SlideImage.open(raw.image_path)
    for index in (3, 20):
        x, y = raw.centres_px[index].astype(int)
        assert (
            np.abs(section.patches[index].astype(int) - image.read(x - 8, y - 8, 16, 16)).max() <= 1
        )
