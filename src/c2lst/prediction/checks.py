"""Whether the parts that a predictor is fitted to belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs

PLACE, NETWORK = "place", "network"
"""Names of the views that are no image features."""


def training_rows(section: Section, split: SpotSplit, preprocessing: Preprocessing) -> np.ndarray:
    """Rows of the training spots, (n,).

    Raises
    ------
    InputError
        If the split is of another section, or the preprocessing of another split or section.
    """
    split.check(section)
    preprocessing.check(section)
    preprocessing.check_fitted_to(section, split)
    return section.indices_of(split.train)


def check_synthetic(synthetic: SyntheticPairs | None, preprocessing: Preprocessing) -> None:
    """Refuse synthetic pairs of another section, of other genes or of another order of them."""
    if synthetic is None:
        return
    # Arrays of one kind have the same barcodes on every slide: these alone tell none apart.
    drawn_from = synthetic.provenance.get("section_hash", preprocessing.section_hash)
    if drawn_from != preprocessing.section_hash:
        raise InputError(
            "synthetic pairs",
            "were drawn from the profiles of another section",
            found=f"content {str(drawn_from)[:12]}",
            expected=preprocessing.section_hash[:12],
            remedy="synthesise them from the training spots of this split",
        )
    if tuple(synthetic.genes) != tuple(preprocessing.panel.genes):
        raise InputError(
            "synthetic pairs",
            "are of other genes, or of another order of them",
            found=f"{len(synthetic.genes)} genes",
            expected=f"the {len(preprocessing.panel)} of the panel",
        )


def checked_features(
    features: Mapping[str, np.ndarray] | None, spots: int
) -> dict[str, np.ndarray]:
    """Return image features as float64, by name.

    Raises
    ------
    InputError
        If a name is taken, or an array is not of all ``spots``.
    """
    checked = {}
    for name, x in (features or {}).items():
        if name in (PLACE, NETWORK) or not name:
            raise InputError("features", "name is taken", found=repr(name))
        checked[name] = np.asarray(x, dtype=np.float64)
        if checked[name].ndim != 2 or len(checked[name]) != spots:
            raise InputError(
                "features",
                f"{name!r} has the wrong shape",
                found=checked[name].shape,
                expected=f"({spots}, d): all spots of the section",
            )
    return checked
