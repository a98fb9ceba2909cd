r"""Kriging of all genes of a slide against its peers, in time and in error, in one run.

The fields are simulated, so that the error is against the truth without noise: spots of a lattice
of 100 µm, 250 genes of different ranges and nuggets. PyKrige and scikit-learn's Gaussian process
fit one gene at a time; they are given a few, and their time is scaled to 250. Processor time on one
thread.

    OMP_NUM_THREADS=1 python benchmarks/kriging.py
    OMP_NUM_THREADS=1 PYTHONPATH=PEER/site python benchmarks/kriging.py   # with PyKrige in there
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from c2lst.prediction.baselines import REGISTRY

GENES, QUERIES, PITCH_UM = 250, 500, 100.0
RANGES_UM = (500.0, 1000.0, 2500.0)
NUGGETS = (0.2, 0.5, 0.8, 0.95)
PEER_GENES = {500: 12, 2000: 4, 5000: 2}
SCIKIT_UP_TO = 2000
"""Above, one gene takes scikit-learn the better part of an hour."""

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(PEER_GENES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' optimisers complain of flat likelihoods
    print("| spots | method | genes run | s for 250 genes | of ours | error / ours, same genes |")
    print("|---|---|---|---|---|---|")
    for spots in arguments.sizes:
        compare(spots, arguments.seed)


def compare(spots: int, seed: int) -> None:
    """Print a row for each method at one number of spots."""
    xy, observed, truth = simulate(spots + QUERIES, seed)
    train, query = slice(0, spots), slice(spots, None)
    methods: dict[str, tuple[Method, int]] = {
        name: (REGISTRY[name], GENES)
        for name in ("kriging", "kriging_shared", "inverse_distance", "knn", "train_mean")
    }
    few = PEER_GENES.get(spots, 1)
    if importlib.util.find_spec("pykrige"):
        methods["PyKrige"] = pykrige, few
    if spots <= SCIKIT_UP_TO:
        methods["scikit-learn"] = scikit_learn, max(1, few // 3)
    ours: tuple[float, np.ndarray] | None = None
    for name, (method, genes) in methods.items():
        started = time.process_time()
        predicted = method(xy[train], observed[train, :genes], xy[query])
        seconds = (time.process_time() - started) * GENES / genes
        error = np.abs(predicted - truth[query, :genes]).mean(axis=0)
        if ours is None:
            ours = seconds, error
        print(
            f"| {spots} | {name} | {genes} | {seconds:.1f} | {seconds / ours[0]:.2f}× "
            f"| {error.mean() / ours[1][:genes].mean():.3f} |",
            flush=True,
        )


def simulate(places: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffled lattice places (n, 2) in µm, observed and noiseless genes (n, G)."""
    rng = np.random.default_rng((seed, places))
    side = int(np.ceil(np.sqrt(places)))
    lattice = PITCH_UM * np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    xy = lattice[rng.permutation(len(lattice))[:places]]
    distance = cdist(xy, xy)
    kind = rng.integers(len(RANGES_UM), size=GENES)
    smooth = np.empty((places, GENES))
    for number, reach in enumerate(RANGES_UM):
        covariance = np.exp(-3 * distance / reach)
        covariance[np.diag_indices(places)] += 1e-9
        draws = rng.normal(size=(places, int((kind == number).sum())))
        smooth[:, kind == number] = np.linalg.cholesky(covariance) @ draws
    nugget = rng.choice(NUGGETS, GENES)
    truth = np.sqrt(1 - nugget) * smooth
    return xy, truth + np.sqrt(nugget) * rng.normal(size=truth.shape), truth


def pykrige(xy: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Exponential variogram with a nugget, fitted to the semivariances of 20 lags."""
    from pykrige.ok import OrdinaryKriging

    def one(gene: np.ndarray) -> np.ndarray:
        fitted = OrdinaryKriging(
            *xy.T, gene, variogram_model="exponential", nlags=20, weight=True, exact_values=False
        )
        return np.asarray(fitted.execute("points", *query.T)[0])

    return np.column_stack([one(gene) for gene in y.T])


def scikit_learn(xy: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Exponential covariance and noise by marginal likelihood, about the mean."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    def one(gene: np.ndarray) -> np.ndarray:
        kernel = ConstantKernel(0.5) * Matern(500.0, (50, 1e5), nu=0.5) + WhiteKernel(0.5)
        fitted = GaussianProcessRegressor(kernel, normalize_y=True).fit(xy, gene)
        return np.asarray(fitted.predict(query))

    return np.column_stack([one(gene) for gene in y.T])


if __name__ == "__main__":
    main()
