"""Legacy Spatial Transcriptomics, spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.legacy import write_legacy_section

COUNTS, SPOTS, IMAGE = "S1.tsv.gz", "S1_selection.tsv", "S1.png"


def _case(name: str, spoil: Callable[[Path], object], *says: str, args: tuple[str, ...] = ()):
    def make(folder: Path) -> list[str]:
        write_legacy_section(folder)
        spoil(folder)
        return ["ingest", str(folder), *args]

    return BadInput(f"legacy: {name}", make, says)


def _swap(table: list[list[str]]) -> list[list[str]]:
    return [table[0], *([*r[:4], r[5], r[4], *r[6:]] for r in table[1:])]


def _other_section(folder: Path) -> None:
    other = write_legacy_section(folder.with_name("other"), columns=4, rows=4, name="S1")
    edits.rows(other / SPOTS, lambda t: [t[0], *([f"{int(r[0]) + 40}", *r[1:]] for r in t[1:])])
    (other / SPOTS).replace(folder / SPOTS)


def _image(folder: Path, change: Callable[[Image.Image], Image.Image], **options: object) -> None:
    with Image.open(folder / IMAGE) as image:
        image.load()
    (folder / IMAGE).unlink()
    change(image).save(folder / IMAGE.replace(".png", ".tif"), **options)


CASES = [
    _case("truncated gz", lambda f: edits.truncate(f / COUNTS), COUNTS, "damaged"),
    _case("counts of 0 bytes", lambda f: edits.empty(f / COUNTS), COUNTS, "empty"),
    _case("negative count", lambda f: edits.cell(f / COUNTS, 3, 4, "-2"), COUNTS, "negative", "-2"),
    _case("fractional count", lambda f: edits.cell(f / COUNTS, 3, 4, "1.5"), COUNTS, "fraction"),
    _case("count is no number", lambda f: edits.cell(f / COUNTS, 3, 4, "many"), COUNTS, "'many'"),
    _case("count is NaN", lambda f: edits.cell(f / COUNTS, 3, 4, "NaN"), COUNTS, "finite"),
    _case("spot twice in counts", lambda f: edits.cell(f / COUNTS, 2, 0, "1x1"), COUNTS, "1x1"),
    _case(
        "rows named otherwise",
        lambda f: edits.cell(f / COUNTS, 2, 0, "spot7"),
        COUNTS,
        "'spot7'",
    ),
    _case(
        "transposed counts",
        lambda f: edits.rows(f / COUNTS, lambda t: [list(r) for r in zip(*t, strict=True)]),
        COUNTS,
        "transpose",
    ),
    _case(
        "ragged counts",
        lambda f: edits.rows(f / COUNTS, lambda t: [t[0], t[1][:-3], *t[2:]]),
        COUNTS,
    ),
    _case("counts header only", lambda f: edits.rows(f / COUNTS, lambda t: t[:1]), COUNTS, "rows"),
    _case(
        "counts by commas", lambda f: edits.text(f / COUNTS, lambda s: s.replace("\t", ",")), COUNTS
    ),
    _case("counts not UTF-8", lambda f: (f / COUNTS).write_bytes(b"\tG\xff\xfe\n1x1\t3\n"), COUNTS),
    _case(
        "spot file without pixel_x", lambda f: edits.cell(f / SPOTS, 0, 4, "px"), SPOTS, "pixel_x"
    ),
    _case(
        "NaN coordinate", lambda f: edits.cell(f / SPOTS, 5, 4, "nan"), SPOTS, "line 6", "pixel_x"
    ),
    _case(
        "array position is fractional", lambda f: edits.cell(f / SPOTS, 5, 0, "2.5"), SPOTS, "2.5"
    ),
    _case("selected is 2", lambda f: edits.cell(f / SPOTS, 5, 6, "2"), SPOTS, "selected"),
    _case(
        "position listed twice",
        lambda f: edits.rows(f / SPOTS, lambda t: [*t, t[1]]),
        SPOTS,
        "twice",
    ),
    _case("x and y exchanged", lambda f: edits.rows(f / SPOTS, _swap), SPOTS),
    _case(
        "spots on one line",
        lambda f: edits.rows(f / SPOTS, lambda t: [t[0], *(r for r in t[1:] if r[1] == "3")]),
        SPOTS,
        "µm/px",
    ),
    _case("spot file of another section", _other_section, "no selected spot has counts"),
    _case(
        "spots far outside the image",
        lambda f: edits.rows(
            f / SPOTS, lambda t: [t[0], *([*r[:4], f"{float(r[4]) + 9e4}", *r[5:]] for r in t[1:])]
        ),
        "outside",
    ),
    _case("image of 0 bytes", lambda f: edits.empty(f / IMAGE), IMAGE, "0 bytes"),
    _case("image truncated", lambda f: edits.truncate(f / IMAGE), IMAGE, "decoded"),
    _case("image is text", lambda f: (f / IMAGE).write_text("no image"), IMAGE, "not an image"),
    _case(
        "16-bit image",
        lambda f: _image(f, lambda i: Image.fromarray(np.asarray(i.convert("L"), np.uint16) * 257)),
        "S1.tif",
        "8",
    ),
    _case("CMYK image", lambda f: _image(f, lambda i: i.convert("CMYK")), "S1.tif", "CMYK"),
    _case("greyscale image", lambda f: _image(f, lambda i: i.convert("L")), "S1.tif"),
    _case(
        "image without tissue",
        lambda f: Image.new("RGB", (1000, 900), "white").save(f / IMAGE),
        "tissue",
    ),
    _case("image missing", lambda f: (f / IMAGE).unlink(), "S1", "image"),
    _case("counts missing", lambda f: (f / COUNTS).unlink(), "S1", "counts"),
    _case("spot file missing", lambda f: (f / SPOTS).unlink(), "S1", "spot file"),
    _case("section that is not there", lambda f: None, "'S9'", args=("--section", "S9")),
    _case("µm/px below 0", lambda f: None, "mpp", "-1", args=("--mpp", "-1")),
    _case("patch of no width", lambda f: None, "patch_um", args=("--patch-um", "0")),
    _case("patch of 1 px", lambda f: None, "size", args=("--size", "1")),
    _case("format that is not its own", lambda f: None, "Xenium", args=("--format", "xenium")),
]
