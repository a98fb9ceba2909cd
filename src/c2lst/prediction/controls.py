"""What synthetic pairs have to beat: the same number of pairs that hold nothing new.

Each control is a set of :class:`~c2lst.data.synthetic.SyntheticPairs`, so that co-training treats
it as it treats the real thing: duplicated real pairs, strongly augmented ones, mixtures of
neighbours, and synthetic pairs whose profiles were dealt to the wrong images. ``source_barcodes``
names every spot that a pair holds anything of: folds and leak checks rely on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.synthetic import PARENT_SEPARATOR, SyntheticPairs
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.stain import StainReference

MIXING = 0.4
"""Both parameters of the beta distribution of mixup: most mixtures are near one of the two."""

NEIGHBOURS = 6
"""Nearest sampled spots that a spot is mixed with."""

STRONG = 0.2
"""Strength of the stain jitter of :func:`strongly_augmented`."""

_ROUNDS = 1000


def real_pairs(section: Section, split: SpotSplit, preprocessing: Preprocessing) -> SyntheticPairs:
    """Return the training spots of a split as pairs, stain-normalised: what controls start from.

    Raises
    ------
    InputError
        If the parts do not belong together.
    """
    spots = split.training(section)
    lognorm = preprocessing.lognorm(spots)
    return SyntheticPairs(
        images=preprocessing.images(spots),
        scaled=preprocessing.scaler.scale(lognorm),
        lognorm=lognorm,
        source_barcodes=spots.barcodes,
        seeds=np.zeros(len(spots)),
        guidance_scale=1.0,
        sampler="none",
        provenance={"control": {"name": "real"}},
        genes=preprocessing.panel.genes,
        patch_um=preprocessing.patch_um,
    )


def duplicated(pairs: SyntheticPairs, copies: int) -> SyntheticPairs:
    """Repeat every pair ``copies`` times, round after round."""
    _check_copies(copies)
    rows = np.tile(np.arange(len(pairs)), copies)
    return _noted(pairs.subset(rows), "duplicated", copies=copies)


def strongly_augmented(
    pairs: SyntheticPairs,
    copies: int,
    stain: StainReference,
    *,
    strength: float = STRONG,
    seed: int = 0,
) -> SyntheticPairs:
    """Turn, mirror and re-stain ``copies`` copies of every pair; profiles stay.

    Parameters
    ----------
    pairs
        Real pairs.
    copies
        Of each pair.
    stain
        The stain that the images have: ``preprocessing.stain``.
    strength
        Of the stain jitter, in [0, 1]; 0.2 is strong (Tellez et al., 2018).
    seed
        Copy i has the random stream of ``(seed, i)``.
    """
    import torch

    from c2lst.data.stain import StainJitter
    from c2lst.diffusion.draws import Draws
    from c2lst.diffusion.noise import dihedral

    _check_copies(copies)
    chosen = duplicated(pairs, copies)
    jitter = StainJitter(stain, strength)
    images = np.array(chosen.images)
    for start in range(0, len(images), 256):
        part = slice(start, min(start + 256, len(images)))
        draws = Draws(seed, 0, range(part.start, part.stop))
        planes = torch.from_numpy(images[part]).permute(0, 3, 1, 2)
        turned = dihedral(planes, draws.integers(8)).permute(0, 2, 3, 1).contiguous()
        images[part] = jitter.apply(turned, draws.uniform((jitter.numbers,))).numpy()
    return _noted(
        replace(chosen, images=images),
        "strongly augmented",
        copies=copies,
        strength=strength,
        seed=seed,
    )


def neighbour_mixup(
    pairs: SyntheticPairs, centres_um: np.ndarray, copies: int, *, seed: int = 0
) -> SyntheticPairs:
    """Mix every pair with a spatial neighbour ``copies`` times: image and profile by one share.

    Mixup (Zhang et al., 2018) between spots that are near each other on the slide. The share λ is
    drawn from Beta(0.4, 0.4). Pixels and log1p profiles are mixed alike: pairing a mid-point
    profile with either spot's own image would teach that the image does not matter.

    Parameters
    ----------
    pairs
        Real pairs, one for each training spot.
    centres_um
        Their places (n, 2) in µm.
    copies
        Mixtures of each pair.
    seed
        Of partners and shares.

    Raises
    ------
    InputError
        If there are fewer than two spots, or places and pairs differ in number.
    """
    from scipy.spatial import KDTree

    _check_copies(copies)
    n = len(pairs)
    if n < 2 or np.shape(centres_um) != (n, 2):
        raise InputError(
            "neighbour mixup",
            "pairs and places",
            found=f"{n} pairs, places {np.shape(centres_um)}",
            expected="two spots or more, each with its place (x, y)",
        )
    rng = np.random.default_rng((seed, n))
    nearest = KDTree(centres_um).query(centres_um, k=np.arange(1, min(NEIGHBOURS + 1, n) + 1))[1]
    # A spot is first in its own list unless another has the same centre: drop it by name.
    others = [row[row != spot] for spot, row in enumerate(nearest)]
    first = np.tile(np.arange(n), copies)
    second = np.array([rng.choice(others[spot]) for spot in first])
    share = rng.beta(MIXING, MIXING, len(first))

    def mixed(values: np.ndarray) -> np.ndarray:
        part = share.reshape(-1, *([1] * (values.ndim - 1)))
        blend: np.ndarray = part * values[first] + (1 - part) * values[second]
        return blend

    sources = pairs.source_barcodes
    mixture = replace(
        pairs.subset(first),
        images=np.rint(mixed(np.asarray(pairs.images))).astype(np.uint8),
        scaled=mixed(pairs.scaled),
        lognorm=mixed(pairs.lognorm),
        source_barcodes=_joined(sources[first], sources[second]),
        # What is mixed in logarithms has no counts of its own.
        counts=None,
    )
    return _noted(mixture, "neighbour mixup", copies=copies, mixing=MIXING, seed=seed)


def shuffled_genes(pairs: SyntheticPairs, *, seed: int = 0) -> SyntheticPairs:
    """Deal the profiles of synthetic pairs to other images, never to one of the same spot.

    Images and profiles are each what they were; only what belongs together is lost. If co-training
    gains as much from these, it was not the pairing that helped.

    Parameters
    ----------
    pairs
        Synthetic pairs of two spots or more.
    seed
        Of the permutation.

    Raises
    ------
    InputError
        If no such permutation was found: one spot is behind too many pairs.
    """
    parents = _parent_codes(pairs.source_barcodes)
    rng = np.random.default_rng((seed, len(pairs)))
    order = rng.permutation(len(pairs))
    for _ in range(_ROUNDS):
        # Codes are never negative; the padding of short lists, -1, matches nothing.
        same = parents[:, :, None] == parents[order][:, None, :]
        clash = np.flatnonzero((same & (parents >= 0)[:, :, None]).any(axis=(1, 2)))
        if not len(clash):
            dealt = replace(
                pairs,
                scaled=pairs.scaled[order],
                lognorm=pairs.lognorm[order],
                counts=None if pairs.counts is None else pairs.counts[order],
                source_barcodes=_joined(pairs.source_barcodes, pairs.source_barcodes[order]),
            )
            return _noted(dealt, "shuffled genes", seed=seed)
        drawn = np.union1d(clash, rng.choice(len(pairs), len(clash)))
        order[drawn] = order[rng.permutation(drawn)]
    raise InputError(
        "shuffled genes",
        "some spot is behind too many pairs",
        found=f"{len(pairs)} pairs of {len(np.unique(pairs.source_barcodes))} sources",
        expected="no spot behind more than half of the pairs",
    )


def _parent_codes(sources: np.ndarray) -> np.ndarray:
    """Give the spots behind each pair as numbers (m, most parents), -1 where there are fewer."""
    parents = [source.split(PARENT_SEPARATOR) for source in sources.tolist()]
    number = {name: i for i, name in enumerate(sorted({p for group in parents for p in group}))}
    codes = np.full((len(parents), max((len(group) for group in parents), default=1)), -1)
    for row, group in zip(codes, parents, strict=True):
        row[: len(group)] = [number[p] for p in group]
    return codes


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    joined = [f"{a}{PARENT_SEPARATOR}{b}" for a, b in zip(first, second, strict=True)]
    return np.array(joined, dtype=str)


def _check_copies(copies: int) -> None:
    if copies < 1:
        raise InputError("control", "copies", found=copies, expected="at least 1")


def _noted(pairs: SyntheticPairs, control: str, **settings: Any) -> SyntheticPairs:
    """Return ``pairs`` with the control and its settings in their provenance."""
    return replace(pairs, provenance={**pairs.provenance, "control": {"name": control, **settings}})
