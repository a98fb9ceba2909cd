"""How often the 95 % interval of a mean error holds the mean that the errors were drawn around.

Maps of errors on a square of spots, of which a share falls off with the distance between spots, and
the intervals of spatial blocks that every metric has, beside those of single spots.

    python benchmarks/intervals.py
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.spatial.distance import cdist

from c2lst.evaluation.expression.blocks import RESAMPLES, SpatialBlocks, interval

REACHES = (0.0, 1.5, 3.0)


def main() -> None:
    parsed = argparse.ArgumentParser(description=__doc__)
    parsed.add_argument("--maps", type=int, default=400)
    parsed.add_argument("--across", type=int, default=20, help="spots along a side")
    parsed.add_argument("--share", type=float, default=0.3, help="of the variance, correlated")
    parsed.add_argument("--seed", type=int, default=0)
    arguments = parsed.parse_args()

    side = np.arange(arguments.across, dtype=float)
    xy = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    print("| reach, pitches | blocks | single spots |\n|---|---|---|")
    for reach in REACHES:
        maps = errors(xy, reach, arguments.share, arguments.maps, arguments.seed)
        kinds = (SpatialBlocks.of(xy, RESAMPLES, arguments.seed), single(xy, arguments.seed))
        held = [f"{holds(sampler, maps):.0%}" for sampler in kinds]
        print(f"| {reach:g} | {' | '.join(held)} |")


def errors(xy: np.ndarray, reach: float, share: float, maps: int, seed: int) -> np.ndarray:
    """Draw errors (t, maps) about 1; of their variance, a share falls off as exp(-d / reach)."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((len(xy), maps))
    if not reach:
        return 1 + own
    factor = np.linalg.cholesky(np.exp(-cdist(xy, xy) / reach))
    together = factor @ rng.standard_normal((len(xy), maps))
    return 1 + np.sqrt(share) * together + np.sqrt(1 - share) * own


def single(xy: np.ndarray, seed: int) -> SpatialBlocks:
    """Redraw spots, each for itself."""
    spots = len(xy)
    draws = np.random.default_rng(seed).multinomial(spots, np.full(spots, 1 / spots), RESAMPLES)
    return SpatialBlocks(np.eye(spots), draws.astype(np.float64))


def holds(sampler: SpatialBlocks, maps: np.ndarray) -> float:
    """Share of the maps (t, k) whose interval of the mean holds 1."""
    means = sampler.means(maps)
    ends = np.array([interval(means[:, number]) for number in range(maps.shape[1])])
    return float(((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean())


if __name__ == "__main__":
    main()
