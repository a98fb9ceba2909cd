"""What a reader is asked for, and what it hands to assembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class ReadRequest:
    """How a section is to be read.

    Parameters
    ----------
    section
        Which section, where the source holds several.
    image
        The full-resolution image, where it is not part of the source.
    mpp
        µm per full-resolution px, which overrules what the files say.
    patch_um, size
        Width of a patch in µm and in px.
    bin_um
        Width of the square pseudo-spots, µm, that Visium HD bins and Xenium transcripts are
        pooled to; 112 µm by default.
    overlay
        PNG file for a picture of the spots on the slide, drawn where they do not fit it.
    """

    section: str | None = None
    image: Path | None = None
    mpp: float | None = None
    patch_um: float = 112.0
    size: int = 224
    bin_um: float | None = None
    overlay: Path | None = None


@dataclass(frozen=True, eq=False)
class RawSection:
    """A section as its files give it, before anything is checked against the image.

    Parameters
    ----------
    name
        Short name of the section.
    technology
        As HEST-1k writes it: ``"Visium"``, ``"Visium HD"``, ``"Xenium"``,
        ``"Spatial Transcriptomics"``.
    counts, barcodes, genes
        Raw counts (n, all genes); spot and gene names.
    array_row, array_col
        Places of the spots on the array, int (n,).
    centres_px
        (n, 2) spot centres as (x, y) in px of ``image_path`` at full resolution.
    image_path
        The image that ``centres_px`` refers to.
    pitch_um, spot_um
        Distance between neighbouring spots and diameter of a spot, µm.
    mpp_pitch, mpp_stated
        µm per px from the spots' known pitch, and as the files state it; none where unknown.
    image_scale
        Px of ``image_path`` for each px that the user's µm/px is meant for, where the image is a
        smaller one than the slide.
    places_file
        The file that ``centres_px`` came from, for messages.
    gene_ids
        Ensembl ids of the genes, where the files give both.
    dropped
        How many spots the reader left out, by reason.
    """

    name: str
    technology: str
    counts: csr_matrix | np.ndarray
    barcodes: np.ndarray
    genes: np.ndarray
    array_row: np.ndarray
    array_col: np.ndarray
    centres_px: np.ndarray
    image_path: Path
    pitch_um: float
    spot_um: float
    mpp_pitch: float | None = None
    mpp_stated: float | None = None
    image_scale: float = 1.0
    places_file: Path | None = None
    gene_ids: np.ndarray | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
