import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.evaluation.correspondence import (
    MEASURES,
    PER_CLUSTER,
    _k_means,
    correspond,
    expression_clusters,
)


def blobs(labels, *, width=4, apart=8.0, seed=0):
    """Points around one centre for each label."""
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(max(labels) + 1, width)
    return centres[labels] + rng.standard_normal((len(labels), width))


def named(agreements):
    assert [a.measure for a in agreements] == list(MEASURES)
    return {a.measure: a for a in agreements}


def test_the_same_partition_agrees_wholly():
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    found = named(correspond(labels, blobs(labels), np.arange(60)))
    for measure in MEASURES:
        assert found[measure].estimate == pytest.approx(1)
        assert found[measure].p < 0.01
        assert found[measure].low == pytest.approx(1)
    assert abs(found["ARI"].chance) < 0.05
    assert found["accuracy"].chance == pytest.approx(1 / 3, abs=0.08)


def test_independent_partitions_agree_by_chance():
    rng = np.random.default_rng(0)
    small = dict.fromkeys(MEASURES, 0)
    for seed in range(10):
        labels = rng.permutation(np.repeat([0, 1, 2], 20))
        look = blobs(np.repeat([0, 1, 2], 20), seed=seed)
        found = correspond(labels, look, np.arange(60), permutations=39, seed=seed)
        for measure, agreement in named(found).items():
            small[measure] += agreement.p < 0.05
    assert max(small.values()) <= 3


def test_copies_of_a_spots_patches_are_no_evidence():
    """Each spot has a look of its own, of which every copy shows nearly the same."""
    rng = np.random.default_rng(0)
    significant = 0
    for seed in range(8):
        labels = rng.permutation(np.repeat([0, 1], 10))
        look = rng.standard_normal((20, 3))
        spots = np.repeat(np.arange(20), 12)
        copies = look[spots] + 0.01 * rng.standard_normal((240, 3))
        found = named(correspond(labels[spots], copies, spots, permutations=39, seed=seed))
        significant += found["accuracy"].p < 0.05
    assert significant <= 2


def test_clusters_of_expression_are_found_the_largest_first():
    planted = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [10, 40, 20, 30]))
    found = expression_clusters(blobs(planted, width=12))
    assert np.bincount(found).tolist() == [40, 30, 20, 10]
    for cluster in range(4):
        assert len(np.unique(planted[found == cluster])) == 1


def test_missing_genes_count_as_the_mean():
    planted = np.repeat([0, 1, 2], 20)
    scaled = blobs(planted, width=12)
    scaled[:, 7] = np.nan
    assert np.bincount(expression_clusters(scaled)).tolist() == [20, 20, 20]


def test_the_number_of_clusters_stays_within_its_limits():
    rng = np.random.default_rng(0)
    assert len(np.unique(expression_clusters(rng.standard_normal((40, 6)), most=4))) in (3, 4)
    with pytest.raises(InputError, match="too few to cluster"):
        expression_clusters(rng.standard_normal((3 * PER_CLUSTER - 1, 6)))


def test_clustering_depends_on_the_seed_alone():
    points = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_array_equal(_k_means(points, 4, 1), _k_means(points, 4, 1))


@pytest.mark.parametrize(
    ("clusters", "look", "problem"),
    [
        (np.zeros(20, dtype=int), np.ones((20, 2)), "too few spots or clusters"),
        (np.arange(20) % 2, np.ones((19, 2)), "differ in number"),
        (np.arange(20) % 2, np.full((20, 2), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(clusters, look, problem):
    with pytest.raises(InputError, match=problem):
        correspond(clusters, look, np.arange(20))


def test_a_spot_unlike_all_others_is_no_cluster():
    rng = np.random.default_rng(1)
    planted = np.repeat([0, 1, 2], 20)
    scaled = blobs(planted, width=12)
    scaled[0] = 40.0 * rng.standard_normal(scaled.shape[1])
    found = expression_clusters(scaled)
    assert np.bincount(found).min() >= 3
    from sklearn.metrics import adjusted_rand_score

    assert adjusted_rand_score(found[1:], planted[1:]) > 0.5


def test_a_few_outliers_among_thousands_of_spots_are_no_error():
    """The silhouette looks at some of the spots: perhaps at none of the outliers."""
    points = np.random.default_rng(0).standard_normal((9000, 4))
    points[:3] += 500
    points[3] -= 900
    for seed in range(3):
        found = expression_clusters(points, most=3, seed=seed)
        assert found.shape == (9000,) and found.min() == 0 and found.max() >= 1
