"""What the distances between two sets of images cost: time and memory as the sets grow.

Two sets of random features, the second moved a little, go through every distance of
``evaluate-generator``. Memory is the process's peak above what the features themselves need.

    OMP_NUM_THREADS=1 python benchmarks/distances.py --images 100000 --features 1024
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable

import numpy as np

from c2lst.evaluation.distribution import (
    cosines,
    frechet_distance,
    kernel_distance,
    mean_estimate,
    neighbourhood,
)


def peak_gb() -> float:
    """Return the largest memory of this process so far, in GB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    """Measure and print one line a distance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000, help="of each set")
    parser.add_argument("--features", type=int, default=1024)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (options.images, options.features)
    real, generated = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    generated += 0.05
    before = peak_gb()
    print(f"{options.images:,} x 2 images of {options.features:,} features, {before:.2f} GB")
    works: dict[str, Callable[[], object]] = {
        "kernel distance": lambda: kernel_distance(generated, real),
        "Fréchet distance": lambda: frechet_distance(generated, real),
        "precision, recall, density, coverage": lambda: neighbourhood(real, generated),
        "cosines": lambda: mean_estimate(cosines(generated, real)),
    }
    total = 0.0
    for name, work in works.items():
        start, used = time.perf_counter(), time.process_time()
        work()
        taken, used = time.perf_counter() - start, time.process_time() - used
        total += used
        print(f"{name}: {used:.0f} s of processor time, {taken:.0f} s, peak {peak_gb():.2f} GB")
    print(f"all: {total:.0f} s of processor time, {peak_gb() - before:.2f} GB above the features")


if __name__ == "__main__":
    main()
