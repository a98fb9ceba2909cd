"""AnnData: an ``.h5ad`` file with ``obsm["spatial"]``, and the image that it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.assembly import check_patch_request
from c2lst.data.embedded import write_slide
from c2lst.data.layout import read_h5ad
from c2lst.data.raw import ReadRequest
from c2lst.data.readers.annotated import Annotated, mapping, scale_factor
from c2lst.data.readers.constants import SpatialKey
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

if TYPE_CHECKING:
    from anndata import AnnData

    from c2lst.data.section import Section

NAME = "anndata"
TITLE = "AnnData"
HAS_BINS = False
LOOKS_FOR = (
    "a file .h5ad with obsm['spatial'] and raw counts; its full-resolution image with --image"
)

_WHITE_OF_ONE = 2.0  # resampling exceeds 1 a little; an image of 0..255 is never as dark
_IMAGES = (SpatialKey.HIRES, SpatialKey.DOWNSCALED, SpatialKey.LOWRES)


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is an AnnData file; none if it is not."""
    path = _file(source, section)
    return None if path is None else f"{path.name} is an .h5ad file"


def read(source: Path, request: ReadRequest) -> Section:
    """Read the spots in tissue that have counts.

    Parameters
    ----------
    source
        The file, or a folder with one.
    request
        How it is to be read. Without ``image``, the largest image of ``uns["spatial"]`` is used;
        ``section`` chooses one of several libraries.

    Raises
    ------
    InputError
        If the file is damaged, lacks places or raw counts, or nothing says µm/px.
    """
    check_patch_request(request.patch_um, request.size)
    path = _file(source, request.section)
    if path is None:
        raise InputError(source, "holds no .h5ad file", expected=LOOKS_FOR, remedy="name the file")
    adata, library = _choose_library(path, read_h5ad(path), request.section)
    if SpatialKey.SPATIAL not in adata.obsm:
        raise InputError(
            path, "obsm lacks 'spatial'", found=", ".join(adata.obsm) or "no obsm",
            expected="spot centres as (x, y) in full-resolution px",
            remedy="add them; without places there is no section",
        )  # fmt: skip
    name = request.section or path.stem
    image, image_scale = _choose_image(path, name, library, request)
    factors = mapping(library, SpatialKey.SCALEFACTORS)
    centres = adata.obsm[SpatialKey.SPATIAL]
    return Annotated(path, name, adata, centres, factors, image, image_scale).section(request)


def _file(source: Path, section: str | None) -> Path | None:
    if source.is_file():
        return source if source.suffix == ".h5ad" else None
    files = sorted(path for path in source.glob("*.h5ad") if not is_litter(path))
    named = [path for path in files if path.stem == section]
    return (named or files)[0] if named or len(files) == 1 else None


def _choose_library(
    path: Path, adata: AnnData, section: str | None
) -> tuple[AnnData, dict[str, Any]]:
    """Spots of one library, and its entry of ``uns["spatial"]``."""
    spatial = mapping(adata.uns, SpatialKey.SPATIAL)
    libraries = {k: v for k, v in spatial.items() if isinstance(v, Mapping)}
    if len(libraries) < 2:
        return adata, dict(next(iter(libraries.values()), {}))
    if section not in libraries:
        raise InputError(
            path,
            "holds several sections" if section is None else f"section {section!r} is not here",
            found=", ".join(libraries),
            expected="the name of one",
            remedy=f"choose one with --section, such as {min(libraries)!r}",
        )
    for column in adata.obs:
        of = adata.obs[column].astype(str)
        if set(of.unique()) <= set(libraries) and section in set(of):
            return adata[(of == section).to_numpy()].copy(), dict(libraries[section])
    raise InputError(
        path,
        "no column of obs says which section a spot is of",
        found=", ".join(adata.obs.columns) or "no columns",
        expected=f"a column with {', '.join(libraries)}, such as library_id",
        remedy="write each section into a file of its own",
    )


def _choose_image(
    path: Path, name: str, library: dict[str, Any], request: ReadRequest
) -> tuple[Path, float]:
    """Image to cut patches from, and its px for each px of the centres."""
    if request.image is not None:
        return request.image, 1.0
    images, factors = (
        mapping(library, key) for key in (SpatialKey.IMAGES, SpatialKey.SCALEFACTORS)
    )
    for key in _IMAGES:
        if key not in images:
            continue
        scale = scale_factor(path, factors, f"tissue_{key.value}_scalef")
        if scale is not None:
            logger.warning(
                "%s: no --image: %r of uns['spatial'] is used, at %.3g times the full resolution",
                path, key.value, scale,
            )  # fmt: skip
            return write_slide(name, _rgb(path, key.value, np.asarray(images[key]))), scale
    raise InputError(
        path,
        "the image is missing",
        found="images in uns['spatial']: " + (", ".join(images) or "none"),
        expected="the full-resolution image, or 'hires' with tissue_hires_scalef",
        remedy="give the image with --image",
    )


def _rgb(path: Path, key: str, pixels: np.ndarray) -> np.ndarray:
    """uint8 RGB of an image that may be stored as 0..1, or with more bits than it needs."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype.kind not in "uf":
        raise InputError(
            path,
            f"the image {key!r} of uns['spatial'] is no RGB image",
            found=f"{pixels.dtype} of shape {pixels.shape}",
            expected="(height, width, 3)",
            remedy="give the image with --image",
        )
    pixels, top = pixels[..., :3], float(pixels[..., :3].max(initial=0))
    if not top <= 255:  # also NaN
        raise InputError(
            path,
            f"the image {key!r} of uns['spatial'] is no 8-bit image",
            found=f"{pixels.dtype} up to {top:g}",
            expected="0..255, or 0..1 as floating point",
            remedy="give the image with --image, or store it as 8-bit RGB",
        )
    if pixels.dtype.kind == "f":
        pixels = np.rint(np.clip(255 * pixels if top <= _WHITE_OF_ONE else pixels, 0, 255))
    return pixels.astype(np.uint8)
