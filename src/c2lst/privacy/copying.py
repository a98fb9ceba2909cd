"""Are synthetic images copies of the training images? Judged by held-out images of the section.

A generator that learnt what the tissue looks like, and no image by heart, draws images that are as
near to training images as to others of the section. So the nearest of each are compared, in sets
of one size: a half of the synthetic images should be nearer to the training set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from c2lst.privacy.intervals import CHANCE, Interval, Verdict, clustered_variance

ROWS = 256
DRAWS = 40
SIDE = 32
TURNS = 8
NEAR_COPY = 0.5


@dataclass(frozen=True)
class Copying:
    """How much nearer synthetic images are to training than to held-out images.

    Parameters
    ----------
    space
        What distance means.
    nearer
        Share of synthetic images that are nearer to the nearest training image than to the nearest
        held-out image, in sets of one size, each distance in units of what is usual for the real
        image; a half is ideal.
    ratio
        Median of the first distance divided by the second; 1 is ideal.
    authentic, authentic_real
        AuthPct (Alaa et al. 2022, ICML): per cent of images that are further from the nearest
        training image than that is from the next training image; of synthetic images, and of
        held-out ones, which are all authentic by nature.
    near_copies
        Synthetic images nearer to a training image than any held-out image is, at under half of
        their distance to the nearest held-out image.
    synthetic, training, held_out, sources
        Numbers of images, and of source spots behind the synthetic ones.
    """

    space: str
    nearer: Interval
    ratio: float
    authentic: float
    authentic_real: float
    near_copies: int
    synthetic: int
    training: int
    held_out: int
    sources: int

    @property
    def verdict(self) -> Verdict:
        """Whether images are copied; a single near copy is one too many."""
        if self.near_copies:
            return "fail"
        return self.nearer.judge(min(self.training, self.held_out, self.sources))


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training image of each synthetic one: for the gallery.

    Parameters
    ----------
    training, held_out
        Row of the nearest training and held-out image, int (n,).
    suspicion
        How much nearer the training image is: distance to held-out over distance to training (n,).
    """

    training: np.ndarray
    held_out: np.ndarray
    suspicion: np.ndarray


def compare(
    synthetic: np.ndarray,
    training: np.ndarray,
    held_out: np.ndarray,
    sources: np.ndarray,
    *,
    space: str,
    seed: int = 0,
) -> tuple[Copying, Nearest]:
    """Compare distances to training and to held-out images.

    Parameters
    ----------
    synthetic
        Vectors ``(n, d)``.
    training, held_out
        Vectors ``(m, t, d)`` and ``(h, t, d)``: each image in t ways, of which the nearest counts.
    sources
        What each synthetic image was drawn for, ``(n,)``: those of one source are alike.
    space
        What distance means, in words.
    seed
        Of the subsets and the resampling.

    Notes
    -----
    For the share, distances are in units of each real image's mean distance to all synthetic ones:
    else a few plain images are nearest to most, and which set they are in decides.
    The variance of the share has two parts: which source spots there happen to be (bootstrap over
    them), and which of the real images happen to be training images (random relabelling).
    """
    m, h = len(training), len(held_out)
    rng, size = np.random.default_rng((seed, 2)), min(m, h)
    subsets = [(rng.permutation(m)[:size], m + rng.permutation(h)[:size]) for _ in range(DRAWS)]
    shuffled = [rng.permutation(m + h) for _ in range(DRAWS)]
    relabelled = [(order[:size], order[size : 2 * size]) for order in shuffled]
    real = np.concatenate([training, held_out])
    n = len(synthetic)
    scores, by_chance, ratios = np.zeros(n), np.zeros(DRAWS), np.zeros(n)
    ends = np.zeros((4, n))
    usual = np.zeros(m + h)
    for _, distance in _distances(synthetic, real):
        usual += distance.sum(0) / n
    for rows, distance in _distances(synthetic, real):
        fair = distance / _positive(usual)
        scores[rows] = np.mean([_nearer(fair, *pair) for pair in subsets], axis=0)
        by_chance += [_nearer(fair, *pair).sum() / n for pair in relabelled]
        ratios[rows] = np.mean(
            [_least(distance, a) / _positive(_least(distance, b)) for a, b in subsets], axis=0
        )
        parts = (distance[:, :m], distance[:, m:])
        ends[:, rows] = [*(p.min(1) for p in parts), *(p.argmin(1) for p in parts)]
    to_training, to_held_out = ends[:2]
    spacing, real_distance, real_nearest = _real_distances(training, held_out)
    nearest = ends[2].astype(int)
    near = (to_training < real_distance.min()) & (to_training < NEAR_COPY * to_held_out)
    variance = clustered_variance(scores, sources, seed) + float(by_chance.var(ddof=1))
    copying = Copying(
        space=space,
        nearer=Interval.around(float(scores.mean()), variance),
        ratio=float(np.median(ratios)),
        authentic=100 * float((to_training >= spacing[nearest]).mean()),
        authentic_real=100 * float((real_distance >= spacing[real_nearest]).mean()),
        near_copies=int(near.sum()),
        synthetic=n,
        training=m,
        held_out=h,
        sources=len(np.unique(sources)),
    )
    return copying, Nearest(nearest, ends[3].astype(int), to_held_out / _positive(to_training))


def pixels(images: np.ndarray, *, turns: bool) -> np.ndarray:
    """Return patches as vectors of at most 32 x 32 px, in the eight turns and mirrors if asked.

    Parameters
    ----------
    images
        uint8 RGB ``(n, S, S, 3)``.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, d)``, or ``(n, 8, d)`` with ``turns``; values in [-1, 1].
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    from c2lst.diffusion.noise import dihedral, to_unit_range

    small = []
    for start in range(0, len(images), ROWS):
        batch = to_unit_range(torch.from_numpy(np.asarray(images[start : start + ROWS])))
        small.append(adaptive_avg_pool2d(batch, min(SIDE, batch.shape[-1])))
    all_small = torch.cat(small)
    if not turns:
        return np.asarray(all_small.flatten(1).numpy())
    ways = [dihedral(all_small, torch.full((len(all_small),), way)) for way in range(TURNS)]
    return np.asarray(torch.stack(ways, dim=1).flatten(2).numpy())


def _real_distances(
    training: np.ndarray, held_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distance of each training image to the next one, and of held-out ones to them."""
    spacing = np.zeros(len(training))
    for rows, distance in _distances(training[:, 0], training):
        distance[np.arange(len(distance)), np.arange(len(training))[rows]] = np.inf
        spacing[rows] = distance.min(1)
    nearest = np.zeros(len(held_out), dtype=int)
    least = np.zeros(len(held_out))
    for rows, distance in _distances(held_out[:, 0], training):
        nearest[rows], least[rows] = distance.argmin(1), distance.min(1)
    return spacing, least, nearest


def _distances(queries: np.ndarray, references: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Give root mean square distances of queries to references, ``(B, m)``, a block at a time."""
    m, ways, width = references.shape
    # About their common mean, single precision loses nothing that matters here.
    centre = references.mean(axis=(0, 1))
    flat = (references - centre).reshape(m * ways, width)
    norms = np.square(flat).sum(1)
    for start in range(0, len(queries), ROWS):
        rows = slice(start, start + ROWS)
        some = queries[rows] - centre
        squares = np.square(some).sum(1)[:, None] + norms - 2 * (some @ flat.T)
        least = squares.reshape(len(some), m, ways).min(axis=2)
        yield rows, np.sqrt(np.maximum(least, 0) / width)


def _nearer(distance: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 where the nearest of the first columns is nearer, a half where both are alike."""
    a, b = _least(distance, first), _least(distance, second)
    return (a < b) + CHANCE * (a == b)


def _least(distance: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(distance[:, columns].min(axis=1))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 1e-6)
