import itertools
import weakref
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.memory import FittingBatches


def short(chosen, most, error=torch.OutOfMemoryError):
    if chosen.stop - chosen.start > most:
        raise error("CUDA out of memory. Tried to allocate 2.00 GiB")
    return list(range(chosen.start, chosen.stop))


# Collecting garbage at each halving is what takes the time of hundreds of these.
@mock.patch("c2lst.memory.free_memory", new=lambda: None)
@given(count=st.integers(0, 40), size=st.integers(1, 50), most=st.integers(1, 50))
def test_every_sample_comes_once_and_in_order_whatever_fits(count, size, most):
    batches = FittingBatches(size)
    found = [part for _, part in batches.over(count, lambda chosen: short(chosen, most))]
    assert list(itertools.chain(*found)) == list(range(count))
    assert all(len(part) <= min(size, most) for part in found)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_what_did_not_fit_is_not_tried_again(error, caplog):
    caplog.set_level("INFO")
    batches, tried = FittingBatches(9), []

    def work(chosen):
        tried.append(chosen.stop - chosen.start)
        return short(chosen, 3, error)

    for _ in range(2):
        assert len(list(batches.over(7, work))) == 4
    assert tried == [7, 4, *(2, 2, 2, 1) * 2]
    assert [r.args[0] for r in caplog.records if "not enough memory" in r.msg] == [4, 2]


def test_memory_of_the_batch_that_failed_is_free_before_the_next():
    held = []

    def work(chosen):
        assert not [kept for kept in held if kept() is not None]
        activations = np.zeros(chosen.stop - chosen.start)
        held.append(weakref.ref(activations))
        return len(short(chosen, 1))

    assert sum(found for _, found in FittingBatches(4).over(4, work)) == 4


def test_one_image_that_does_not_fit_is_the_users_to_mend():
    with pytest.raises(InputError, match=r"one image at a time, found CUDA out of memory.*=cpu"):
        list(FittingBatches(4).over(4, lambda chosen: short(chosen, 0)))


def test_batches_of_nothing_are_refused():
    with pytest.raises(InputError, match="batch size: is of nothing, found 0"):
        FittingBatches(0)


def test_other_errors_are_left_alone():
    def work(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        list(FittingBatches(4).over(4, work))
