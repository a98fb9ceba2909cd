import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.explorer.handles import Handles


def standardised(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


@pytest.fixture
def two_programmes():
    """Genes a to c rise together, d falls with them; e and f are another programme; g is noise."""
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((2, 300, 1))
    x = np.concatenate([2 * one * [1, 1, 1, -1], two * [1, 1], np.zeros((300, 1))], axis=1)
    return standardised(x + 0.3 * rng.standard_normal(x.shape))


def test_programmes_are_genes_that_go_together(two_programmes):
    handles = Handles.fit(two_programmes, "abcdefg")
    first, second = list(handles.programmes)[:2]
    assert set(first.split(": ")[1].replace("−", "").split(", ")) <= set("abcd")
    assert set(second.split(": ")[1].split(", ")[:2]) == set("ef")
    loading = handles.programmes[first]
    assert np.sign(loading[0]) == np.sign(loading[1]) != np.sign(loading[3])
    assert abs(loading[:4]).min() > 0.9 > 0.2 > abs(loading[4:]).max()


def test_one_step_is_one_standard_deviation_of_the_programme(two_programmes):
    handles = Handles.fit(two_programmes, "abcdefg")
    for name, loading in handles.programmes.items():
        scores = two_programmes @ loading
        moved = handles.move(two_programmes[0], {name: 1.0}) @ loading
        assert moved - scores[0] == pytest.approx(scores.std(), rel=1e-3)


def test_names_are_all_there_and_noise_comes_last(two_programmes):
    handles = Handles.fit(two_programmes, "abcdefg")
    assert sorted(handles.clearest) == list("abcdefg")
    # The noisy gene makes a programme of its own: with fewer programmes it is the least clear.
    fewer = Handles(handles.genes, handles.loadings[:2])
    assert fewer.clearest[-1] == "g"
    assert handles.names[:5] == list(handles.programmes)


@given(
    st.dictionaries(st.sampled_from("abcdefg"), st.floats(-3, 3, width=32), max_size=7),
    st.integers(0, 5),
)
def test_genes_move_by_their_steps_and_no_other_does(moves, seed):
    rng = np.random.default_rng(seed)
    handles = Handles.fit(rng.standard_normal((9, 7)), "abcdefg")
    profile = rng.standard_normal(7).astype(np.float32)
    expected = profile + np.array([moves.get(gene, 0) for gene in "abcdefg"], dtype=np.float32)
    assert np.allclose(handles.move(profile, moves), expected, atol=1e-6)


def test_few_spots_and_one_gene_have_fewer_programmes_or_none():
    rng = np.random.default_rng(0)
    assert len(Handles.fit(rng.standard_normal((3, 7)), "abcdefg").programmes) == 1
    one = Handles.fit(rng.standard_normal((9, 1)), "a")
    assert one.names == ["a"]


def test_a_gene_that_does_not_vary_is_no_trouble():
    x = np.random.default_rng(0).standard_normal((20, 4))
    x[:, 2] = 0
    handles = Handles.fit(x, "abcd")
    assert np.isfinite(handles.loadings).all() and (handles.loadings[:3, 2] == 0).all()


def test_unknown_names_are_refused_with_a_guess():
    handles = Handles.fit(np.random.default_rng(0).standard_normal((9, 2)), ["ERBB2", "GATA3"])
    with pytest.raises(InputError, match="perhaps ERBB2"):
        handles.direction("ERBB3")
