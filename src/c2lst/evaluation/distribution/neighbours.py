"""Fidelity and variety of generated images, by nearest neighbours among features.

Precision and recall (Kynkäänniemi et al., NeurIPS 2019): the share of generated images within the
balls around real ones that reach to their third neighbour, and the reverse. Density and coverage
(Naeem et al., ICML 2020): in how many balls of real images a generated one lies, over what is
expected (1 for the real law, more where it is drawn to the crowd); and the share of real images
whose ball holds a generated one. All depend on the size of the sets: compare sets of one size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.distribution.samples import checked

BALL, CROWD = 3, 5
"""Neighbours to which balls reach: of precision and recall; of density and coverage."""

PART = 10_000
"""Images of a set that are compared at once; larger sets are cut into such parts."""

_ROWS = 512


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What the neighbours say, image by image; the means are the scores.

    Parameters
    ----------
    precision, density
        ``(m,)``, a value for each generated image.
    recall, coverage
        ``(n,)``, a value for each real image.

    Notes
    -----
    NaN: beyond the parts that both sets fill, images of the larger set are left out.
    """

    precision: np.ndarray
    density: np.ndarray
    recall: np.ndarray
    coverage: np.ndarray


def neighbourhood(real: np.ndarray, generated: np.ndarray, *, seed: int = 0) -> Neighbourhood:
    """Find which generated images lie among real ones, and the reverse.

    Parameters
    ----------
    real, generated
        Features ``(n, d)`` and ``(m, d)``.
    seed
        Of how sets above `PART` images are cut: time grows with n, memory does not.

    Raises
    ------
    InputError
        If the features are not finite, differ in length, or a set has fewer than six images.
    """
    x, y = checked(real, generated)
    if min(len(x), len(y)) <= CROWD:
        raise InputError(
            "features", "too few images for their neighbours",
            found=min(len(x), len(y)), expected=f"at least {CROWD + 1}",
        )  # fmt: skip
    centre = x.mean(axis=0, dtype=np.float64).astype(np.float32)  # differences, not places, count
    rng = np.random.default_rng((seed, 22))
    parts = -(-min(len(x), len(y)) // PART)
    pieces = [np.array_split(rng.permutation(len(z)), parts) for z in (x, y)]
    of_generated, of_real = np.full((2, len(y)), np.nan), np.full((2, len(x)), np.nan)
    for rows, columns in zip(*pieces, strict=True):
        i, j = rows[:PART], columns[:PART]
        of_generated[:, j], of_real[:, i] = _compare(x[i] - centre, y[j] - centre)
    return Neighbourhood(*of_generated, *of_real)


def _compare(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and density (2, m), recall and coverage (2, n)."""
    ball, crowd = _radii(real)
    reach, _ = _radii(generated)
    within, crowded = np.zeros(len(generated), dtype=bool), np.zeros(len(generated))
    reached, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows in _blocks(len(real)):
        apart = _apart(real[rows], generated)
        within |= (apart <= ball[rows, None]).any(axis=0)
        reached[rows] = (apart <= reach).any(axis=1)
        close = apart <= crowd[rows, None]
        crowded += close.sum(axis=0)
        covered[rows] = close.any(axis=1)
    return np.stack([within, crowded / CROWD]), np.stack([reached, covered])


def _radii(features: np.ndarray) -> np.ndarray:
    """Squared distance of each image to its third and fifth neighbour, float32 (2, n)."""
    radii = np.empty((2, len(features)), dtype=np.float32)
    for rows in _blocks(len(features)):
        apart = _apart(features[rows], features)
        apart[np.arange(len(apart)), np.arange(rows.start, rows.start + len(apart))] = np.inf
        radii[:, rows] = np.partition(apart, (BALL - 1, CROWD - 1), axis=1)[
            :, [BALL - 1, CROWD - 1]
        ].T
    return radii


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared distances, float32 (n, m)."""
    apart = first @ second.T
    apart *= -2
    apart += (first * first).sum(axis=1)[:, None]
    apart += (second * second).sum(axis=1)
    return np.asarray(np.maximum(apart, 0, out=apart))


def _blocks(length: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, length, _ROWS)]
