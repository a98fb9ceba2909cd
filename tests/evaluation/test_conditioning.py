import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.evaluation.conditioning import (
    ARMS,
    SHUFFLED,
    SYNTHETIC,
    UNCONDITIONAL,
    _correlations,
    _resampled,
    follow,
    partners,
    programmes,
)
from c2lst.evaluation.reader import Reader

GENES = ("LOUD", "SILENT")
SPOTS, PER_SPOT, HELD_OUT = 40, 3, 80


def paint(rng, brightness):
    """Paint patches: the first gene is how bright they are; the rest is noise."""
    noise = rng.normal(0, 12, (len(brightness), 6, 6, 3))
    level = 128 + 25 * np.asarray(brightness)[:, None, None, None]
    return np.clip(level + rng.normal(0, 8, level.shape) + noise, 0, 255).astype(np.uint8)


def features(images):
    flat = images.reshape(len(images), -1).astype(float)
    return np.column_stack([flat.mean(axis=1), flat.std(axis=1), flat[:, :8]])


def judge(generator, *, seed=0, seen=True):
    """Judge a generator that maps (rng, brightness asked for or None) to patches."""
    rng = np.random.default_rng(seed)
    real_genes, genes = rng.standard_normal((HELD_OUT, 2)), rng.standard_normal((SPOTS, 2))
    real = features(paint(rng, real_genes[:, 0] if seen else np.zeros(HELD_OUT)))
    reader = Reader.fit(real, real_genes)
    own = features(paint(rng, genes[:, 0] if seen else np.zeros(SPOTS)))
    spots = np.repeat(np.arange(SPOTS), PER_SPOT)
    asked = {
        SYNTHETIC: genes[spots, 0],
        SHUFFLED: genes[partners(SPOTS, seed)][spots, 0],
        UNCONDITIONAL: np.zeros(len(spots)),
    }
    read = {arm: reader.predict(features(generator(rng, asked[arm]))) for arm in ARMS}
    return follow(
        "genes",
        GENES,
        read,
        genes[spots],
        spots,
        real=(reader.predict(own), genes),
        held_out=reader.spots,
        seed=seed,
    )


def test_a_generator_that_paints_a_gene_is_heard():
    found = judge(paint)
    loud = found.table.set_index("name").loc["LOUD"]
    assert loud["estimate"] > 0.8 and loud["low"] > 0.7
    assert abs(loud["shuffled"]) < 0.35 and abs(loud["unconditional"]) < 0.35
    assert loud["real"] > 0.8
    silent = found.table.set_index("name").loc["SILENT"]
    assert silent["low"] < 0.1
    assert found.follows and "tissue follows its genes: r = 0." in found.verdict
    assert (found.spots, found.held_out) == (SPOTS, HELD_OUT)


def test_a_generator_that_ignores_genes_is_not_told_from_its_controls():
    deaf = [judge(lambda rng, asked: paint(rng, np.zeros(len(asked))), seed=s) for s in range(12)]
    assert sum(found.follows for found in deaf) <= 1
    assert "does not measurably follow" in deaf[0].verdict


@pytest.mark.parametrize("control", [SHUFFLED, UNCONDITIONAL])
def test_what_one_control_shows_too_is_no_margin(control):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 30, 1))
    arms = dict.fromkeys(ARMS, np.zeros_like(x)) | {SYNTHETIC: x + y, control: x + y}
    found = follow("genes", ("A",), arms, y, np.arange(30), real=(x, y), held_out=9)
    row = found.mean
    assert row["estimate"] > 0.5 and row["margin"] == row["margin_high"] == 0 and not found.follows


def test_a_generator_of_opposite_sign_does_not_follow():
    assert not judge(lambda rng, asked: paint(rng, -asked)).follows


def test_genes_that_real_patches_do_not_show_are_no_verdict_on_the_generator():
    blind = [
        judge(lambda rng, asked: paint(rng, np.zeros(len(asked))), seed=seed, seen=False)
        for seed in range(12)
    ]
    assert sum(found.readable for found in blind) <= 2
    assert "cannot be told" in next(found for found in blind if not found.readable).verdict


def test_copies_of_a_spots_images_do_not_pass_for_more_spots():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 30, 1))
    y = x + y
    widths = []
    for copies in (1, 10):
        spots = np.repeat(np.arange(30), copies)
        arms = dict.fromkeys(ARMS, x[spots])
        row = follow("genes", ("A",), arms, y[spots], spots, real=(x, y), held_out=9).mean
        widths.append(row["high"] - row["low"])
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 4))
def test_a_resample_is_the_correlation_of_the_repeated_rows(seed, spots, columns):
    rng = np.random.default_rng(seed)
    groups = np.sort(np.concatenate([np.arange(spots), rng.integers(spots, size=9)]))
    x, y = rng.standard_normal((2, len(groups), columns))
    counts = np.stack([np.ones(spots), rng.integers(1, 4, spots)])
    found = _correlations(x, y, groups, counts)
    for which in (0, 1):
        rows = np.repeat(np.arange(len(groups)), counts[which][groups].astype(int))
        wanted = [np.corrcoef(x[rows, k], y[rows, k])[0, 1] for k in range(columns)]
        np.testing.assert_allclose(found[which, 1:], wanted, atol=1e-9)
        assert found[which, 0] == pytest.approx(np.mean(wanted))


def test_a_constant_prediction_tells_nothing_and_a_missing_gene_is_left_out():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((20, 3))
    x = y.copy()
    x[:, 1] = 7.0
    y[4, 2] = np.nan
    found = _correlations(x, y, np.arange(20), _resampled(20, 5, 0))
    assert found[0, 1] == pytest.approx(1) and found[0, 2] == 0 and np.isnan(found[0, 3])
    assert found[0, 0] == pytest.approx(0.5)


def test_a_missing_arm_and_other_shapes_are_refused():
    x = np.random.default_rng(0).standard_normal((12, 1))
    arms = dict.fromkeys(ARMS, x)

    def given_arms(read, wanted=x, names=("A",)):
        return follow("genes", names, read, wanted, np.arange(12), real=(x, x), held_out=9)

    with pytest.raises(InputError, match="shuffled arm is missing"):
        given_arms({k: v for k, v in arms.items() if k != SHUFFLED})
    with pytest.raises(InputError, match="not as many as were asked for"):
        given_arms(arms | {UNCONDITIONAL: x[:5]})
    with pytest.raises(InputError, match="not as many as names"):
        given_arms(arms, names=("A", "B"))


@given(st.integers(2, 60), st.integers(0, 1000))
def test_every_spot_gets_another_one_and_each_is_got_once(count, seed):
    found = partners(count, seed)
    assert sorted(found) == list(range(count))
    assert (found != np.arange(count)).all()


def test_a_single_spot_has_no_partner():
    with pytest.raises(InputError, match="too few to shuffle"):
        partners(1, 0)


def test_the_first_programme_is_what_moves_most_genes():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal(50)
    scaled = rng.standard_normal((50, 30)) * 0.3
    scaled[:, :20] += hidden[:, None]
    loadings, shares = programmes(scaled)
    assert abs(np.corrcoef(scaled @ loadings[:, 0], hidden)[0, 1]) > 0.95
    assert loadings.shape == (30, 5) and (np.diff(shares) <= 0).all()


def test_too_few_held_out_spots_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="too few to train a reader"):
        Reader.fit(rng.standard_normal((6, 3)), rng.standard_normal((6, 2)))


def test_real_patches_must_be_those_of_the_source_spots():
    x = np.random.default_rng(0).standard_normal((12, 1))
    with pytest.raises(InputError, match="not those of the source spots"):
        follow("genes", ("A",), dict.fromkeys(ARMS, x), x, np.arange(12), real=(x[:5], x[:5]),
               held_out=9)  # fmt: skip


def test_resamples_without_the_one_spot_that_has_a_gene_say_nothing_of_it():
    """There the gene is the same everywhere: no correlation, rather than one of 0."""
    rng = np.random.default_rng(0)
    gene = np.full((SPOTS, 1), -0.16)
    gene[3] = 6.2
    counts = _resampled(SPOTS, 300, 0)
    found = _correlations(gene + rng.standard_normal(gene.shape), gene, np.arange(SPOTS), counts)
    without = counts[:, 3] == 0
    assert 60 < without.sum() < 160
    assert np.isnan(found[without]).all()
    assert found[~without].min() > 0.5
