import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.privacy.intervals import Interval, auc, clustered_variance, hit_rate

SCORES = st.lists(st.integers(0, 5), min_size=2, max_size=30).map(np.array)


@given(SCORES, SCORES)
def test_auc_is_the_share_of_pairs_in_order(members, others):
    pairs = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    found, mirrored = auc(members, others), auc(others, members)
    assert found.value == pytest.approx(pairs.mean())
    assert found.low <= found.value <= found.high
    assert mirrored.value == pytest.approx(1 - found.value)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    truth = 0.7602  # Φ(1 / √2)
    for _ in range(400):
        found = auc(rng.normal(1, 1, 40), rng.normal(0, 1, 60))
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 400 <= 0.98


def test_hit_rate_counts_members_above_the_allowed_false_alarms():
    others = np.arange(100.0)
    members = np.array([99.5, 98.5, 95.0, 0.0])
    assert hit_rate(members, others, 0.01) == 0.5
    assert hit_rate(members, others, 0.1) == 0.75
    assert hit_rate(members, others[:50], 0.01) is None


@pytest.mark.parametrize(
    ("low", "high", "spots", "verdict"),
    [
        (0.45, 0.60, 50, "pass"),
        (0.56, 0.60, 50, "fail"),
        (0.40, 0.75, 50, "undecided"),
        (0.50, 0.50, 5, "undecided"),
        (0.99, 1.00, 5, "fail"),
    ],
)
def test_few_spots_are_no_pass(low, high, spots, verdict):
    assert Interval((low + high) / 2, low, high).judge(spots) == verdict


def test_alike_images_of_one_source_are_no_evidence_of_their_own():
    scores = np.random.default_rng(0).random(50)
    alone = clustered_variance(scores, np.arange(50), 0)
    repeated = clustered_variance(np.repeat(scores, 10), np.repeat(np.arange(50), 10), 0)
    assert repeated == pytest.approx(alone, rel=0.01)
    assert alone == pytest.approx(scores.var(ddof=1) / 50, rel=0.2)
