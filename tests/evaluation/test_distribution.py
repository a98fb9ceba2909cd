import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.evaluation.distribution import halves, kernel, kernel_distance


def normal(n, d=8, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).standard_normal((n, d))


def exact(shift, d):
    """E k(x, x') + E k(y, y') - 2 E k(x, y) for N(0, 1) and N(shift, 1) in one dimension."""
    assert d == 1
    # (xy + 1)³ by the moments of a normal: E x = m, E x² = 1 + m², E x³ = m³ + 3m.
    first, second = [1, 0, 1, 0], [1, shift, 1 + shift**2, shift**3 + 3 * shift]
    binomial = [1, 3, 3, 1]
    return sum(b * (p - q) ** 2 for b, p, q in zip(binomial, first, second, strict=True))


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_estimate_has_no_bias_at_a_handful_of_images(shift):
    found = [
        kernel_distance(
            normal(6, 1, seed=2 * s), normal(5, 1, shift, seed=2 * s + 1), bootstraps=0
        ).value
        for s in range(4000)
    ]
    standard_error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - exact(shift, 1)) < 4 * standard_error


def test_it_is_the_formula():
    x, y = normal(7), normal(9, shift=0.2, seed=1)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    wanted = off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()
    assert kernel_distance(x, y).value == pytest.approx(wanted, abs=1e-5)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = {0.0: 0, 0.4: 0}
    for shift in held:
        truth = exact(shift, 1)
        for s in range(60):
            found = kernel_distance(normal(80, 1, seed=s), normal(80, 1, shift, seed=1000 + s))
            held[shift] += found.low <= truth <= found.high
    assert held[0.0] >= 54 and 51 <= held[0.4] <= 60


def test_more_images_narrow_the_interval():
    widths = []
    for n in (50, 800):
        found = kernel_distance(normal(n), normal(n, shift=0.3, seed=1))
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


@given(st.integers(0, 1000))
def test_it_is_symmetric_and_blind_to_the_order_of_images(seed):
    x, y = normal(12), normal(15, shift=0.5, seed=1)
    forward = kernel_distance(x, y, bootstraps=0).value
    shuffled = np.random.default_rng(seed).permutation(x)
    assert kernel_distance(y, shuffled, bootstraps=0).value == pytest.approx(forward, abs=1e-5)


def test_images_of_one_group_do_not_pass_for_many():
    """Eight copies of each field: without groups, two halves of one collection seem far apart."""
    fields = normal(60, 4)
    groups = np.repeat(np.arange(60), 8)
    images = fields[groups] + 0.05 * normal(480, 4, seed=1)
    first, second = halves(groups, seed=3)
    blind = kernel_distance(images[first], images[second])
    aware = kernel_distance(images[first], images[second], groups=(groups[first], groups[second]))
    assert blind.low > 0
    assert aware.low < 0 < aware.high
    assert aware.high - aware.low > blind.high - blind.low


def test_halves_share_no_group_and_lose_no_image():
    groups = np.random.default_rng(0).integers(0, 9, 50)
    first, second = halves(groups, seed=1)
    assert not set(groups[first]) & set(groups[second])
    assert sorted([*first, *second]) == list(range(50))


def test_large_sets_are_cut_into_parts_with_the_same_answer(monkeypatch):
    x, y = normal(900, 4), normal(700, 4, shift=0.3, seed=1)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(kernel, "BLOCK", 200)
    parts = kernel_distance(x, y)
    assert parts.value == pytest.approx(whole.value, rel=0.15)
    assert parts.low < whole.value < parts.high


def test_rows_are_taken_in_batches_with_the_same_answer(monkeypatch):
    x, y = normal(90), normal(70, shift=0.3, seed=1)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(kernel, "ROWS", 7)
    assert kernel_distance(x, y).high == pytest.approx(whole.high, abs=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (normal(1), normal(5), "no set of images"),
        (normal(5), normal(5, 3), "differ in length"),
        (np.full((5, 8), np.nan), normal(5), "not finite"),
    ],
)
def test_features_that_are_no_sets_are_refused(first, second, named):
    with pytest.raises(InputError, match=named):
        kernel_distance(first, second)


def test_one_group_is_no_sample():
    with pytest.raises(InputError, match="at least two groups"):
        kernel_distance(normal(5), normal(5), groups=(["a"] * 5, None))


@pytest.mark.parametrize("count", [2, 3])
def test_resamples_of_a_single_group_are_no_resamples(count):
    """They have no pair of different groups, which is not the same as pairs of kernel 0."""
    x, y = normal(60), normal(60, seed=1)
    found = kernel_distance(x, y, groups=(np.arange(60) % count, None))
    assert found.low < found.value < found.high
    assert found.high - found.low < 1


def test_a_part_without_two_groups_says_nothing(monkeypatch):
    """One image of a second group: the other parts of the set have no pair of two groups."""
    monkeypatch.setattr(kernel, "BLOCK", 40)
    x, y = normal(200, 4), normal(200, 4, seed=1)
    found = kernel_distance(x, y, groups=((np.arange(200) == 7).astype(int), None), bootstraps=0)
    assert abs(found.value) < 1


def test_a_distance_reads_in_thousandths():
    found = kernel_distance(normal(50), normal(50, shift=0.5, seed=1))
    assert str(found).startswith(f"{1e3 * found.value:.2f} (")
    assert "×10⁻³" in str(found)
