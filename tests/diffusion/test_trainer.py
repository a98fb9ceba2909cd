import numpy as np
import pytest
import torch
from torch import nn

from c2lst.diffusion.trainer import TrainSettings, batch_indices, train
from c2lst.errors import InputError


class Numbers:
    def __init__(self, n=13):
        self.x = torch.linspace(-1, 1, n)[:, None]

    def __len__(self):
        return len(self.x)

    def fetch(self, indices):
        return {"x": self.x[indices]}


def regression_loss(model, batch, draws):
    noisy = batch["x"] + 0.01 * draws.normal((1,))
    return (model(noisy) - 2 * batch["x"]).square().sum(dim=1)


def network():
    torch.manual_seed(0)
    # Dropout takes from torch's global state: resume must cover that, too.
    return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.Linear(8, 1))


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


class KilledError(Exception):
    pass


def dying_loss(at):
    calls = iter(range(10**6))

    def loss(model, batch, draws):
        if next(calls) == at:
            raise KilledError
        return regression_loss(model, batch, draws)

    return loss


@pytest.mark.parametrize("killed_at", [0, 4, 5, 11, 17])
def test_an_interrupted_run_ends_bit_for_bit_like_the_uninterrupted(tmp_path, killed_at):
    settings = TrainSettings(steps=18, batch_size=7, checkpoint_every=5, ema_decay=0.9)
    whole = network()
    history = train(whole, regression_loss, Numbers(), settings)
    resumed = network()
    with pytest.raises(KilledError):
        train(resumed, dying_loss(killed_at), Numbers(), settings, directory=tmp_path)
    again = network()
    continued = train(again, regression_loss, Numbers(), settings, directory=tmp_path)
    assert same(weights(whole), weights(again))
    assert continued.losses == history.losses


def test_a_finished_training_is_not_done_again(tmp_path):
    settings = TrainSettings(steps=6, batch_size=4, ema_decay=0.9)
    first, second = network(), network()
    history = train(first, regression_loss, Numbers(), settings, directory=tmp_path)
    again = train(second, dying_loss(0), Numbers(), settings, directory=tmp_path)
    assert same(weights(first), weights(second)) and again.losses == history.losses


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    settings = TrainSettings(steps=18, batch_size=7, checkpoint_every=5)
    train(network(), regression_loss, Numbers(), settings, directory=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-18"]


def test_micro_batches_do_not_change_the_result():
    def plain():
        torch.manual_seed(0)
        return nn.Linear(1, 1)

    results = []
    for micro_batch in (None, 3, 1):
        model = plain()
        settings = TrainSettings(steps=6, batch_size=7, micro_batch=micro_batch, ema_decay=None)
        train(model, regression_loss, Numbers(), settings)
        results.append(model.weight.item())
    assert np.allclose(results, results[0], rtol=1e-6)


def test_training_lowers_the_loss_and_leaves_frozen_weights_alone():
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()
    settings = TrainSettings(steps=200, batch_size=13, learning_rate=1e-2, ema_decay=None)
    history = train(model, regression_loss, Numbers(), settings)
    assert history.losses[-1] < 0.2 * history.losses[0]
    assert torch.equal(model[0].weight, frozen)


def test_every_epoch_sees_every_sample_once():
    settings = TrainSettings(steps=10, batch_size=4, seed=2)
    stream = np.concatenate([batch_indices(10, settings, step) for step in range(10)])
    epochs = stream.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_learning_rate_rises_then_falls():
    settings = TrainSettings(steps=100, learning_rate=1.0, warmup=0.1, schedule="cosine")
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 9 and rates[-1] == pytest.approx(0.01, abs=0.01)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    settings = TrainSettings(steps=8, batch_size=4, checkpoint_every=5)
    train(network(), regression_loss, Numbers(), settings, directory=tmp_path)
    other = TrainSettings(steps=8, batch_size=5, checkpoint_every=5)
    with pytest.raises(InputError, match="batch_size"):
        train(network(), regression_loss, Numbers(), other, directory=tmp_path)


def test_a_loss_that_stays_infinite_stops_with_advice():
    def broken(model, batch, draws):
        return model(batch["x"]).sum(dim=1) * float("nan")

    with pytest.raises(InputError, match="learning rate"):
        train(nn.Linear(1, 1), broken, Numbers(), TrainSettings(steps=50))


def test_one_bad_batch_is_skipped_and_counted():
    calls = iter(range(100))

    def once(model, batch, draws):
        factor = float("inf") if next(calls) == 3 else 1.0
        return regression_loss(model, batch, draws) * factor

    model = nn.Linear(1, 1)
    assert train(model, once, Numbers(), TrainSettings(steps=8)).skipped == 1
    assert torch.isfinite(model.weight).all()
