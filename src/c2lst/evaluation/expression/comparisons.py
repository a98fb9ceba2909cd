"""Compare methods spot by spot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.expression.blocks import RESAMPLES, SpatialBlocks, interval
from c2lst.evaluation.expression.heldout import HeldOut
from c2lst.evaluation.expression.names import (
    COTRAINED,
    DEFAULT_METHOD,
    NETWORK,
    NETWORK_TWIN,
    TWIN,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

_TWINS: Mapping[str, tuple[str, ...]] = {
    DEFAULT_METHOD: (TWIN, COTRAINED, NETWORK),
    COTRAINED: (TWIN,),
    NETWORK: (NETWORK_TWIN,),
}


def compare(predictions: AnnData, *, resamples: int = RESAMPLES, seed: int = 0) -> DataFrame:
    """Compare methods spot by spot: paired differences in MAE with 95 % intervals.

    Returns
    -------
    pandas.DataFrame
        Columns ``method, against, mae_difference, low, high`` (negative: ``method`` errs less):
        the default predictor and its networks against every baseline, and each of them against
        its twin of real spots only. ``against_best`` marks the baseline of least error *on the
        held-out spots*, a choice that favours the baseline.
    """
    import pandas as pd

    held_out = HeldOut.of(predictions)
    sampler = SpatialBlocks.of(held_out.xy, resamples, seed)
    errors = {m: np.abs(p - held_out.observed).mean(axis=1) for m, p in held_out.methods.items()}
    baselines = [m for m in held_out.baselines if m in errors]
    best = min(baselines, key=lambda m: (errors[m].mean(), m), default=None)
    pairs = [
        (method, against)
        for method in (DEFAULT_METHOD, COTRAINED, TWIN, NETWORK, NETWORK_TWIN)
        for against in (*baselines, *_TWINS.get(method, ()))
        if method in errors and against in errors
    ]
    rows = []
    for method, against in pairs:
        difference = errors[method] - errors[against]
        low, high = interval(sampler.mean(difference))
        rows.append((method, against, float(difference.mean()), low, high, against == best))
    columns = ["method", "against", "mae_difference", "low", "high", "against_best"]
    return pd.DataFrame(rows, columns=columns)
