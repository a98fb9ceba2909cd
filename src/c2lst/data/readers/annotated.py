"""What AnnData files and SpatialData tables have in common: counts, places and a scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.assembly import assemble
from c2lst.data.image import SlideImage
from c2lst.data.lattice import array_positions, fit_lattice, nearest_px, stated_array
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.constants import ObsColumn, ScaleFactor, SpatialKey
from c2lst.data.readers.names import unique_names
from c2lst.data.stated import stated_number
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from c2lst.data.section import Section

VISIUM_PITCH_UM, VISIUM_SPOT_UM = 100.0, 55.0
COUNTS_LAYER = "counts"
_FACTORS = (ScaleFactor.MPP.value, ScaleFactor.BIN_SIZE.value)
_HEXAGONAL = (1.65, 1.82)  # height of a row over half the distance in it: the root of 3


@dataclass(frozen=True, eq=False)
class Annotated:
    """A table of spots with places on an image.

    Parameters
    ----------
    where
        Its file.
    name
        Name of the section.
    adata
        The table; ``obs`` may hold ``in_tissue``, ``array_row`` and ``array_col``.
    centres
        (n, 2) centres as (x, y), in px of the slide.
    factors
        Scale factors, as ``uns["spatial"]`` holds them.
    image
        The image to cut patches from.
    image_scale
        Its px for each px of ``centres``.
    """

    where: Path
    name: str
    adata: AnnData
    centres: np.ndarray
    factors: dict[str, Any]
    image: Path
    image_scale: float = 1.0

    def section(self, request: ReadRequest) -> Section:
        """Make a section of the spots in tissue that have counts.

        Raises
        ------
        InputError
            If there are no raw counts, a spot has no place, or nothing says µm/px.
        """
        counts, genes = raw_counts(self.where, self.adata)
        kept, dropped = _with_counts(self.where, self.adata, counts)
        adata = self.adata[kept]
        centres = _finite_centres(self.where, adata, np.asarray(self.centres)[kept])
        factors = {key: scale_factor(self.where, self.factors, key) for key in _FACTORS}
        scale = ArrayScale.of(adata, centres, factors)
        pitch_um, spot_um = self._lengths(scale, request.mpp)
        array = array_positions(adata, centres)
        return assemble(
            RawSection(
                name=self.name,
                technology=scale.technology,
                counts=counts[kept],
                barcodes=adata.obs_names.to_numpy(dtype=str),
                genes=genes,
                array_row=array[:, 1],
                array_col=array[:, 0],
                centres_px=centres * self.image_scale,
                image_path=self.image,
                pitch_um=pitch_um,
                spot_um=spot_um,
                mpp_pitch=_per(scale.mpp_pitch, self.image_scale),
                mpp_stated=_per(scale.stated, self.image_scale),
                image_scale=self.image_scale,
                places_file=self.where,
                dropped=dropped,
            ),
            request,
        )

    def _lengths(self, scale: ArrayScale, told: float | None) -> tuple[float, float]:
        """Pitch and diameter of the spots in µm; by µm/px where the technology is not known."""
        if scale.pitch_um is not None and scale.spot_um is not None:
            return scale.pitch_um, scale.spot_um
        mpp = told or scale.stated
        if mpp is None:
            with SlideImage.open(self.image) as slide:
                mpp = None if slide.mpp is None else slide.mpp * self.image_scale
        if mpp is None:
            raise InputError(
                self.where,
                "µm/px is not known",
                found="no array of a known technology, and no stated resolution",
                expected="µm per full-resolution px",
                remedy="give it with --mpp",
            )
        diameter_px = scale_factor(self.where, self.factors, SpatialKey.SPOT_DIAMETER)
        pitch_um = scale.pitch_px * mpp
        return pitch_um, pitch_um / 2 if diameter_px is None else diameter_px * mpp


def mapping(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return what ``key`` holds as a dictionary; an empty one where it holds anything else."""
    found = values.get(key)
    return dict(found) if isinstance(found, Mapping) else {}


def scale_factor(where: Path, factors: Mapping[str, Any], key: str) -> float | None:
    """Return a scale factor; none where it is not stated, or is NaN.

    Raises
    ------
    InputError
        If it is no number above 0.
    """
    return stated_number(where, factors, key, "scale factor", "correct it, or remove it")


def _per(mpp: float | None, scale: float) -> float | None:
    return None if mpp is None else mpp / scale


def raw_counts(where: Path, adata: AnnData) -> tuple[csr_matrix, np.ndarray]:
    """Raw counts and gene names, from ``layers["counts"]``, ``X`` or ``raw``.

    Returns
    -------
    CSR (n, G), and str (G,), made unique.

    Raises
    ------
    InputError
        If none of them holds whole numbers, as after normalisation.
    """
    from scipy import sparse

    candidates = {
        f"layers[{COUNTS_LAYER!r}]": (adata.layers.get(COUNTS_LAYER), adata.var_names),
        "X": (adata.X, adata.var_names),
        "raw": (None, ()) if adata.raw is None else (adata.raw.X, adata.raw.var_names),
    }
    wrong = []
    for label, (values, genes) in candidates.items():
        if values is None:
            continue
        counts = sparse.csr_matrix(values)
        bad = ~np.isfinite(counts.data) | (counts.data < 0) | (counts.data != np.rint(counts.data))
        if not bad.any():
            logger.info("%s: counts from %s", where, label)
            return counts, unique_names(where, [str(gene) for gene in genes])
        wrong.append(f"{counts.data[bad][0]:g} in {label}")
    raise InputError(
        where,
        "holds no raw counts",
        found=", ".join(wrong) or "no X",
        expected=f"whole numbers in layers[{COUNTS_LAYER!r}], X or raw",
        remedy="keep the counts from before normalisation in one of them",
    )


def _with_counts(
    where: Path, adata: AnnData, counts: csr_matrix
) -> tuple[np.ndarray, dict[str, int]]:
    """Which spots are in tissue and have a count above zero, bool (n,), and what the others are."""
    off = np.zeros(adata.n_obs, dtype=bool)
    if ObsColumn.IN_TISSUE in adata.obs:
        off = adata.obs[ObsColumn.IN_TISSUE].astype(str).isin(["0", "0.0", "False"]).to_numpy()
    empty = ~off & (np.asarray(counts.sum(axis=1)).ravel() == 0)
    dropped = {"outside the tissue": int(off.sum()), "with no count above zero": int(empty.sum())}
    listed = ", ".join(f"{number} {why}" for why, number in dropped.items())
    kept = ~(off | empty)
    if not kept.any():
        raise InputError(
            where,
            "no spot in tissue has counts",
            found=listed,
            expected="counts above zero",
            remedy="check in_tissue and the counts",
        )
    if not kept.all():
        logger.info("%s: %d spots; dropped: %s", where, kept.sum(), listed)
    return kept, dropped


def _finite_centres(where: Path, adata: AnnData, centres: np.ndarray) -> np.ndarray:
    if centres.ndim != 2 or centres.shape[1] < 2 or centres.dtype.kind not in "iuf":
        raise InputError(
            where,
            "the spot centres have the wrong shape",
            found=f"{centres.dtype} of shape {centres.shape}",
            expected=f"({adata.n_obs}, 2): x and y",
            remedy="write obsm['spatial'] as (x, y) in full-resolution px",
        )
    centres = centres[:, :2].astype(np.float64)
    finite = np.isfinite(centres).all(axis=1)
    if not finite.all():
        raise InputError(
            where,
            f"the centre of {str(adata.obs_names[int(np.argmin(finite))])!r} is not finite",
            found=f"{(~finite).sum()} such spots",
            expected="x and y in px",
            remedy="drop the spots that have no place",
        )
    return centres


@dataclass(frozen=True)
class ArrayScale:
    """What the array tells of the scale.

    Parameters
    ----------
    technology
        As HEST-1k writes it.
    pitch_px
        Distance of neighbouring spots in the px of the centres.
    pitch_um, spot_um
        The same in µm and the diameter of a spot, where the technology is known.
    stated
        µm per px of the centres, as scale factors state it.
    """

    technology: str
    pitch_px: float
    pitch_um: float | None = None
    spot_um: float | None = None
    stated: float | None = None

    @property
    def mpp_pitch(self) -> float | None:
        """µm per px of the centres, from a known pitch."""
        return None if self.pitch_um is None else self.pitch_um / self.pitch_px

    @classmethod
    def of(
        cls, adata: AnnData, centres: np.ndarray, factors: Mapping[str, float | None]
    ) -> ArrayScale:
        """Look at the array columns, if any, and at the scale factors of the library.

        Visium shows itself: every second place of the array is filled, and a step along a row is
        50 µm where the next row is 87 µm away.
        """
        stated, bin_um = factors.get(ScaleFactor.MPP), factors.get(ScaleFactor.BIN_SIZE)
        if stated is not None and bin_um is not None:
            return cls("Visium HD", bin_um / stated, bin_um, bin_um, stated)
        if stated_array(adata) is None:
            return cls("unknown", nearest_px(centres), stated=stated)
        array = array_positions(adata, centres)
        lattice = fit_lattice(array.astype(float), centres, array)
        if lattice is None or lattice.residual_px > lattice.unit_px / 4:
            return cls("unknown", nearest_px(centres), stated=stated)
        along, across = np.linalg.norm(lattice.matrix, axis=0)
        if lattice.chessboard and _HEXAGONAL[0] < across / along < _HEXAGONAL[1]:
            return cls("Visium", lattice.pitch_px, VISIUM_PITCH_UM, VISIUM_SPOT_UM, stated)
        return cls("unknown", lattice.pitch_px, stated=stated)
