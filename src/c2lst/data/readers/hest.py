"""HEST-1k samples, and sections that c2lst wrote: ``st``, ``patches``, ``wsis``, ``metadata``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from c2lst.data.assembly import (
    OUTSIDE,
    check_patch_request,
    choose_mpp,
    describe,
    place,
)
from c2lst.data.hest import HestSample, find_place, load_sample
from c2lst.data.hest_patches import StoredPatches
from c2lst.data.image import SlideImage
from c2lst.data.lattice import pitch_in_px
from c2lst.data.patch_file import patch_file, stated_length
from c2lst.data.patches import Patches, SlidePatches
from c2lst.data.placement import Placement, report_resolution
from c2lst.data.raw import ReadRequest
from c2lst.data.readers.constants import (
    HEST_LIBRARY,
    HestDirectory,
    HestMetadataKey,
    HestPatchKey,
    SpatialKey,
)
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

NAME = "hest"
TITLE = "HEST-1k"
HAS_BINS = False
LOOKS_FOR = "st/{id}.h5ad, with patches/{id}.h5 or wsis/{id}.tif, and metadata/{id}.json"

_SAME = 1.02  # HEST cuts whole px; a patch this much wider or finer is the stored one


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is in the HEST-1k layout; none if it is not."""
    directory = source.parent.parent if source.suffix == ".h5ad" else source
    files = (directory / HestDirectory.ST).glob("*.h5ad")
    samples = sorted(path for path in files if not is_litter(path))
    if not samples or (source.is_file() and source not in samples):
        return None
    parts = [part.value for part in HestDirectory if (directory / part).is_dir()]
    return f"it has {samples[0].relative_to(directory)} and the folders {', '.join(parts)}"


def read(source: Path, request: ReadRequest) -> Section:
    """Read a sample: its stored patches where they are wide and fine enough, else its slide.

    Parameters
    ----------
    source
        The folder that holds ``st``, or a file of ``st``.
    request
        How it is to be read. A narrower patch is cut from the centre of the stored one.

    Raises
    ------
    InputError
        If a file is missing or damaged, files disagree, or patches are asked for that neither
        the patch file nor a slide can give.
    """
    check_patch_request(request.patch_um, request.size)
    found = find_place(source, request.section)
    if found is None:
        raise InputError(source, "holds no sample", expected=LOOKS_FOR, remedy="check the folder")
    sample = load_sample(found)
    mpp, mpp_from = _choose_mpp(sample, request)
    slide = sample.image_path if request.image is None else request.image
    stored = sample.patches
    if stored is not None and not (slide.is_file() and _is_too_small(stored, mpp, request)):
        return _from_patches(sample, stored, mpp, mpp_from, request)
    return _from_slide(sample, slide, mpp, mpp_from, request)


def _choose_mpp(sample: HestSample, request: ReadRequest) -> tuple[float, str]:
    """Take the metadata's µm/px, which spots and patches must agree with."""
    stated = sample.require(HestMetadataKey.PIXEL_SIZE)
    known: dict[str, float | None] = {HestMetadataKey.PIXEL_SIZE.value: stated}
    pitch_um = sample.number(HestMetadataKey.PITCH)
    pitch_px = pitch_in_px(sample.adata, sample.centres_px)
    if sample.ours is None and pitch_um is not None and pitch_px is not None:
        known[f"the spots' pitch of {pitch_um:g} µm"] = pitch_um / pitch_px
    if sample.patches is not None:
        with patch_file(sample.patches.path) as file:
            attributes = dict(file[HestPatchKey.IMAGES].attrs)
        of_patches = stated_length(sample.patches.path, attributes, HestPatchKey.PIXEL_SIZE)
        known[f"patches/{sample.patches.path.name}"] = of_patches
    return choose_mpp(sample.place.section, sample.place.metadata, known, request.mpp)


def _is_too_small(stored: StoredPatches, mpp: float, request: ReadRequest) -> bool:
    """Whether the stored patches are narrower or coarser than what is asked for."""
    stored_um = stored.width_px * mpp
    native = stored.size * request.patch_um / stored_um
    return request.patch_um > _SAME * stored_um or request.size > _SAME * native


def _from_patches(
    sample: HestSample, stored: StoredPatches, mpp: float, mpp_from: str, request: ReadRequest
) -> Section:
    stored_um = stored.width_px * mpp
    crop = request.patch_um / stored_um
    if crop > _SAME:
        raise InputError(
            stored.path,
            "its patches are narrower than asked for",
            found=f"{stored_um:.0f} µm",
            expected=f"{request.patch_um:g} µm",
            remedy="ask for narrower patches with --patch-um, or give the slide with --image",
        )
    crop = 1.0 if abs(crop - 1) < _SAME - 1 else crop
    if request.size > _SAME * stored.size * crop:
        logger.warning(
            "%s: stored patches have %.0f px in %g µm and are upsampled to %d px",
            sample.place.section, stored.size * crop, request.patch_um, request.size,
        )  # fmt: skip
    kept = sample.joined()
    placement = None if sample.ours else _placed_on_thumbnail(sample, mpp, request)
    patches = Patches(stored.images(kept, request.size, crop), request.patch_um)
    dropped = {"without a patch or a count": int((~kept).sum())}
    reading = None if sample.ours else describe(mpp_from, placement, kept, dropped)
    return Section.of_sample(sample, kept, patches, mpp, sample.pitch_um(mpp), reading)


def _placed_on_thumbnail(sample: HestSample, mpp: float, request: ReadRequest) -> Placement | None:
    """Look at the spots on HEST's own thumbnail, for the slide may not be there."""
    library = sample.adata.uns[SpatialKey.SPATIAL].get(HEST_LIBRARY, {})
    pixels = library.get(SpatialKey.IMAGES, {}).get(SpatialKey.DOWNSCALED)
    factors = library.get(SpatialKey.SCALEFACTORS, {})
    scale = factors.get(f"tissue_{SpatialKey.DOWNSCALED.value}_scalef")
    if pixels is None or not scale:
        logger.warning(
            "%s: no thumbnail, so where its spots lie is not checked", sample.place.section
        )
        return None
    return place(
        sample.place.section,
        SlideImage.from_array(np.asarray(pixels)),
        sample.centres_px * scale,
        mpp / scale,
        _spot_um(sample, mpp),
        request,
        sample.place.counts,
    )


def _from_slide(
    sample: HestSample, slide: Path, mpp: float, mpp_from: str, request: ReadRequest
) -> Section:
    if not slide.is_file():
        raise InputError(
            sample.place.directory,
            f"sample {sample.place.section!r} has neither patches nor a slide",
            found="no " + " and no ".join((f"patches/{sample.place.patches.name}", str(slide))),
            expected="one of them",
            remedy="copy one of them here, or give the slide with --image",
        )
    with SlideImage.open(slide) as image:
        placement = place(
            sample.place.section,
            image,
            sample.centres_px,
            mpp,
            _spot_um(sample, mpp),
            request,
            sample.place.counts,
        )
    filled = np.asarray(sample.adata.X.sum(axis=1)).ravel() > 0
    kept = filled & ~placement.outside
    dropped = {
        OUTSIDE: int(placement.outside.sum()),
        "with no count above zero": int((~filled & ~placement.outside).sum()),
    }
    report_resolution(sample.place.section, mpp, request.patch_um, request.size)
    images = SlidePatches(slide, sample.centres_px[kept], mpp, request.patch_um, request.size)
    reading = None if sample.ours else describe(mpp_from, placement, kept, dropped)
    section = Section.of_sample(
        sample, kept, Patches(images, request.patch_um), mpp, sample.pitch_um(mpp), reading
    )
    return replace(section, image_path=slide)


def _spot_um(sample: HestSample, mpp: float) -> float:
    stated, diameter_px = sample.number(HestMetadataKey.SPOT_DIAMETER), sample.spot_px()
    return stated or (diameter_px or 0.0) * mpp
