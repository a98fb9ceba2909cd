"""Maps of genes as still pictures, and the rules of drawing that the gene explorer shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report import figures
from c2lst.report.artefacts import RunArtefacts
from c2lst.report.choices import GeneChoice
from c2lst.report.pictures import Picture
from c2lst.report.wording import number

SPOT_FILL = 0.9
"""Diameter of a spot in pitches: drawn larger than it is, so that the pattern can be read."""

ERROR_TITLE = "Error (predicted − observed)"
WIDTH_TITLE = "Width of the 90 % interval"


@dataclass(frozen=True)
class MapView:
    """One map with its colour scale; ``low`` and ``high`` are the ends in words."""

    title: str
    picture: Picture
    bar: Picture
    low: str
    high: str


@dataclass(frozen=True)
class GenePanel:
    """The maps of one gene."""

    gene: str
    reason: str
    score: str
    maps: tuple[MapView, ...]


def ringed(artefacts: RunArtefacts) -> np.ndarray:
    """Which spots are ringed because the model learnt from them: bool (n,)."""
    train = artefacts.role == "train"
    return np.zeros_like(train) if artefacts.left_out else train


def without_error(artefacts: RunArtefacts) -> np.ndarray:
    """Which spots have no error drawn: bool (n,).

    Held-out spots show how well the model does where it has not seen; how well it does on those
    that it learnt from is another question.
    """
    return ringed(artefacts) | (artefacts.role == "val")


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the 1st and 99th percentile of the finite values, never two equal ends."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, high = (float(q) for q in np.quantile(finite, [0.01, 0.99]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def error_limits(error: np.ndarray) -> tuple[float, float]:
    """Return limits that are the same on both sides of zero."""
    reach = max(abs(end) for end in limits(np.abs(error)))
    return -reach, reach


def score_texts(artefacts: RunArtefacts) -> dict[str, str]:
    """Return how well each scored gene was predicted, in words."""
    return {
        row.gene: f"Pearson {number(row.pearson, 2)}, mean absolute error {number(row.mae, 2)}"
        for row in artefacts.gene_scores
        if row.method == DEFAULT_METHOD
    }


def gene_panels(artefacts: RunArtefacts, choices: list[GeneChoice]) -> list[GenePanel]:
    """Draw the chosen genes: observed, predicted, error and interval width."""
    frame = figures.Frame.around(artefacts.centres, artefacts.thumbnail, SPOT_FILL)
    column = {str(gene): k for k, gene in enumerate(artefacts.genes)}
    scores = score_texts(artefacts)
    return [
        GenePanel(
            choice.gene,
            choice.reason,
            scores.get(choice.gene, "not scored"),
            _gene_maps(artefacts, frame, choice, column[choice.gene]),
        )
        for choice in choices
    ]


def _gene_maps(
    artefacts: RunArtefacts, frame: figures.Frame, choice: GeneChoice, column: int
) -> tuple[MapView, ...]:
    observed, predicted = artefacts.observed[:, column], artefacts.predicted[:, column]
    lower, upper = artefacts.layer("lower"), artefacts.layer("upper")
    rings = ringed(artefacts)
    shared = limits(np.concatenate([observed, predicted]))
    error = np.where(without_error(artefacts), np.nan, predicted - observed)

    def view(title: str, shown: np.ndarray, colours: str, ends: tuple[float, float]) -> MapView:
        signed = ends[0] < 0 < ends[1]
        low, high = (number(end, 2, signed=signed) for end in ends)
        return MapView(
            title,
            Picture(
                figures.spot_map(frame, shown, rings, colours, ends),
                f"{title} expression of {choice.gene} over the section, from {low} to {high}"
                if colours == figures.EXPRESSION_MAP
                else f"{title} of {choice.gene} over the section, from {low} to {high}",
            ),
            Picture(figures.colour_bar(colours), f"Colour scale from {low} to {high}"),
            low,
            high,
        )

    maps = [
        view("Observed", observed, figures.EXPRESSION_MAP, shared),
        view("Predicted", predicted, figures.EXPRESSION_MAP, shared),
    ]
    if lower is not None and upper is not None:
        width = upper[:, column] - lower[:, column]
        maps.append(view(WIDTH_TITLE, width, figures.WIDTH_MAP, limits(width)))
    maps.append(view(ERROR_TITLE, error, figures.ERROR_MAP, error_limits(error)))
    if artefacts.between is not None:
        maps.append(_between(artefacts, choice, column, shared))
    return tuple(maps)


def _between(
    artefacts: RunArtefacts, choice: GeneChoice, column: int, ends: tuple[float, float]
) -> MapView:
    """Draw the map between the spots, in the colours of the spots' own."""
    places = artefacts.between
    assert places is not None
    values = np.asarray(places.layers["predicted"][:, column], dtype=np.float64)
    frame = figures.Frame.around(np.asarray(places.obsm["spatial"]), artefacts.thumbnail, 1.0)
    low, high = (number(end, 2) for end in ends)
    pitch = float(places.uns["c2lst"]["pitch_um"])
    title = f"Between the spots, every {pitch:g} µm"
    return MapView(
        title,
        Picture(
            figures.spot_map(
                frame, values, np.zeros(len(values), dtype=bool), figures.EXPRESSION_MAP, ends
            ),
            f"Predicted expression of {choice.gene} between the spots, from {low} to {high}",
        ),
        Picture(figures.colour_bar(figures.EXPRESSION_MAP), f"Colour scale from {low} to {high}"),
        low,
        high,
    )
