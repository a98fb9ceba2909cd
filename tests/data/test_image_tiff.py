"""Tiled, striped and pyramidal TIFF, and the slides that OpenSlide reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from c2lst.data.image import ArrayImage, SlideImage
from c2lst.data.image.tiff import TiffImage
from c2lst.data.image.vendor import VendorImage
from c2lst.errors import InputError

tifffile = pytest.importorskip("tifffile")

TILED = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"}


def _random(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def write_ome(path, pixels, *, levels=3, axes="YXS", metadata=None, **options):
    """Write a pyramid as Xenium's H&E exports are: OME-XML, smaller levels in SubIFDs."""
    metadata = {"axes": axes} | ({"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25} | (metadata or {}))
    rows = axes.index("Y")
    halved = (slice(None),) * rows + (slice(None, None, 2), slice(None, None, 2))
    options = {"tile": (64, 64), "photometric": "rgb"} | options
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        file.write(pixels, subifds=levels - 1, metadata=metadata, **options)
        for _ in range(levels - 1):
            pixels = np.ascontiguousarray(pixels[halved])
            file.write(pixels, subfiletype=1, metadata=None, **options)
    return path


def write_pages(path, pixels, levels=3, **options):
    """Write a pyramid as HEST's slides are: a page for each level, halved."""
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            small = pixels[:: 2**level, :: 2**level]
            file.write(small, subfiletype=int(level > 0), metadata=None, **(TILED | options))
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": None},
        {"compression": "lzw", "predictor": True},
        {"compression": "jpeg2000", "compressionargs": {"reversible": True, "level": 0}},
        {"tile": None, "rowsperstrip": 16},
        {"tile": None, "compression": None},
        {"planarconfig": "separate", "axes": "SYX"},
        {"planarconfig": "separate", "axes": "SYX", "tile": None, "compression": None},
        {"photometric": "minisblack", "axes": "CYX"},
        {"photometric": "minisblack", "axes": "CYX", "tile": None, "compression": None},
    ],
)
def test_however_an_ome_tiff_is_laid_out_the_pixels_are_the_same(tmp_path, options):
    pixels = _random(300, 421)
    stored = pixels if options.get("axes", "YXS") == "YXS" else pixels.transpose(2, 0, 1)
    options = {"compression": "deflate"} | options
    path = write_ome(tmp_path / "a.ome.tif", np.ascontiguousarray(stored), **options)
    with SlideImage.open(path) as image:
        assert isinstance(image, TiffImage)
        assert image.sizes == ((421, 300), (211, 150), (106, 75))
        assert image.levels == (1.0, 2.0, 4.0)
        assert image.mpp == 0.25
        assert np.array_equal(image.read(0, 0, 421, 300), pixels)
        assert np.array_equal(image.read(60, 130, 200, 7), pixels[130:137, 60:260])
        assert np.array_equal(image.read(100, 70, 6, 5, level=2), pixels[::4, ::4][70:75, 100:106])


def test_pages_that_are_halved_are_levels(tmp_path):
    pixels = _random(300, 421)
    image = SlideImage.open(write_pages(tmp_path / "a.tif", pixels))
    assert image.levels == (1.0, 2.0, 4.0)
    assert np.array_equal(image.read(3, 5, 90, 80, 1), pixels[::2, ::2][5:85, 3:93])


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_tiles_are_what_openslide_makes_of_them(tmp_path, photometric, stained_image):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stained_image(200, 300), tile=(64, 64), photometric=photometric,
                     compression="jpeg", compressionargs={"level": 85})  # fmt: skip
    ours, theirs = SlideImage.open(path), VendorImage(path)
    assert isinstance(ours, TiffImage)
    assert np.array_equal(ours.read(0, 0, 300, 200), theirs.read(0, 0, 300, 200))


def test_threads_read_the_same(tmp_path):
    pixels = _random(500, 500)
    image = SlideImage.open(write_pages(tmp_path / "a.tif", pixels))
    corners = np.random.default_rng(0).integers(0, 400, (200, 2)).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda corner: image.read(*corner, 100, 100), corners))
    for (x, y), region in zip(corners, found, strict=True):
        assert np.array_equal(region, pixels[y : y + 100, x : x + 100])


def test_a_tile_is_decoded_once_while_it_is_kept(tmp_path, monkeypatch):
    image = SlideImage.open(write_pages(tmp_path / "a.tif", _random(256, 256)))
    decoded = []
    once = TiffImage._decoded
    monkeypatch.setattr(TiffImage, "_decoded", lambda s, *at: decoded.append(at) or once(s, *at))
    for x in range(0, 200, 10):
        image.read(x, 10, 50, 50)
    assert len(decoded) == len(set(decoded)) == 4


def test_a_thumbnail_reads_a_small_level_only(tmp_path, monkeypatch):
    image = SlideImage.open(write_pages(tmp_path / "a.tif", _random(1024, 768), levels=4))
    levels = set()
    read = TiffImage._read
    monkeypatch.setattr(TiffImage, "_read", lambda s, *at: levels.add(at[-1]) or read(s, *at))
    assert image.thumbnail(200).shape == (200, 150, 3)
    assert levels == {2}
    assert image.thumbnail(5000).shape == (1024, 768, 3)


def test_left_out_tiles_and_transparent_pixels_are_white(tmp_path):
    pixels = np.full((128, 128, 4), 255, np.uint8)
    pixels[..., :3] = 100
    pixels[:64, :, 3] = 0
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, extrasamples=["unassalpha"], **TILED)
    whole = SlideImage.open(path).read(0, 0, 128, 128)
    assert (whole[:64] == 255).all() and (whole[64:] == 100).all()

    def tiles():
        yield from (np.full((64, 64, 3), 100, np.uint8), None, None, None)

    tifffile.imwrite(path, tiles(), shape=(128, 128, 3), dtype=np.uint8, **TILED)
    whole = SlideImage.open(path).read(0, 0, 128, 128)
    assert (whole[:64, :64] == 100).all()
    assert (whole[64:] == 255).all() and (whole[:, 64:] == 255).all()


@pytest.mark.parametrize(
    ("small", "largest_strip", "compression", "kind"),
    [
        (5000, 5000, "zlib", ArrayImage),
        (100, 5000, "zlib", TiffImage),
        (100, 100, "zlib", ArrayImage),
        (100, 100, None, TiffImage),
    ],
)
def test_a_striped_tiff_is_read_by_strips_only_where_that_saves_memory(
    tmp_path, monkeypatch, small, largest_strip, compression, kind
):
    monkeypatch.setattr("c2lst.data.image.layout._SMALL_PX", small)
    monkeypatch.setattr("c2lst.data.image.layout._LARGEST_TILE_PX", largest_strip)
    pixels, path = _random(40, 50), tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", compression=compression, rowsperstrip=8)
    image = SlideImage.open(path)
    assert isinstance(image, kind)
    assert np.array_equal(image.read(0, 0, 50, 40), pixels)


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [("CENTIMETER", 1e4 / 0.5, 0.5), ("INCH", 25400 / 0.5, 0.5), ("INCH", 72, None),
     ("NONE", 1e4, None), ("INCH", 300, None)],
)  # fmt: skip
@pytest.mark.parametrize("tile", [(64, 64), None])
def test_a_resolution_is_believed_where_it_is_a_microscope_s(tmp_path, tile, unit, per_unit, mpp):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, _random(100, 100), photometric="rgb", tile=tile,
                     resolution=(per_unit, per_unit), resolutionunit=unit)  # fmt: skip
    assert SlideImage.open(path).mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-4))


def test_units_of_ome_and_of_imagej(tmp_path):
    metadata = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250.0,
                "PhysicalSizeYUnit": "nm"}  # fmt: skip
    path = write_ome(tmp_path / "a.ome.tif", _random(128, 128), metadata=metadata)
    assert SlideImage.open(path).mpp == pytest.approx(0.25)
    big = tmp_path / "big.tif"
    tifffile.imwrite(big, _random(128, 128), photometric="rgb", imagej=True,
                     resolution=(4.0, 4.0), metadata={"unit": "um", "axes": "YXS"})  # fmt: skip
    with tifffile.TiffFile(big) as file:
        from c2lst.data.image.layout import _stated_mpp

        assert _stated_mpp(big, file, file.pages[0]) == pytest.approx(0.25)


def test_pixels_that_are_not_square_are_refused(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", _random(128, 128), metadata={"PhysicalSizeY": 0.3})
    with pytest.raises(InputError, match=r"not square.*0.25 µm along x and 0.3"):
        SlideImage.open(path)


def _sixteen_bit(path):
    tifffile.imwrite(path, np.zeros((128, 128, 3), np.uint16), photometric="rgb", tile=(64, 64))


def _grey(path):
    tifffile.imwrite(path, np.zeros((128, 128), np.uint8), tile=(64, 64))


def _cmyk(path):
    tifffile.imwrite(
        path, np.zeros((128, 128, 4), np.uint8), photometric="separated", tile=(64, 64)
    )


def _two_channels(path):
    write_ome(path, np.zeros((2, 128, 128), np.uint8), axes="CYX", photometric="minisblack")


def _cut_short(path):
    tifffile.imwrite(path, _random(256, 256), **TILED)
    path.write_bytes(path.read_bytes()[:100_000])


def _head_only(path):
    tifffile.imwrite(path, _random(256, 256), **TILED)
    path.write_bytes(path.read_bytes()[:12])


def _not_a_slide(path):
    path.write_bytes(b"II*\0" + b"\xff" * 300)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_sixteen_bit, "8-bit colour.*uint16"),
        (_grey, "8-bit colour.*1 channels"),
        (_cmyk, "8-bit colour.*SEPARATED"),
        (_two_channels, "8-bit colour.*2 channels"),
        (_cut_short, "cut short"),
        (_head_only, "cannot be decoded|not an image"),
        (_not_a_slide, "cannot be decoded|not an image"),
    ],
)
def test_what_is_no_colour_slide_is_refused_by_name(tmp_path, make, words):
    path = tmp_path / "slide.tif"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        SlideImage.open(path)
    assert "slide.tif" in str(caught.value)


@pytest.mark.parametrize("compression", ["deflate", "jpeg", "lzw", "jpeg2000"])
def test_a_damaged_tile_is_refused_when_it_is_read(tmp_path, compression):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, _random(256, 256), **(TILED | {"compression": compression}))
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    image = SlideImage.open(path)
    image.read(0, 0, 64, 64)
    with pytest.raises(InputError, match="a tile of the slide cannot be decoded") as caught:
        image.read(0, 0, 256, 256)
    assert "slide.tif" in str(caught.value)


def test_a_tile_too_large_to_decode_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("c2lst.data.image.layout._LARGEST_TILE_PX", 1000)
    tifffile.imwrite(tmp_path / "a.tif", _random(128, 128), **TILED)
    with pytest.raises(InputError, match=r"too large to decode.*64x64"):
        SlideImage.open(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".svs", ".ndpi", ".mrxs", ".vms", ".dcm", ".scn"])
def test_what_only_looks_like_a_scanner_s_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(b"no slide at all" * 100)
    with pytest.raises(InputError, match="slide"):
        SlideImage.open(path)


def test_an_aperio_slide_is_read_as_openslide_reads_it(real_data):
    path = real_data / "slides" / "cmu-1-small-region.svs"
    ours, theirs = SlideImage.open(path), VendorImage(path)
    assert isinstance(ours, TiffImage)
    assert (ours.sizes, ours.mpp) == (((2220, 2967),), 0.499)
    assert np.array_equal(ours.read(700, 900, 800, 700), theirs.read(700, 900, 800, 700))
    assert np.array_equal(ours.thumbnail(300), theirs.thumbnail(300))


def test_a_damaged_aperio_slide_is_refused(real_data, tmp_path):
    whole = (real_data / "slides" / "cmu-1-small-region.svs").read_bytes()
    path = tmp_path / "slide.svs"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"slide.svs"):
        SlideImage.open(path)
    damaged = bytearray(whole)
    damaged[60_000:200_000] = bytes(140_000)
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"slide.svs"):
        SlideImage.open(path).read(0, 0, 2220, 2967)
    with pytest.raises(InputError, match=r"slide.svs"):
        VendorImage(path).read(0, 0, 2220, 2967)


def test_openslide_s_transparent_pixels_take_the_background(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, _random(128, 128), photometric="rgb", tile=(64, 64))
    image = VendorImage(path)
    layered = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    monkeypatch.setattr(image, "_background", (230, 220, 210))
    monkeypatch.setattr(type(image._slide), "read_region", lambda *_: layered)
    assert (image.read(0, 0, 10, 10) == (230, 220, 210)).all()
