"""What a predictor says of spots, and the AnnData that it is written as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.expression.names import LEFT_OUT

if TYPE_CHECKING:
    from anndata import AnnData

    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

LEVEL = 0.90
"""Level of the intervals."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted expression of spots, all in log1p of counts per ``target_sum``.

    Parameters
    ----------
    barcodes, genes
        Shapes (n,) and (G,).
    mean, lower, upper
        Float32 (n, G): prediction and 90 % interval. Training spots are predicted from the other
        training spots, so that every row is out of sample.
    network
        Float32 (n, G): the networks' prediction alone; out of fold at training spots. None
        without networks.
    cotrained
        Whether the networks saw synthetic pairs.
    """

    barcodes: np.ndarray
    genes: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    network: np.ndarray | None
    cotrained: bool

    def to_anndata(
        self,
        section: Section,
        preprocessing: Preprocessing,
        split: SpotSplit | None = None,
        *,
        methods: Mapping[str, np.ndarray] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> AnnData:
        """Build ``predictions.h5ad``: all spots × panel genes.

        Parameters
        ----------
        section
            The section that was predicted.
        preprocessing
            Of the predictor; it says what was observed.
        split
            Fills ``obs["split"]``; without one, every spot is ``test``: nothing of this section
            was learnt from. Where it holds no spot out, the file says that its training spots, each
            predicted without its fold, are what can be judged.
        methods
            More layers (n, G), such as :func:`baseline_layers`.
        provenance
            Plain values for ``uns["c2lst"]``.

        Returns
        -------
        anndata.AnnData
            ``X`` and layers ``predicted``, ``observed``, ``lower``, ``upper``, ``predicted_counts``
            (expected counts at the training spots' median library size), ``network_cotrained`` or
            ``network_real_only``, and ``methods``; float32.
        """
        import anndata
        import pandas as pd

        if not np.array_equal(self.barcodes, section.barcodes):
            raise InputError(f"section {section.name!r}", "is not the one that was predicted")
        layers = {
            "predicted": self.mean,
            "observed": preprocessing.lognorm(section),
            "lower": self.lower,
            "upper": self.upper,
            "predicted_counts": preprocessing.scaler.to_counts(self.mean),
        }
        if self.network is not None:
            layers["network_cotrained" if self.cotrained else "network_real_only"] = self.network
        layers |= methods or {}
        obs = section.adata.obs.copy()
        # With it the counts come back from the observed values, and with them their noise.
        obs["library_size"] = section.library_size
        parts = split.of(section) if split is not None else np.full(len(obs), "test")
        obs["split"] = pd.Categorical(parts, categories=["train", "val", "test", "buffer"])
        predictions = anndata.AnnData(
            X=self.mean.astype(np.float32),
            obs=obs,
            var=pd.DataFrame(index=list(self.genes)),
            layers={name: np.asarray(x, dtype=np.float32) for name, x in layers.items()},
            obsm={"spatial": section.centres_px},
        )
        if "spatial" in section.adata.uns:
            predictions.uns["spatial"] = section.adata.uns["spatial"]
        judged = {} if split is None or split.test else {"judged": LEFT_OUT}
        predictions.uns["c2lst"] = {
            **judged,
            "expression": "log1p of normalised counts",
            "target_sum": preprocessing.scaler.target_sum,
            "counts_at_library_size": preprocessing.scaler.median_library_size,
            "interval": LEVEL,
            **(provenance or {}),
        }
        return predictions
