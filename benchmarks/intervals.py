"""How often the 95 % interval of a mean error holds the mean that the errors were drawn around.

Maps of errors on a square of spots, of which a share falls off with the distance between spots, and
the intervals of spatial blocks that every metric has, beside those of single spots. Then how often
the interval of a study, over seeds and blocks at once, leaves 0 out where nothing differs.

    python benchmarks/intervals.py
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.spatial.distance import cdist

from c2lst.evaluation.expression.blocks import RESAMPLES, SpatialBlocks, interval
from c2lst.study.differences import mean_and_half_width

REACHES = (0.0, 1.5, 3.0)
SEEDS = (2, 3, 5)
SIZES = (0.0, 0.5, 1.0, 2.0)
BLOCKS = 30


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
    print(f"\n| a seed matters | {' | '.join(f'{n} seeds' for n in SEEDS)} |\n|---|---|---|---|")
    for size in SIZES:
        rng = np.random.default_rng(arguments.seed)
        wrong = [f"{left_out(seeds, size, 10 * arguments.maps, rng):.1%}" for seeds in SEEDS]
        print(f"| {size:g} | {' | '.join(wrong)} |")


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


def left_out(seeds: int, size: float, studies: int, rng: np.random.Generator) -> float:
    """Share of studies of no difference that find one.

    Over blocks the variance is 1, a quarter of it another in each seed; a seed's own standard
    deviation is ``size`` standard errors over blocks.
    """
    spots, wrong = np.ones((seeds, BLOCKS)), 0
    for _ in range(studies):
        of_seed = rng.standard_normal((seeds, 1)) * size / np.sqrt(BLOCKS)
        both = 0.5 * rng.standard_normal((seeds, BLOCKS))
        errors = np.sqrt(0.75) * rng.standard_normal((1, BLOCKS)) + of_seed + both
        mean, half = mean_and_half_width(errors, spots)
        wrong += abs(mean) > half
    return wrong / studies


if __name__ == "__main__":
    main()
