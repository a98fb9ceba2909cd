"""What the Gaussian process of the predictor costs by training spots, in time and memory.

Each size is fitted in a process of its own to 250 noisy genes over place and 48 image features,
with ten folds left out as the predictor does. The yardstick is one Cholesky factorisation of a
matrix of the same side, by scipy in the same process.

    OMP_NUM_THREADS=1 python benchmarks/process.py
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np
from scipy.linalg import cho_factor

from c2lst.prediction.place import AdditiveGaussianProcess

GENES, FEATURES, FOLDS, PITCH_UM = 250, 48, 10, 100.0
_BYTES = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000, 3000])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| training spots | s | of one Cholesky | peak memory, GB |")
    print("|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        for row in fresh.imap(measure, [(spots, arguments.seed) for spots in arguments.sizes]):
            print(row, flush=True)


def measure(request: tuple[int, int]) -> str:
    """Fit at one number of spots, and say what it took."""
    spots, seed = request
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(spots)))
    place = PITCH_UM * np.stack(np.divmod(np.arange(spots), side), axis=1).astype(float)
    features = rng.standard_normal((spots, FEATURES))
    shown = np.sin(place[:, :1] / 700) + 0.3 * features[:, :1]
    observed = shown + rng.standard_normal((spots, GENES))
    before = peak()
    started = time.perf_counter()
    AdditiveGaussianProcess.fit(
        observed,
        {"place": place, "features": features},
        library_size=rng.uniform(500, 5000, spots),
        folds=rng.permutation(spots) % FOLDS,
        seed=seed,
    )
    seconds, memory = time.perf_counter() - started, peak() - before
    matrix = np.eye(spots) + 1 / spots
    started = time.perf_counter()
    cho_factor(matrix, lower=True)
    yardstick = time.perf_counter() - started
    return f"| {spots:,} | {seconds:.1f} | {seconds / yardstick:.0f}× | {memory / 1e9:.2f} |"


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES


if __name__ == "__main__":
    main()
