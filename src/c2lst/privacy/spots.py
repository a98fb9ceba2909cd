"""Which spots an audit compares: those that were learnt from, and those that were not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel

ENOUGH = 50


@dataclass(frozen=True)
class AuditSpots:
    """Training and held-out spots of one section, as positions in it.

    Parameters
    ----------
    training
        Spots that were learnt from, or drawn for.
    held_out
        Spots that nothing was fitted to: test spots of the split.
    overlapping
        Of the held-out spots, those whose patch shares pixels with a training patch. They are
        here only where too few others are left.
    set_aside
        Held-out spots that were left out for that reason.
    """

    training: np.ndarray
    held_out: np.ndarray
    overlapping: int
    set_aside: int

    @classmethod
    def choose(cls, section: Section, split: SpotSplit, model: LocalModel | None) -> AuditSpots:
        """Choose them for an adapter, or for synthetic pairs whose adapter is not at hand.

        Raises
        ------
        InputError
            If the split is of another section or holds no spot out, or the adapter was trained on
            other spots.
        """
        from scipy.spatial import KDTree

        split.check(section)
        if not split.test:
            raise InputError(
                "split",
                "leaves no spot that nothing was fitted to, so that no audit can be made",
                found=split.summary(),
                remedy="adapt with a split that holds spots out, to export what comes of it",
            )
        training = section.indices_of(_learnt(split, model))
        held_out = section.indices_of(split.test)
        centres = section.centres_um
        nearest, _ = KDTree(centres[training]).query(centres[held_out], p=np.inf)
        shared = nearest < section.patches.patch_um
        if (~shared).sum() < ENOUGH:
            return cls(training, held_out, int(shared.sum()), 0)
        return cls(training, held_out[~shared], 0, int(shared.sum()))


def _learnt(split: SpotSplit, model: LocalModel | None) -> tuple[str, ...]:
    """Return the training spots, less those that only decided when the adaptation stopped."""
    if model is None:
        return split.train
    if model.provenance["train_hash"] != split.train_hash:
        raise InputError(
            "split",
            "training spots are not those that the adapter was trained on",
            remedy="use the split that was given to `c2lst adapt`",
        )
    if not model.provenance.get("early_stop"):
        return split.train
    from c2lst.local.pairs import held_out_spots

    watched = set(held_out_spots(split, model.provenance["settings"]["training"]["seed"]))
    return tuple(barcode for barcode in split.train if barcode not in watched)
