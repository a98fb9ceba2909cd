"""The slide, its patches, and scatter plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.expression import NETWORK, NETWORK_TWIN
from c2lst.report import figures
from c2lst.report.artefacts import BarcodedPatches, RunArtefacts
from c2lst.report.choices import first_component, spread
from c2lst.report.wording import number

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing

ROWS = 5
SYNTHETIC_COLUMNS = 5

ROLE_LABELS = {
    "train": "sequenced (the model learns from these)",
    "val": "sequenced, kept for choosing the model",
    "test": "held out (scored)",
    "buffer": "left out as a buffer",
}


@dataclass(frozen=True)
class Picture:
    """A data URI and the words that stand for it."""

    uri: str
    alt: str


@dataclass(frozen=True)
class LegendEntry:
    """One role of the split, with the number of its spots."""

    role: str
    label: str
    count: int


@dataclass(frozen=True)
class SlidePanel:
    """The slide, plain (where there is a thumbnail) and with the split."""

    plain: Picture | None
    split: Picture
    legend: tuple[LegendEntry, ...]


@dataclass(frozen=True)
class PatchRow:
    """A sampled spot: its real patch, as scanned and restained, and synthetic ones."""

    barcode: str
    genes: tuple[str, ...]
    real: Picture
    restained: Picture | None
    synthetic: tuple[Picture, ...]


@dataclass(frozen=True)
class PatchPanel:
    """Rows of patches."""

    rows: tuple[PatchRow, ...]
    columns: int
    restained: bool
    pairs: int


@dataclass(frozen=True)
class ScatterView:
    """A scatter plot and what it shows."""

    title: str
    picture: Picture
    note: str


def slide_panel(artefacts: RunArtefacts) -> SlidePanel:
    """Draw the slide and the split over it; spots at half their pitch, tissue visible between."""
    role = artefacts.role
    frame = figures.Frame.around(artefacts.centres, artefacts.thumbnail, fill=0.5)
    legend = tuple(
        LegendEntry(name, label, int((role == name).sum()))
        for name, label in ROLE_LABELS.items()
        if (role == name).any()
    )
    counts = "; ".join(f"{entry.count} spots {entry.label}" for entry in legend)
    plain = None
    if artefacts.thumbnail is not None:
        plain = Picture(
            figures.slide_crop(frame), f"Histology of section {artefacts.name} without marks"
        )
    split = Picture(
        figures.split_overlay(frame, role, artefacts.mpp),
        f"Section {artefacts.name} with its spots: {counts}",
    )
    return SlidePanel(plain, split, legend)


def patch_panel(artefacts: RunArtefacts) -> PatchPanel | None:
    """Show real and synthetic patches of the same spots; None where the run has no pairs."""
    real, synthetic = artefacts.patches, artefacts.synthetic
    if real is None or synthetic is None:
        return None
    where = {barcode: k for k, barcode in enumerate(real.barcodes)}
    sources = np.flatnonzero(
        (artefacts.role == "train")
        & np.isin(artefacts.barcodes, synthetic.barcodes)
        & np.isin(artefacts.barcodes, real.barcodes)
    )
    if len(sources) == 0:
        return None
    scaled = standardised(artefacts)[sources]
    order = np.argsort(first_component(scaled), kind="stable") if len(sources) > 1 else [0]
    rows = tuple(
        _patch_row(
            artefacts, str(artefacts.barcodes[sources[k]]), scaled[k], real, where, synthetic
        )
        for k in spread(np.asarray(order), ROWS)
    )
    return PatchPanel(
        rows=rows,
        columns=max(len(row.synthetic) for row in rows),
        restained=_restainer(artefacts) is not None,
        pairs=len(synthetic.barcodes),
    )


def standardised(artefacts: RunArtefacts) -> np.ndarray:
    """Observed expression (n, G) in standard deviations over the sampled spots; unknown as 0."""
    observed = artefacts.observed
    train = observed[artefacts.role == "train"]
    mean, std = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    return np.nan_to_num((observed - mean) / np.where(std > 0, std, 1.0))


def _patch_row(
    artefacts: RunArtefacts,
    barcode: str,
    scaled: np.ndarray,
    real: BarcodedPatches,
    where: dict[str, int],
    synthetic: BarcodedPatches,
) -> PatchRow:
    top = np.argsort(-scaled, kind="stable")[:3]
    genes = tuple(f"{artefacts.genes[g]} {number(scaled[g], 1, signed=True)}" for g in top)
    pixels = real.read([where[barcode]])
    restained = None
    restainer = _restainer(artefacts)
    if restainer is not None:
        restained = Picture(
            figures.patch(restainer.images(pixels)[0]),
            f"The same patch of spot {barcode} in the stain of the reference",
        )
    made = np.flatnonzero(synthetic.barcodes == barcode)[:SYNTHETIC_COLUMNS]
    return PatchRow(
        barcode=barcode,
        genes=genes,
        real=Picture(figures.patch(pixels[0]), f"Real patch of spot {barcode}"),
        restained=restained,
        synthetic=tuple(
            Picture(figures.patch(image), f"Synthetic patch {k} from the profile of spot {barcode}")
            for k, image in enumerate(synthetic.read(made.tolist()), start=1)
        ),
    )


def _restainer(artefacts: RunArtefacts) -> Preprocessing | None:
    """Return what brings real patches to the reference stain; None where they have it already."""
    fitted = artefacts.preprocessing
    if fitted is None or fitted.stain.same_as(fitted.source_stain):
        return None
    return fitted


def restained(artefacts: RunArtefacts, images: np.ndarray) -> np.ndarray:
    """Bring real patches (k, S, S, 3) to the stain that the local model works in."""
    restainer = _restainer(artefacts)
    return images if restainer is None else restainer.images(images)


def scatters(artefacts: RunArtefacts) -> list[ScatterView]:
    """Draw predicted against observed, and genes with against without synthetic pairs."""
    views = []
    observed, predicted = artefacts.observed, artefacts.predicted
    judged = artefacts.judged
    x, y = observed[judged].ravel(), predicted[judged].ravel()
    known = np.isfinite(x) & np.isfinite(y)
    if known.any():
        views.append(
            ScatterView(
                "Predicted against observed",
                Picture(
                    figures.predicted_against_observed(x[known], y[known]),
                    "Density of predicted against observed expression on "
                    f"{artefacts.judged_as}, with the line of equality",
                ),
                f"{int(known.sum()):,} values of {artefacts.judged_as}; darker is more. A cloud "
                "flatter than the dashed line means that extremes are drawn to the middle.",
            )
        )
    genes = _gene_effect(artefacts)
    if genes is not None:
        views.append(genes)
    return views


def _gene_effect(artefacts: RunArtefacts) -> ScatterView | None:
    table: dict[str, dict[str, float]] = {NETWORK: {}, NETWORK_TWIN: {}}
    for row in artefacts.gene_scores:
        if row.method in table and math.isfinite(row.mae):
            table[row.method][row.gene] = row.mae
    common = sorted(set(table[NETWORK]) & set(table[NETWORK_TWIN]))
    if not common:
        return None
    x = np.array([table[NETWORK_TWIN][gene] for gene in common])
    y = np.array([table[NETWORK][gene] for gene in common])
    below = int((y < x).sum())
    return ScatterView(
        "Each gene, with and without synthetic pairs",
        Picture(
            figures.gene_scatter(x, y, ("Error, real only", "Error, real + synthetic")),
            f"Error of each gene with against without synthetic pairs: {below} of {len(common)} "
            "genes have a lower error with them",
        ),
        f"Mean absolute error of the image network, one dot a gene: {below} of {len(common)} genes "
        "lie below the dashed line, where synthetic pairs lower the error.",
    )
