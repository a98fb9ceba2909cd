"""Real and synthetic patches side by side, by cluster of expression (paper Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.report import figures
from c2lst.report.artefacts import BarcodedPatches, RunArtefacts
from c2lst.report.pictures import Picture, restained, standardised

PATCHES, COLUMNS = 12, 6


@dataclass(frozen=True)
class ClusterView:
    """Sampled spots of one expression cluster: where they lie, and how they look."""

    name: str
    spots: int
    genes: tuple[str, ...]
    place: Picture
    real: Picture
    synthetic: Picture


def cluster_views(artefacts: RunArtefacts) -> list[ClusterView]:
    """Show each cluster; none where the run has no pairs, or too few sampled spots to cluster."""
    from c2lst.evaluation.cluster_sheets import cluster_rows
    from c2lst.evaluation.correspondence import FEWEST, PER_CLUSTER, expression_clusters

    real, synthetic = artefacts.patches, artefacts.synthetic
    if real is None or synthetic is None:
        return []
    spots = _both(artefacts, real, synthetic)
    if len(spots) < FEWEST * PER_CLUSTER:
        return []
    scaled = standardised(artefacts)[spots]
    clusters = expression_clusters(scaled)
    barcodes = artefacts.barcodes[spots]
    drawn, sources = of_spots(synthetic.barcodes, barcodes)
    rows = cluster_rows(
        clusters,
        scaled,
        artefacts.genes.tolist(),
        real.images.subset(of_spots(real.barcodes, barcodes)[0]),
        synthetic.images.subset(drawn),
        sources,
        patches=PATCHES,
    )
    frame = figures.Frame.around(artefacts.centres, artefacts.thumbnail, fill=0.85)
    return [
        ClusterView(
            name=row.name,
            spots=row.spots,
            genes=row.genes,
            place=Picture(
                figures.place_map(frame, spots[clusters == number]),
                f"Where the {row.spots} sampled spots of {row.name.lower()} lie",
            ),
            real=_mosaic(restained(artefacts, row.real), f"Real patches of {row.name.lower()}"),
            synthetic=_mosaic(
                row.synthetic,
                f"Synthetic patches for the genes of the same spots of {row.name.lower()}",
            ),
        )
        for number, row in enumerate(rows)
    ]


def _both(artefacts: RunArtefacts, real: BarcodedPatches, synthetic: BarcodedPatches) -> np.ndarray:
    """Find the sampled spots that have a real and a synthetic patch, int (k,)."""
    barcodes = artefacts.barcodes
    there = np.isin(barcodes, real.barcodes) & np.isin(barcodes, synthetic.barcodes)
    return np.flatnonzero(there & (artefacts.role == "train"))


def of_spots(of: np.ndarray, barcodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the patches of some spots by their barcodes.

    Parameters
    ----------
    of
        ``(m,)``: barcode of each patch; of none for one between two spots.
    barcodes
        ``(k,)``: the spots.

    Returns
    -------
    tuple of numpy.ndarray
        Rows of the patches, by spot, and the position of each one's spot in ``barcodes``.
    """
    position = {str(barcode): k for k, barcode in enumerate(barcodes)}
    found = np.array([position.get(str(barcode), -1) for barcode in of], dtype=int)
    order = np.argsort(found, kind="stable")
    order = order[found[order] >= 0]
    return order, found[order]


def _mosaic(images: np.ndarray, words: str) -> Picture:
    return Picture(figures.mosaic(images, min(COLUMNS, len(images))), f"{words}, in rows")
