"""Folds of training spots, and which pairs the network of a fold may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.synthetic import PARENT_SEPARATOR
from c2lst.errors import InputError
from c2lst.prediction.pairs import Pairs, PairSource
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.prediction.options import CotrainingSettings

FEWEST = 4
"""Training spots."""


def draw_folds(n: int, folds: int, seed: int) -> np.ndarray:
    """Fold of each of ``n`` training spots, at random over the section: int (n,).

    There are at most n folds, and their sizes differ by one at most.
    """
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.arange(n) % min(folds, n)
    return fold


def draw_validation(folds: np.ndarray, fold: int, share: float, seed: int) -> np.ndarray:
    """Spots outside a fold that are held out of the training of its network: bool (n,).

    At least one where the share is above 0, and never so many that fewer than two are left.
    """
    outside = np.flatnonzero(folds != fold)
    wanted = min(max(1, round(share * len(outside))), len(outside) - 2) if share else 0
    chosen = np.random.default_rng((seed, fold)).permutation(outside)[: max(0, wanted)]
    return np.isin(np.arange(len(folds)), chosen)


def first_pairs(pairs: SyntheticPairs, barcodes: np.ndarray, ratio: int) -> SyntheticPairs:
    """Take the first ``ratio`` pairs of each training spot, so that smaller ratios are nested.

    A pair with several parents counts for its first.
    """
    known = set(barcodes.tolist())
    first = np.array([_parents(source, known)[0] for source in pairs.source_barcodes.tolist()])
    order = np.argsort(first, kind="stable")
    _, starts, counts = np.unique(first[order], return_index=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first)) - np.repeat(starts, counts)
    taken = pairs.subset(np.flatnonzero(rank < ratio))
    if len(taken) < ratio * len(barcodes):
        logger.warning(
            "%d synthetic pairs of %d training spots are fewer than %d each",
            len(taken),
            len(barcodes),
            ratio,
        )
    return taken


def synthetic_outside(
    pairs: SyntheticPairs, allowed: np.ndarray, refused: np.ndarray
) -> np.ndarray:
    """Which synthetic pairs a network may see that must not know the ``refused`` spots: bool (m,).

    A pair with several parents, ``A+B``, needs all of them outside.

    Raises
    ------
    InputError
        If a pair was made from a spot that is no training spot at all.
    """
    known, hidden = set(allowed.tolist()), set(refused.tolist())
    parents = [_parents(source, known) for source in pairs.source_barcodes.tolist()]
    strangers = sorted({p for group in parents for p in group} - known)
    if strangers:
        raise InputError(
            "synthetic pairs",
            f"{len(strangers)} source barcodes are not training spots",
            found=repr(strangers[0]),
            expected="pairs synthesised from the training spots of this split",
            remedy="synthesise again with this split",
        )
    return np.array([not hidden.intersection(group) for group in parents], dtype=bool)


def _parents(source: str, known: set[str]) -> tuple[str, ...]:
    return (source,) if source in known else tuple(source.split(PARENT_SEPARATOR))


def visible_pairs(
    real: Pairs,
    barcodes: np.ndarray,
    hidden: np.ndarray,
    settings: CotrainingSettings,
    synthetic: SyntheticPairs | None = None,
    drawn: Pairs | None = None,
) -> PairSource:
    """Return what a network may see: nothing of the hidden spots, neither real nor synthetic.

    Parameters
    ----------
    real, barcodes
        All training spots, (n,).
    hidden
        Spots that the network must not know: bool (n,).
    settings
        Shares, weight and curriculum.
    synthetic, drawn
        Synthetic pairs, and what the network reads of them; none for real pairs alone.

    Raises
    ------
    InputError
        If all synthetic pairs come from hidden spots, or some from no training spot.
    """
    lowest, highest = min(settings.shares), max(settings.shares)
    if synthetic is None or drawn is None or highest == 0:
        return PairSource.of_real(real.where(~hidden))
    seen = synthetic_outside(synthetic, barcodes, barcodes[hidden])
    if not seen.any():
        raise InputError(
            "synthetic pairs",
            "all of them come from spots that a fold's network must not see",
            remedy="synthesise pairs from every training spot",
        )
    kept = ~hidden if lowest < 1 else np.zeros_like(hidden)
    return PairSource(
        real.where(kept),
        drawn.where(seen),
        share=settings.shares[0],
        weight=settings.synthetic_weight,
        curriculum=None if lowest == highest else settings.share_at,
    )


def check_pairs(
    images: np.ndarray,
    targets: np.ndarray,
    barcodes: np.ndarray,
    synthetic: SyntheticPairs | None,
) -> None:
    """Refuse spots that are too few, and synthetic pairs of other patches or genes.

    Parameters
    ----------
    images, targets, barcodes
        Of the training spots, (n, …).
    synthetic
        The pairs, or none.
    """
    if len(images) < FEWEST:
        raise InputError(
            "network", "too few training spots", found=len(images), expected=f"at least {FEWEST}"
        )
    if len(targets) != len(images) or len(barcodes) != len(images):
        raise InputError(
            "network",
            "images, targets and barcodes differ in number",
            found=(len(images), len(targets), len(barcodes)),
        )
    if synthetic is None:
        return
    if synthetic.images.shape[1:] != images.shape[1:]:
        raise InputError(
            "synthetic pairs",
            "patches have another size than the real ones",
            found=synthetic.images.shape[1:],
            expected=images.shape[1:],
        )
    if synthetic.scaled.shape[1] != targets.shape[1]:
        raise InputError(
            "synthetic pairs",
            "profiles have another number of genes",
            found=synthetic.scaled.shape[1],
            expected=targets.shape[1],
        )
