import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from c2lst.diffusion.order import DataOrder
from c2lst.diffusion.trainer import TrainSettings, train
from toy_training import Numbers, plain_network, regression_loss

lengths = st.integers(1, 3000)
seeds = st.integers(0, 2**63 - 1)


@given(lengths, seeds, st.integers(0, 10**6))
def test_every_epoch_holds_every_sample_once(length, seed, epoch):
    indices = DataOrder(length, seed).indices(np.arange(epoch * length, (epoch + 1) * length))
    np.testing.assert_array_equal(np.sort(indices), np.arange(length))


@given(lengths, seeds, st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_an_index_depends_on_its_position_alone(length, seed, positions):
    order = DataOrder(length, seed)
    alone = [int(order.indices(np.array([position]))[0]) for position in positions]
    assert order.indices(np.array(positions)).tolist() == alone


@given(st.integers(20, 3000), seeds)
def test_epochs_and_seeds_differ(length, seed):
    positions = np.arange(length)
    first = DataOrder(length, seed).indices(positions)
    assert not np.array_equal(first, DataOrder(length, seed).indices(positions + length))
    assert not np.array_equal(first, DataOrder(length, seed + 1).indices(positions))


@pytest.mark.parametrize("length", [5, 10, 37])
def test_every_sample_is_as_likely_at_every_place(length):
    epochs = 10_000
    stream = DataOrder(length, 1).indices(np.arange(epochs * length)).reshape(epochs, length)
    counts = np.stack([np.bincount(column, minlength=length) for column in stream.T])
    expected = epochs / length
    statistic = ((counts - expected) ** 2 / expected).sum() * (length - 1) / length
    assert 1e-4 < chi2.sf(statistic, (length - 1) ** 2) < 1 - 1e-4


def test_all_orders_of_a_few_samples_are_alike_frequent():
    epochs = 60_000
    stream = DataOrder(5, 1).indices(np.arange(epochs * 5)).reshape(epochs, 5)
    _, counts = np.unique(stream, axis=0, return_counts=True)
    assert len(counts) == 120
    assert chi2.sf(((counts - epochs / 120) ** 2 / (epochs / 120)).sum(), 119) > 1e-4


def test_neighbours_in_the_collection_are_no_neighbours_in_the_stream():
    stream = DataOrder(10_000, 3).indices(np.arange(10_000))
    assert abs(np.corrcoef(stream[:-1], stream[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(stream, np.arange(10_000))[0, 1]) < 0.04


def test_a_step_costs_the_same_at_any_size_of_collection():
    def seconds(length):
        order, batch = DataOrder(length, 0), np.arange(256)
        best = np.inf
        for step in range(20):
            started = time.perf_counter()
            order.indices(batch + 256 * step)
            best = min(best, time.perf_counter() - started)
        return best

    # A permutation of 10⁹ samples would take seconds and 8 GB.
    assert seconds(10**9) < 5 * seconds(10**3)


def test_a_training_sees_every_sample_once_an_epoch():
    source = Numbers(10)
    train(plain_network(), regression_loss, source, TrainSettings(steps=10, batch_size=4, seed=2))
    stream = np.array(source.fetched[2:])  # the first two are fetched to count the cost
    epochs = stream.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs.tolist())
    assert not np.array_equal(epochs[0], epochs[1])
