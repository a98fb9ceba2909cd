import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.preprocessing import Preprocessing
from c2lst.local.profiles import draw_profiles, resequenced


@pytest.fixture(scope="module")
def training(spots):
    section, split, _ = spots
    return split.training(section)


def test_real_profiles_are_the_spots_own(spots, training):
    fitted = spots[2]
    profiles = draw_profiles(training, fitted, "real", per_spot=3)
    assert len(profiles) == 3 * len(training)
    np.testing.assert_array_equal(profiles.scaled[::3], fitted.expression(training))
    np.testing.assert_array_equal(profiles.scaled[::3], profiles.scaled[2::3])
    assert profiles.sources[::3].tolist() == training.barcodes.tolist()
    assert profiles.library_size[::3].tolist() == training.library_size.tolist()


def test_the_same_seed_gives_the_same_profiles_and_another_others(spots, training):
    for policy in ("jitter", "mixup"):
        hashes = [draw_profiles(training, spots[2], policy, seed=s).hash for s in (1, 1, 2)]
        assert hashes[0] == hashes[1] != hashes[2], policy


@given(seed=st.integers(0, 2**32), level=st.floats(0.5, 80), panel=st.integers(1, 6))
def test_resequencing_keeps_mean_and_has_the_variance_of_counting(seed, level, panel):
    """Mean n and variance n, gene by gene and for the library, within five standard errors."""
    rng, times = np.random.default_rng(seed), 4000
    counts = rng.poisson(level, panel)
    library = counts.sum() + 200
    drawn, libraries = resequenced(np.tile(counts, (times, 1)), np.full(times, library), rng)
    for values, n in zip([*drawn.T, libraries], [*counts, library], strict=True):
        assert abs(values.mean() - n) <= 5 * np.sqrt(n / times)
        # Of a Poisson variable, the variance of the squared deviation is n + 2n².
        assert abs(values.var() - n) <= 5 * np.sqrt((n + 2 * n**2) / times)
    assert (drawn[:, counts == 0] == 0).all()


def test_genes_are_resequenced_apart():
    rng = np.random.default_rng(0)
    drawn, _ = resequenced(np.full((5000, 2), 50), np.full(5000, 1000), rng)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.07


def test_a_library_never_vanishes():
    counts = np.array([[1, 0]] * 200)
    drawn, libraries = resequenced(counts, np.full(200, 1), np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 0).any() and (libraries >= 1).all()


def test_jittered_profiles_are_resequenced_ones_on_the_adapters_scale(spots, training):
    fitted = spots[2]
    profiles = draw_profiles(training, fitted, "jitter", per_spot=400, seed=3)
    lognorm = fitted.scaler.unscale(profiles.scaled)
    shares = np.expm1(lognorm) / fitted.scaler.target_sum
    counts = training.counts[:, fitted.panel.columns(training)].toarray()
    own = counts / training.library_size[:, None]
    found = shares.reshape(len(training), 400, -1)
    error = np.sqrt(own / training.library_size[:, None] / 400) + 1e-6
    assert (np.abs(found.mean(axis=1) - own) < 6 * error).all()
    # A share n/L of a Poisson n has about the variance n/L² (less what L shares with n).
    expected = own * (1 - own) / training.library_size[:, None]
    ratio = found.var(axis=1)[expected > 0] / expected[expected > 0]
    assert abs(ratio.mean() - 1) < 0.1
    assert profiles.sources[::400].tolist() == training.barcodes.tolist()


def test_a_jittered_profile_of_all_genes_adds_up(spots):
    section, split, _ = spots
    fitted = Preprocessing.fit(section, split, genes=tuple(section.genes.tolist()))
    profiles = draw_profiles(split.training(section), fitted, "jitter", per_spot=3)
    normalised = np.expm1(fitted.scaler.unscale(profiles.scaled))
    np.testing.assert_allclose(normalised.sum(axis=1), fitted.scaler.target_sum, rtol=1e-3)


@pytest.mark.parametrize("by", ["expression", "space"])
def test_mixed_profiles_lie_between_two_close_spots(spots, training, by):
    fitted = spots[2]
    profiles = draw_profiles(training, fitted, "mixup", per_spot=4, mixup_by=by, seed=1)
    scaled = fitted.expression(training)
    places = scaled if by == "expression" else training.centres_um
    row = {b: i for i, b in enumerate(training.barcodes.tolist())}
    shares = []
    for index, source in enumerate(profiles.sources.tolist()):
        a, b = (row[parent] for parent in source.split("+"))
        assert a == index // 4 and a != b
        distances = np.linalg.norm(places - places[a], axis=1)
        assert distances[b] <= np.sort(distances)[5]
        for mixed, values in (
            (profiles.scaled[index], scaled), (profiles.library_size[index], training.library_size),
        ):  # fmt: skip
            low, high = np.minimum(values[a], values[b]), np.maximum(values[a], values[b])
            assert (mixed >= low - 1e-5).all() and (mixed <= high + 1e-5).all()
        apart = scaled[b] - scaled[a]
        shares.append((profiles.scaled[index] - scaled[a]) @ apart / (apart @ apart))
    # Of Beta(1, 2), the mean is a third: a mixed profile is more of its first spot.
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.08)
    assert profiles.origin["mixup_by"] == by


def test_space_and_expression_choose_other_partners(spots, training):
    drawn = [
        draw_profiles(training, spots[2], "mixup", per_spot=4, mixup_by=by).sources.tolist()
        for by in ("expression", "space")
    ]
    assert drawn[0] != drawn[1]
