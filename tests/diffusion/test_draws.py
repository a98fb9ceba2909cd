import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.diffusion.draws import Draws, mix_seed, seeded_normal


@given(st.lists(st.integers(0, 63), min_size=1, max_size=8, unique=True), st.integers(0, 1000))
def test_draws_depend_on_position_not_on_company(positions, step):
    together = Draws(3, step, positions).normal((2,))
    alone = torch.cat([Draws(3, step, [p]).normal((2,)) for p in positions])
    assert torch.equal(together, alone)


def test_streams_differ_by_seed_step_and_position():
    values = {
        float(Draws(seed, step, [position]).normal()[0])
        for seed in range(3)
        for step in range(3)
        for position in range(3)
    }
    assert len(values) == 27


CALLS = st.lists(
    st.sampled_from([("normal", (2, 2)), ("normal", ()), ("uniform", (3,)), ("integers", 7)]),
    max_size=5,
)


def asked(draws, calls):
    return [getattr(draws, kind)(given) for kind, given in calls]


@given(CALLS, CALLS)
def test_what_was_foreseen_changes_no_value(foreseen, calls):
    plain, ahead = Draws(1, 2, [0, 3]), Draws(1, 2, [0, 3], foreseen=foreseen)
    for one, other in zip(asked(plain, calls), asked(ahead, calls), strict=True):
        assert torch.equal(one, other)
    assert list(plain.calls) == list(ahead.calls) == calls


def test_what_was_foreseen_is_drawn_at_once(monkeypatch):
    calls = [("integers", 8), ("normal", (3, 4)), ("uniform", ())]
    draws = Draws(1, 2, [0, 3], foreseen=calls)
    monkeypatch.setattr(Draws, "_draw", lambda *given: pytest.fail("drawn when asked for"))
    asked(draws, calls)


def test_mixed_seeds_fit_a_signed_integer_and_do_not_commute():
    assert 0 <= mix_seed(1, 2) < 2**63
    assert mix_seed(1, 2) != mix_seed(2, 1)


def test_starting_noise_is_one_image_per_seed():
    pair = seeded_normal([5, 6], (3, 4, 4))
    assert torch.equal(pair[1], seeded_normal([6], (3, 4, 4))[0])
    assert not torch.equal(pair[0], pair[1])


def test_what_a_step_draws_is_shared_by_all_who_take_part_in_it():
    drawn = {
        Draws(0, step, positions).of_step() for step in range(20) for positions in ([0], [1, 2])
    }
    assert len(drawn) == 20
    assert all(0 <= value < 1 for value in drawn)
