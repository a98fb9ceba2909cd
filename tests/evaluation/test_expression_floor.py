from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from c2lst.data.simulate.expression import draw_expression, draw_genes
from c2lst.evaluation.expression import NoiseFloor
from c2lst.evaluation.expression.floor import mixing_posterior
from toy_predictions import counted


def exact(mean: np.ndarray, scale: np.ndarray) -> tuple[float, float]:
    """Mean absolute deviation from the median, and variance, of log1p(scale · Poisson(mean))."""
    error, variance = np.empty((2, *mean.shape))
    for i, s in enumerate(scale):
        number = np.arange(int(mean[i].max() + 10 * np.sqrt(mean[i].max()) + 20))
        value, chance = np.log1p(s * number), poisson.pmf(number, mean[i][:, None])
        centre = np.log1p(s * poisson.median(mean[i]))
        error[i] = (chance * np.abs(value - centre[:, None])).sum(axis=1)
        variance[i] = chance @ value**2 - (chance @ value) ** 2
    return float(error.mean()), float(variance.mean())


def truth(kind: str, spots: int, genes: int, rng: np.random.Generator) -> np.ndarray:
    share = np.exp(rng.normal(0, 1, genes))
    share /= 2 * share.sum()
    xy = rng.uniform(0, 1, (spots, 2))
    change = {
        "constant": np.ones((spots, genes)),
        "field": np.exp(0.7 * np.sin(xy @ rng.uniform(3, 9, (2, genes)))),
        "lognormal": np.exp(0.7 * rng.normal(size=(spots, genes))),
        "negative binomial": rng.gamma(2.0, 0.5, (spots, genes)),
        "two tissues": np.where(rng.random((spots, genes)) < 0.3, 4.0, 0.6),
    }[kind]
    return share * change


@pytest.mark.parametrize(("depth", "tolerance"), [(1000, 0.04), (4000, 0.015), (20000, 0.01)])
@pytest.mark.parametrize(
    "kind", ["constant", "field", "lognormal", "negative binomial", "two tissues"]
)
def test_the_floor_of_a_known_truth(kind, depth, tolerance):
    rng = np.random.default_rng(0)
    rate = truth(kind, 150, 20, rng)
    library = depth * np.exp(0.35 * rng.normal(size=150))
    counts, _ = counted(rate, library, rng)
    floor = NoiseFloor.of(counts, 1e4 / library)
    error, variance = exact(library[:, None] * rate, 1e4 / library)
    assert floor.by_spot.mean() == pytest.approx(error, rel=tolerance)
    assert floor.by_gene.mean() == pytest.approx(error, rel=tolerance)
    assert floor.variance.mean() == pytest.approx(variance, rel=2 * tolerance)


def test_the_floor_of_a_simulated_tissue():
    rng = np.random.default_rng(3)
    table = draw_genes(rng, 60, 0.35, 0.35)
    xy = rng.uniform(0, 4000, (300, 2))
    tissue = draw_expression(rng, table, rng.poisson(4, (300, 5)), xy, 4000)
    share = np.exp(tissue.log_rate) / np.exp(tissue.log_rate).sum(axis=1, keepdims=True)
    library = tissue.counts.sum(axis=1).astype(float)
    floor = NoiseFloor.of(tissue.counts, 1e4 / library)
    error, _ = exact(tissue.library_size[:, None] * share, 1e4 / tissue.library_size)
    assert floor.by_spot.mean() == pytest.approx(error, rel=0.015)


def test_no_prediction_beats_it_and_the_best_one_reaches_it():
    rng = np.random.default_rng(1)
    rate = truth("field", 400, 30, rng)
    library = 5000 * np.exp(0.3 * rng.normal(size=400))
    counts, observed = counted(rate, library, rng)
    floor = NoiseFloor.of(counts, 1e4 / library).by_spot.mean()
    scale, mean = 1e4 / library[:, None], library[:, None] * rate
    best = np.abs(np.log1p(scale * poisson.median(mean)) - observed).mean()
    assert best == pytest.approx(floor, rel=0.02)
    for other in (mean - 0.5, mean * 1.1, mean * 0.9, np.full_like(mean, mean.mean())):
        assert np.abs(np.log1p(scale * np.maximum(other, 0)) - observed).mean() > 0.985 * floor


def halves(counts: np.ndarray, library: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean difference of two thinned halves, and what the law foretells: needs no truth."""
    scale = 2e4 / library[:, None]
    half = rng.binomial(counts, 0.5)
    seen = np.abs(np.log1p(scale * half) - np.log1p(scale * (counts - half))).mean()
    told = np.empty(counts.shape)
    for g in range(counts.shape[1]):
        rates, posterior = mixing_posterior(counts[:, g].astype(float), library)
        column = (posterior.cumsum(axis=1) < rng.random((len(library), 1))).sum(axis=1)
        mean = library / 2 * rates[np.minimum(column, len(rates) - 1)]
        first, second = np.log1p(scale[:, 0] * rng.poisson(mean, (2, len(mean))))
        told[:, g] = np.abs(first - second)
    return np.array([seen, told.mean()])


def test_halves_of_the_counts_differ_as_the_law_says():
    rng = np.random.default_rng(2)
    library = 3000 * np.exp(0.3 * rng.normal(size=500))
    counts, _ = counted(truth("lognormal", 500, 20, rng), library, rng)
    seen, told = halves(counts, library, rng)
    assert told == pytest.approx(seen, rel=0.03)


def test_a_real_section(real_data):
    table = pd.read_csv(real_data / "her2st" / "C3.tsv.gz", sep="\t", index_col=0)
    table = table[table.sum(axis=1) > 0]
    library = table.sum(axis=1).to_numpy(float)
    counts = table[table.mean().nlargest(250).index].to_numpy()
    seen, told = halves(counts, library, np.random.default_rng(0))
    assert told == pytest.approx(seen, rel=0.03)
    floor = NoiseFloor.of(counts, 1e4 / library).by_spot.mean()
    assert floor == pytest.approx(0.325, abs=0.02)
    # The observed counts in place of the truth: a zero would have no noise.
    plug_in, _ = exact(counts[:, :50].astype(float), 1e4 / library)
    own = NoiseFloor.of(counts[:, :50], 1e4 / library).by_spot.mean()
    assert plug_in < own


def test_a_posterior_is_one_and_follows_the_counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1.0, 6.0, 200)).astype(float)
    rates, posterior = mixing_posterior(counts, np.full(200, 1.0))
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    mean = posterior @ rates
    order = np.argsort(counts, kind="stable")
    assert (np.diff(mean[order]) > -1e-9).all()
    assert mean.mean() == pytest.approx(counts.mean(), rel=0.02)
    assert mean.std() < counts.std()


@pytest.mark.filterwarnings("error")
def test_rare_and_absent_genes_and_few_spots():
    counts = np.zeros((6, 3))
    counts[0, 1] = 1
    counts[:, 2] = 5000
    floor = NoiseFloor.of(counts, np.full(6, 1.0))
    assert floor.by_gene[0] == floor.variance[0] == 0
    assert 0 < floor.by_gene[1] < np.log(2)
    assert floor.by_gene[2] == pytest.approx(np.sqrt(2 / np.pi / 5000), rel=0.02)
    assert np.isfinite(floor.by_spot).all()
    assert np.isfinite(NoiseFloor.of(counts[:1], np.ones(1)).by_spot).all()


def test_more_counts_leave_less_noise():
    rng = np.random.default_rng(0)
    rate = truth("field", 200, 10, rng)
    floors = []
    for depth in (1000.0, 4000.0, 16000.0, 256000.0):
        library = np.full(200, depth)
        floors.append(NoiseFloor.of(counted(rate, library, rng)[0], 1e4 / library).by_spot.mean())
    assert floors == sorted(floors, reverse=True)
    assert floors[-1] < 0.12 * floors[0]
