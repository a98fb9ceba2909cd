from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.prediction.pairs import Pairs, PairSource


def tagged(n: int, tag: int) -> np.ndarray:
    """Images that carry their index, and ``tag``, in their first pixel."""
    images = np.zeros((n, 16, 16, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(n), tag
    return images


def source(real: int, synthetic: int, share: float, **options) -> PairSource:
    return PairSource(
        Pairs.all_of(tagged(real, 0), np.zeros((real, 2))),
        Pairs.all_of(tagged(synthetic, 1), np.ones((synthetic, 2))),
        share,
        weight=0.25,
        **options,
    )


@settings(deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 30), st.sampled_from([0.25, 0.5, 0.75]), st.integers(2, 12)
)
def test_every_batch_has_the_stated_mix_with_matching_targets(real, synthetic, share, size):
    pairs = source(real, synthetic, share)
    batch = pairs.fetch(np.random.default_rng(size).integers(0, len(pairs), size))
    is_synthetic = batch["inputs"][:, 0, 0, 1] == 1
    assert is_synthetic.sum() == round(share * size)
    torch.testing.assert_close(batch["targets"][:, 0], is_synthetic.float())
    torch.testing.assert_close(batch["weights"], torch.where(is_synthetic, 0.25, 1.0))


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 30), st.floats(0, 1), st.integers(1, 16), st.data())
def test_a_batch_is_the_same_however_it_is_split(real, synthetic, share, size, data):
    """Into micro-batches, and over processes, whose positions are strided."""
    if not real and not synthetic:
        return
    pairs = source(real, synthetic, share)
    indices = np.random.default_rng(size).integers(0, len(pairs), size)
    whole = pairs.fetch(indices)
    processes = data.draw(st.integers(1, 3))
    for process in range(processes):
        own = np.arange(process, size, processes)
        for positions in np.array_split(own, data.draw(st.integers(1, size))):
            if len(positions):
                part = pairs.within(positions, size).fetch(indices[positions])
                for name, values in part.items():
                    assert torch.equal(values, whole[name][positions])


def test_one_pass_meets_every_pair():
    pairs = source(4, 11, 0.5)
    ones = [pairs.fetch(np.array([i, i]))["inputs"][:, 0, 0, 0].tolist() for i in range(len(pairs))]
    assert {s for s, _ in ones} == set(range(11))
    assert np.bincount([r for _, r in ones]).tolist() == [3, 3, 3, 3]


def test_a_source_of_one_kind_gives_that_kind_whatever_the_share():
    for pairs, tag in ((source(3, 0, 0.9), 0), (source(0, 5, 0.1), 1)):
        assert (pairs.fetch(np.arange(8))["inputs"][:, 0, 0, 1] == tag).all()


def test_a_curriculum_changes_the_mix_by_the_step_and_not_the_length():
    pairs = source(4, 8, 1.0, curriculum=lambda step: 1 - step / 4)
    found = [(pairs.at(step).fetch(np.arange(8))["weights"] == 0.25).sum() for step in range(5)]
    assert found == [8, 6, 4, 2, 0]
    assert {len(pairs.at(step)) for step in range(5)} == {len(pairs)} == {8}
    assert source(4, 8, 0.5).at(3).share == 0.5


def test_some_pairs_are_those_of_their_rows_and_have_a_name_of_their_own():
    every = Pairs.all_of(tagged(5, 0), np.arange(10.0).reshape(5, 2))
    some = every.where(np.array([0, 1, 0, 0, 1], dtype=bool))
    inputs, targets = some.take(np.array([0, 1, 2]))
    assert inputs[:, 0, 0, 0].tolist() == [1, 4, 1]
    assert targets[:, 0].tolist() == [2, 8, 2]
    changed = replace(some, targets=some.targets + 1)
    assert len({every.digest, some.digest, changed.digest}) == 3
