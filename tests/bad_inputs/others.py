"""AnnData with an image, and folders that are nothing that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
from PIL import Image

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.hest import write_hest


def _annotated(
    name: str,
    change: Callable[[anndata.AnnData], object],
    *says: str,
    args: tuple[str, ...] = ("--image", "{image}", "--mpp", "1"),
) -> BadInput:
    def make(folder: Path) -> list[str]:
        truth = write_hest(folder / "made")
        adata = anndata.read_h5ad(truth.part("st"))
        change(adata)
        adata.write_h5ad(folder / "mine.h5ad")
        image = str(truth.part("wsis"))
        return ["ingest", str(folder / "mine.h5ad"), *(a.replace("{image}", image) for a in args)]

    return BadInput(f"anndata: {name}", make, says)


def _folder(name: str, make_in: Callable[[Path], object], *says: str) -> BadInput:
    def make(folder: Path) -> list[str]:
        make_in(folder)
        return ["ingest", str(folder)]

    return BadInput(f"folder: {name}", make, says)


def _float(adata: anndata.AnnData) -> None:
    adata.X.data = np.log1p(adata.X.data.astype(float))


def _bomb(folder: Path) -> list[str]:
    """Make a slide image of 10 gigapixels in a few kilobytes."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999))
    )
    (folder / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    truth = write_hest(folder / "made")
    return [
        "ingest",
        str(truth.part("st").rename(folder / "mine.h5ad")),
        "--image",
        str(folder / "bomb.png"),
        "--mpp",
        "1",
    ]


CASES = [
    _annotated("no places", lambda a: a.obsm.pop("spatial"), "mine.h5ad", "spatial"),
    _annotated("normalised values alone", _float, "mine.h5ad", "whole"),
    _annotated("image that is not there", lambda a: None, "no.tif", args=("--image", "no.tif")),
    _annotated(
        "image of another slide",
        lambda a: a.obsm.update(spatial=a.obsm["spatial"] + 9000),
        "outside",
    ),
    BadInput("anndata: decompression bomb", _bomb, ("bomb.png", "large")),
    _folder("empty", lambda f: None, "empty folder", "Space Ranger", "Xenium"),
    _folder("only a text file", lambda f: (f / "notes.txt").write_text("hello"), "notes.txt"),
    _folder("only an image", lambda f: Image.new("RGB", (64, 64)).save(f / "he.png"), "collect"),
    BadInput("folder: none there", lambda f: ["ingest", str(f / "none" / "S1")], ("no such",)),
    BadInput("zarr: an empty folder", lambda f: _zarr(f), ("mine.zarr",)),
]


def _zarr(folder: Path) -> list[str]:
    (folder / "mine.zarr").mkdir()
    (folder / "mine.zarr" / "zarr.json").write_text("{}")
    edits.empty(folder / "mine.zarr" / ".zattrs")
    return ["ingest", str(folder / "mine.zarr")]
