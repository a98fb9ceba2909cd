"""What the gene explorer of the page draws: every gene of the panel, spot by spot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report import figures
from c2lst.report.artefacts import RunArtefacts
from c2lst.report.choices import GeneChoice
from c2lst.report.gene_maps import (
    ERROR_TITLE,
    SPOT_FILL,
    WIDTH_TITLE,
    error_limits,
    limits,
    ringed,
    score_texts,
    without_error,
)
from c2lst.report.packing import most_genes, pack
from c2lst.report.pictures import ROLE_LABELS, Picture


@dataclass(frozen=True)
class MapKind:
    """One of the linked maps: which quantity it shows, and in which colours."""

    key: str
    title: str
    scale: str
    colours: str
    bar: Picture


@dataclass(frozen=True)
class GeneExplorer:
    """The explorer's list of genes, its maps and their data.

    Parameters
    ----------
    groups
        Genes under their headings; a gene chosen by rule stands in the full list too.
    maps
        The linked maps, as far as the run has what they show.
    aspect
        Width of the maps over their height.
    left_out
        Genes of the panel for which the page had no room.
    data
        What the page's script reads, ready for JSON.
    """

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    maps: tuple[MapKind, ...]
    aspect: float
    left_out: int
    data: Mapping[str, Any]


def gene_explorer(artefacts: RunArtefacts, choices: list[GeneChoice]) -> GeneExplorer | None:
    """Gather the explorer; None where the section has too many spots for even one gene."""
    quantities = _quantities(artefacts)
    spots, genes = quantities["predicted"].shape
    kept, bits = most_genes(spots, genes, len(quantities))
    if kept == 0:
        return None
    columns = _ranked(artefacts, choices)[:kept]
    shown = {name: values[:, columns] for name, values in quantities.items()}
    names = [str(gene) for gene in artefacts.genes[columns]]
    error = shown["predicted"] - shown["observed"]
    error[without_error(artefacts)] = np.nan
    maps = _maps(shown, error)
    packed = pack(list(shown.values()), bits)
    texts = score_texts(artefacts)
    frame = figures.Frame.around(artefacts.centres, artefacts.thumbnail, SPOT_FILL)
    left, right, top, bottom = frame.bounds
    data = {
        "genes": [
            {
                "name": name,
                "score": texts.get(name, "not scored"),
                "low": float(packed.low[k]),
                "step": float(packed.step[k]),
                "limits": _limits(
                    {key: values[:, k] for key, values in shown.items()}, error[:, k]
                ),
            }
            for k, name in enumerate(names)
        ],
        "quantities": list(shown),
        "bits": bits,
        "values": packed.text,
        "spots": _spots(artefacts, frame.pitch),
        "frame": [round(edge / frame.pitch, 4) for edge in (left, right, top, bottom)],
        "fill": SPOT_FILL,
        "colours": {kind.colours: _hex(kind.colours) for kind in maps},
        "unmeasured": figures.UNMEASURED,
    }
    return GeneExplorer(
        groups=_groups(choices, names),
        maps=maps,
        aspect=(right - left) / (bottom - top),
        left_out=genes - kept,
        data=data,
    )


def _quantities(artefacts: RunArtefacts) -> dict[str, np.ndarray]:
    quantities = {"observed": artefacts.observed, "predicted": artefacts.predicted}
    lower, upper = artefacts.layer("lower"), artefacts.layer("upper")
    if lower is not None and upper is not None:
        quantities |= {"lower": lower, "upper": upper}
    return quantities


def _ranked(artefacts: RunArtefacts, choices: list[GeneChoice]) -> np.ndarray:
    """Columns of the panel: those chosen by rule, then from the best predicted to the worst."""
    chosen = {choice.gene: place for place, choice in enumerate(choices)}
    pearson = {r.gene: r.pearson for r in artefacts.gene_scores if r.method == DEFAULT_METHOD}
    scores = np.array([pearson.get(str(gene), np.nan) for gene in artefacts.genes])
    places = np.array([chosen.get(str(gene), len(chosen)) for gene in artefacts.genes])
    return np.lexsort((-np.nan_to_num(scores, nan=-np.inf), places))


def _groups(choices: list[GeneChoice], names: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    reasons = dict.fromkeys(choice.reason for choice in choices if choice.gene in names)
    chosen = [
        (reason, tuple(c.gene for c in choices if c.reason == reason and c.gene in names))
        for reason in reasons
    ]
    return (*chosen, ("every gene, by name", tuple(sorted(names))))


def _maps(shown: Mapping[str, np.ndarray], error: np.ndarray) -> tuple[MapKind, ...]:
    def kind(key: str, title: str, scale: str, colours: str) -> MapKind:
        bar = Picture(figures.colour_bar(colours), f"Colour scale of {title[0].lower()}{title[1:]}")
        return MapKind(key, title, scale, colours, bar)

    maps = []
    if np.isfinite(shown["observed"]).any():
        maps.append(kind("observed", "Observed", "value", figures.EXPRESSION_MAP))
    maps.append(kind("predicted", "Predicted", "value", figures.EXPRESSION_MAP))
    if "lower" in shown:
        maps.append(kind("width", WIDTH_TITLE, "width", figures.WIDTH_MAP))
    if np.isfinite(error).any():
        maps.append(kind("error", ERROR_TITLE, "error", figures.ERROR_MAP))
    return tuple(maps)


def _limits(gene: Mapping[str, np.ndarray], error: np.ndarray) -> dict[str, list[float]]:
    """Return the ends of one gene's colour scales: those of the still pictures."""
    ends = {
        "value": limits(np.concatenate([gene["observed"], gene["predicted"]])),
        "error": error_limits(error),
    }
    if "lower" in gene:
        ends["width"] = limits(gene["upper"] - gene["lower"])
    return {scale: [round(end, 4) for end in pair] for scale, pair in ends.items()}


def _spots(artefacts: RunArtefacts, pitch: float) -> dict[str, Any]:
    """Spots of the section; places in pitches, so that the script need not know the unit."""
    x, y = np.round(artefacts.centres / pitch, 3).T
    return {
        "barcode": artefacts.barcodes.tolist(),
        "x": x.tolist(),
        "y": y.tolist(),
        "role": artefacts.role.tolist(),
        "ringed": ringed(artefacts).astype(int).tolist(),
        "roles": {role: ROLE_LABELS[role] for role in sorted(set(artefacts.role.tolist()))},
        "unscored": without_error(artefacts).astype(int).tolist(),
    }


def _hex(colours: str) -> list[str]:
    """Return the 256 colours of a map as CSS writes them."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in matplotlib.colormaps[colours](np.linspace(0, 1, 256))]
