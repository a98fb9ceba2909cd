"""What is read ahead is what would have been read, once, and in time."""

import threading
from itertools import chain

import numpy as np
import pytest
import torch

from c2lst.diffusion.ahead import ReadAhead
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.gradient import BatchGradient
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.trainer import train


class Numbers:
    """Samples whose value is their index; remembers who asked for what."""

    def __init__(self, count=40):
        self.count, self.asked, self.threads = count, [], set()

    def __len__(self):
        return self.count

    def fetch(self, indices):
        self.asked.append(indices.tolist())
        self.threads.add(threading.current_thread())
        return {"x": torch.from_numpy(indices.astype(np.float32))[:, None]}


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.slope * x


def squared(model, batch, draws):
    return (model(batch["x"]) - 2 * batch["x"] / 40).square().mean(dim=1)


def learnt(settings, source):
    model = Line()
    train(model, squared, source, settings, label="line")
    return model.slope.item()


def test_what_follows_is_fetched_before_it_is_asked_for():
    begun, source = threading.Event(), Numbers()

    def fetch(step, indices):
        if step == 1:
            begun.set()
        return source.fetch(indices)

    ahead = ReadAhead(fetch)
    first = ahead.take((0, np.array([0, 1])), (1, np.array([2, 3])))
    assert begun.wait(timeout=30)
    second = ahead.take((1, np.array([2, 3])), None)
    assert first["x"][:, 0].tolist() == [0, 1]
    assert second["x"][:, 0].tolist() == [2, 3]
    assert source.asked == [[0, 1], [2, 3]]


def test_what_was_not_foreseen_is_fetched_all_the_same():
    source = Numbers()
    ahead = ReadAhead(lambda step, indices: source.fetch(indices))
    ahead.take((0, np.array([0, 1])), (0, np.array([2, 3])))
    assert ahead.take((0, np.array([2])), None)["x"][:, 0].tolist() == [2]
    assert ahead.take((0, np.array([5])), None)["x"][:, 0].tolist() == [5]
    assert len(source.threads) == 1


def test_the_same_samples_in_another_step_are_fetched_again():
    ahead = ReadAhead(lambda step, indices: {"step": step})
    ahead.take((0, np.array([0])), (1, np.array([0])))
    assert ahead.take((2, np.array([0])), None) == {"step": 2}


def test_an_error_comes_where_the_samples_are_wanted():
    def fetch(step, indices):
        if 3 in indices:
            raise OSError("damaged")
        return {}

    ahead = ReadAhead(fetch)
    ahead.take((0, np.array([0])), (1, np.array([3])))  # not yet
    with pytest.raises(OSError, match="damaged"):
        ahead.take((1, np.array([3])), (2, np.array([4])))
    assert ahead.take((2, np.array([4])), None) == {}


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_a_training_reads_each_batch_once_and_none_after_its_end(micro_batch):
    settings = TrainSettings(steps=6, batch_size=8, learning_rate=0.1, micro_batch=micro_batch)
    source = Numbers()
    learnt(settings, source)
    counted, *batches = source.asked  # the first two are for the cost of an image
    assert list(chain(*batches)) == BatchesOf(settings, source).all()
    assert len(counted) == 2
    assert all(len(batch) <= (micro_batch or 8) for batch in batches)


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_noise_is_drawn_on_the_thread_that_works_ahead(micro_batch, monkeypatch):
    settings = TrainSettings(steps=6, batch_size=8, learning_rate=0.1, micro_batch=micro_batch)
    drawn, draw, numbers = [], Draws._draw, range(settings.steps)

    def noted(self, kind, given):
        drawn.append((self.step, threading.current_thread() is threading.main_thread()))
        return draw(self, kind, given)

    def noisy(model, batch, draws):
        target = 2 * batch["x"] / 40 + 0.01 * draws.normal((1,))
        return (model(batch["x"]) - target).square().mean(dim=1)

    model, other = Line(), Line()
    train(other, noisy, Numbers(), settings, label="line")
    monkeypatch.setattr(Draws, "_draw", noted)
    train(model, noisy, Numbers(), settings, label="line")
    assert model.slope.item() == other.slope.item()
    # What a loss draws is known from the batch before the one that is at hand.
    late = {step for step, is_main in drawn if is_main}
    assert late <= {0, 1} and {step for step, _ in drawn} == set(numbers)


class Placed(Numbers):
    """Remembers which places of which batch its samples were asked for."""

    def __init__(self):
        super().__init__()
        self.places = []

    def within(self, positions, size):
        self.places.append((positions.tolist(), size))
        return self


@pytest.mark.parametrize("micro_batch", [None, 3, 1])
def test_a_source_is_told_which_part_of_the_batch_is_wanted(micro_batch):
    settings = TrainSettings(steps=2, batch_size=8, learning_rate=0.1, micro_batch=micro_batch)
    source = Placed()
    learnt(settings, source)
    assert list(chain(*(positions for positions, _ in source.places))) == [*range(8)] * 2
    assert {size for _, size in source.places} == {8}


class BatchesOf(BatchGradient):
    """The order in which a training is to read its samples."""

    def __init__(self, settings, source):
        from c2lst.diffusion.processes import Processes

        super().__init__(torch.nn.Identity(), [], squared, source, settings, Processes())

    def all(self):
        return [
            int(index)
            for step in range(self._settings.steps)
            for index in self._request(step, self._share)[1]
        ]


def test_threads_end_with_their_training():
    settings = TrainSettings(steps=3, batch_size=8, learning_rate=0.1)
    source = Numbers()
    learnt(settings, source)
    for thread in source.threads - {threading.main_thread()}:
        thread.join(timeout=30)
        assert not thread.is_alive()
