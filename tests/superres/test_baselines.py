"""Baselines, metrics and how a map is summed up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c2lst.superres import metrics
from c2lst.superres.baselines import BASELINES, bicubic, inverse_distance, nearest
from c2lst.superres.lowres import LowRes
from c2lst.superres.pooling import spot_counts
from c2lst.superres.prediction import Moments


@pytest.fixture
def low(maps):
    return LowRes.of_sample(maps, maps.samples[0])


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_counts_of_the_bins(low, name):
    found = BASELINES[name](low)
    assert found.shape == (len(low.genes), *low.tissue.shape)
    assert np.isfinite(found).all() and (found >= 0).all()


def test_nearest_agrees_with_the_spots(low):
    np.testing.assert_allclose(spot_counts(nearest(low), low.scale), low.spots, rtol=1e-4)


@pytest.mark.parametrize("method", [nearest, bicubic, inverse_distance])
def test_even_spots_give_even_bins(low, method):
    even = replace(low, spots=np.full_like(low.spots, 25.0), tissue=np.ones_like(low.tissue))
    np.testing.assert_allclose(method(even), 1.0, rtol=1e-3)


def test_colour_tells_which_spots_are_alike(low):
    # Left half dark and full of counts, right half bright and empty; a dark bin on the right.
    k, (height, width) = low.image_px, low.tissue.shape
    image = np.full((height * k, width * k, 3), 220, dtype=np.uint8)
    image[:, : width * k // 2] = 60
    image[: 2 * k, -2 * k :] = 60
    spots = np.zeros_like(low.spots)
    spots[:, :, : spots.shape[2] // 2] = 100.0
    found = inverse_distance(
        replace(low, image=image, spots=spots, tissue=np.ones_like(low.tissue))
    )
    assert found[0, 0, -1] > found[0, -1, -1]


def test_a_perfect_map_has_perfect_scores(maps, low):
    sample = maps.samples[0]
    logs = np.log1p(sample.counts)
    found = metrics.honest(sample.counts, logs, sample.counts, sample.tissue, low.spots, low.scale)
    assert found["rmse_log1p"] == found["mae_log1p"] == found["rmse_counts"] == 0
    assert found["pearson_log1p"] == pytest.approx(1) == found["ssim_log1p"]
    assert found["gene_correlation_error"] == pytest.approx(0, abs=1e-6)
    assert found["spots_error"] == pytest.approx(0, abs=1e-6)
    papers = metrics.as_papers(sample.counts, sample.counts, 16)
    assert papers["paper_rmse"] == 0 and papers["paper_pearson"] == pytest.approx(1)


def test_an_inverted_map_is_praised_by_papers_alone(maps, low):
    sample = maps.samples[0]
    inverted = sample.counts.max() - sample.counts
    found = metrics.honest(
        inverted, np.log1p(inverted), sample.counts, sample.tissue, low.spots, low.scale
    )
    assert found["pearson_counts"] == pytest.approx(-1)
    assert metrics.as_papers(inverted, sample.counts, 16)["paper_pearson"] == pytest.approx(1)


def test_ssim_likes_emptiness_where_counts_are_rare():
    from scipy.ndimage import gaussian_filter

    truth = (np.random.default_rng(0).random((1, 64, 64)) < 0.02).astype(np.float64)
    blurred = gaussian_filter(truth, (0, 2, 2))
    empty, blur = (metrics.as_papers(m, truth, 64) for m in (np.zeros_like(truth), blurred))
    assert empty["paper_ssim"] > blur["paper_ssim"]
    assert blur["paper_pearson"] > empty["paper_pearson"] == 0


def test_running_moments_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    moments = Moments()
    for one in values:
        moments.add(one)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0))
    np.testing.assert_allclose(moments.sd, values.std(axis=0, ddof=1))


def test_a_map_without_neighbours_has_no_ssim():
    counts, tissue = np.ones((1, 2, 2)), np.ones((2, 2), dtype=bool)
    found = metrics.honest(counts, np.log1p(counts), counts, tissue, np.full((1, 1, 1), 4.0), 2)
    assert np.isnan(found["ssim_log1p"]) and found["rmse_log1p"] == 0
