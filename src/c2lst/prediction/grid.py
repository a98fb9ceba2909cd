"""The map between the spots and beyond the array: a predictor on a lattice of any pitch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from c2lst import __version__
from c2lst.data.grid import SpotGrid
from c2lst.errors import InputError
from c2lst.prediction.result import LEVEL, Prediction
from c2lst.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from c2lst.data.section import Section
    from c2lst.prediction.predictor import ExpressionPredictor

_BATCH = 1024


def predict_grid(
    predictor: ExpressionPredictor,
    section: Section,
    pitch_um: float,
    encode: Callable[[np.ndarray], dict[str, np.ndarray]],
) -> AnnData:
    """Predict the whole tissue of the slide of the fit, at ``pitch_um`` from place to place.

    Patches are cut, looked at and forgotten a batch at a time; what grows with the slide is the
    map itself.

    Parameters
    ----------
    predictor
        Fitted on ``section``.
    section
        With its full-resolution image.
    pitch_um
        Distance between neighbours on a square lattice, µm.
    encode
        Stain-normalised uint8 patches (q, S, S, 3) to the image features of the fit, by name.

    Returns
    -------
    anndata.AnnData
        Places × genes. ``X`` and layer ``predicted`` (log1p of normalised counts), ``lower``,
        ``upper``, ``predicted_counts``; ``obs``: ``array_col``, ``array_row`` and
        ``distance_um`` to the nearest sequenced spot; ``obsm["spatial"]`` in full-resolution px.

    Raises
    ------
    InputError
        If the predictor is of another section, or the image is gone.
    """
    if not predictor.knows(section):
        raise InputError(
            f"section {section.name!r}",
            "is not the one that the predictor was fitted on",
            remedy="give that section; of another one only its spots can be predicted",
        )
    fitted = predictor.preprocessing
    with section.open_image() as image:
        grid = SpotGrid.on_tissue(
            image,
            section.mpp,
            pitch_um=pitch_um,
            patch_um=fitted.patch_um,
            size=fitted.size,
            lattice="square",
        )
        parts = []
        with progress_bar("predict", len(grid)) as bar:
            for start in range(0, len(grid), _BATCH):
                rows = np.arange(start, min(start + _BATCH, len(grid)))
                patches = grid.patches[rows]
                parts.append(
                    predictor.predict_between(
                        grid.names[rows],
                        grid.centres_um[rows],
                        patches,
                        features=encode(fitted.images(patches)),
                    )
                )
                bar.advance(len(rows))
    return _to_anndata(_joined(parts), grid, section, predictor)


def _joined(parts: list[Prediction]) -> Prediction:
    return replace(
        parts[0],
        barcodes=np.concatenate([part.barcodes for part in parts]),
        mean=np.concatenate([part.mean for part in parts]),
        lower=np.concatenate([part.lower for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
        network=None,
    )


def _to_anndata(
    prediction: Prediction, grid: SpotGrid, section: Section, predictor: ExpressionPredictor
) -> AnnData:
    import anndata
    import pandas as pd
    from scipy.spatial import KDTree

    home, scaler = predictor.home, predictor.preprocessing.scaler
    places = np.array([name.split("x") for name in grid.names.tolist()], dtype=int)
    nearest, _ = KDTree(home.centres_um[home.train]).query(grid.centres_um)
    found = anndata.AnnData(
        X=prediction.mean,
        obs=pd.DataFrame(
            {"array_col": places[:, 0], "array_row": places[:, 1], "distance_um": nearest},
            index=grid.names,
        ),
        var=pd.DataFrame(index=list(prediction.genes)),
        layers={
            "predicted": prediction.mean,
            "lower": prediction.lower,
            "upper": prediction.upper,
            "predicted_counts": scaler.to_counts(prediction.mean).astype(np.float32),
        },
        obsm={"spatial": grid.centres_px},
    )
    if "spatial" in section.adata.uns:
        found.uns["spatial"] = section.adata.uns["spatial"]
    found.uns["c2lst"] = {
        "version": __version__,
        "section": section.name,
        "section_hash": section.content_hash,
        "expression": "log1p of normalised counts",
        "target_sum": scaler.target_sum,
        "counts_at_library_size": scaler.median_library_size,
        "pitch_um": grid.pitch_um,
        "interval": LEVEL,
    }
    return found
