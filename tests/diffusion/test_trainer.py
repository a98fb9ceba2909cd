import dataclasses
import functools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from toy_training import (
    KilledError,
    Numbers,
    close,
    dying_loss,
    network,
    plain_network,
    regression_loss,
    same,
    weights,
)


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
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == list(range(1, 19))
    assert np.mean([line["loss"] for line in logged[:10]]) == pytest.approx(history.losses[0])


def test_a_finished_training_is_not_done_again(tmp_path):
    settings = TrainSettings(steps=6, batch_size=4, ema_decay=0.9)
    first, second = network(), network()
    history = train(first, regression_loss, Numbers(), settings, directory=tmp_path)
    again = train(second, dying_loss(-1), Numbers(), settings, directory=tmp_path)
    assert same(weights(first), weights(second)) and again.losses == history.losses


def test_micro_batches_do_not_change_the_result():
    results = []
    for micro_batch in (None, 3, 1):
        model = plain_network()
        settings = TrainSettings(steps=6, batch_size=7, micro_batch=micro_batch, ema_decay=None)
        train(model, regression_loss, Numbers(), settings)
        results.append(weights(model))
    assert close(results[0], results[1]) and close(results[0], results[2])


def scarce(most, error=torch.OutOfMemoryError):
    """A loss that runs out of memory above ``most`` samples, after some of the work is done."""

    def loss(model, batch, draws):
        values = regression_loss(model, batch, draws)
        if len(values) > most:
            values[0].backward(retain_graph=True)
            raise error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return values

    return loss


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_a_batch_that_does_not_fit_is_halved_and_the_same_update_made(error, caplog):
    caplog.set_level("INFO")
    settings = TrainSettings(steps=5, batch_size=11, ema_decay=0.9, learning_rate=0.01)
    expected, found = plain_network(), plain_network()
    fixed = dataclasses.replace(settings, micro_batch=3)
    first = train(expected, regression_loss, Numbers(), fixed)
    second = train(found, scarce(3, error), Numbers(), settings)
    assert same(weights(expected), weights(found)) and first.losses == second.losses
    assert [r.args[0] for r in caplog.records if "not enough memory" in r.msg] == [6, 3]


def test_running_statistics_are_of_the_update_that_was_made():
    settings = TrainSettings(steps=3, batch_size=8, ema_decay=None)
    expected, found = network(), network()
    fixed = dataclasses.replace(settings, micro_batch=4)
    train(expected, regression_loss, Numbers(), fixed)
    train(found, scarce(4), Numbers(), settings)
    assert same(weights(expected), weights(found))


def test_the_micro_batch_that_was_found_is_kept_by_a_resumed_run(tmp_path):
    settings = TrainSettings(steps=6, batch_size=8, checkpoint_every=2)
    whole = network()
    train(whole, scarce(3), Numbers(), settings)
    halved = scarce(3)
    calls = iter(range(100))

    def dying(model, batch, draws):
        if next(calls) == 16:
            raise KilledError
        return halved(model, batch, draws)

    with pytest.raises(KilledError):
        train(network(), dying, Numbers(), settings, directory=tmp_path)
    sizes = []

    def noting(model, batch, draws):
        sizes.append(len(draws))
        return regression_loss(model, batch, draws)

    resumed = network()
    train(resumed, noting, Numbers(), settings, directory=tmp_path)
    assert same(weights(whole), weights(resumed)) and max(sizes) == 2


def test_one_sample_that_does_not_fit_is_an_error_with_advice():
    with pytest.raises(InputError, match="smaller"):
        train(plain_network(), scarce(0), Numbers(), TrainSettings(steps=5))


def test_other_errors_are_not_taken_for_want_of_memory():
    def broken(model, batch, draws):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        train(plain_network(), broken, Numbers(), TrainSettings(steps=5))


def test_training_lowers_the_loss_and_leaves_frozen_weights_alone():
    model = plain_network()
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()
    settings = TrainSettings(steps=200, batch_size=13, learning_rate=1e-2, ema_decay=None)
    history = train(model, regression_loss, Numbers(), settings)
    assert history.losses[-1] < 0.2 * history.losses[0]
    assert torch.equal(model[0].weight, frozen)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_learns_and_resumes_to_the_bit(tmp_path, precision):
    settings = TrainSettings(
        steps=60, batch_size=13, learning_rate=2e-2, precision=precision, checkpoint_every=25
    )
    whole, resumed = plain_network(), plain_network()
    history = train(whole, regression_loss, Numbers(), settings)
    assert history.losses[-1] < 0.3 * history.losses[0] and history.skipped == 0
    with pytest.raises(KilledError):
        train(plain_network(), dying_loss(35), Numbers(), settings, directory=tmp_path)
    train(resumed, regression_loss, Numbers(), settings, directory=tmp_path)
    assert same(weights(whole), weights(resumed))


def test_a_scaled_loss_that_overflows_is_scaled_less_and_no_update_is_lost():
    def loud(model, batch, draws):
        return 100 * regression_loss(model, batch, draws)

    settings = TrainSettings(steps=20, batch_size=13, precision="fp16", learning_rate=1e-2)
    assert train(plain_network(), loud, Numbers(), settings).skipped == 0


def test_learning_rate_rises_then_falls():
    settings = TrainSettings(steps=100, learning_rate=1.0, warmup=0.1, schedule="cosine")
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 9 and rates[-1] == pytest.approx(0.01, abs=0.01)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"micro_batch": 0}, {"precision": "fp8"}, {"warmup": 1}, {"ema_lengths": (1,)}],
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainSettings(**{"steps": 5} | wrong)


def test_a_loss_that_stays_infinite_stops_with_advice():
    def broken(model, batch, draws):
        return model(batch["x"]).sum(dim=1) * float("nan")

    with pytest.raises(InputError, match="learning rate"):
        train(plain_network(), broken, Numbers(), TrainSettings(steps=50))


def test_one_bad_batch_is_skipped_and_counted(tmp_path):
    calls = iter(range(100))

    def once(model, batch, draws):
        factor = float("inf") if next(calls) == 3 else 1.0
        return regression_loss(model, batch, draws) * factor

    model = network()
    history = train(model, once, Numbers(), TrainSettings(steps=8), directory=tmp_path)
    assert history.skipped == 1
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if line["loss"] is None] == [3]
    assert all(line["grad_norm"] > 0 for line in logged if line["step"] != 3)


def test_the_state_of_torch_is_as_before():
    model = plain_network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    matmul = torch.get_float32_matmul_precision()
    settings = TrainSettings(steps=2, deterministic=True, precision="bf16")

    def strict(model, batch, draws):
        assert torch.are_deterministic_algorithms_enabled()
        return regression_loss(model, batch, draws)

    train(model, strict, Numbers(), settings)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == matmul
    assert not torch.backends.cudnn.deterministic


def test_a_compiler_that_fails_is_gone_without(monkeypatch, caplog):
    from torch._dynamo.exc import BackendCompilerFailed

    class Failing(nn.Module):
        def forward(self, x):
            raise BackendCompilerFailed(lambda: None, RuntimeError("no compiler"), None)

    settings = TrainSettings(steps=4, batch_size=4)
    plain, fallen = network(), network()
    train(plain, regression_loss, Numbers(), settings)
    monkeypatch.setattr(torch, "compile", lambda model: Failing())
    train(fallen, regression_loss, Numbers(), dataclasses.replace(settings, compile=True))
    assert same(weights(plain), weights(fallen))
    assert any("torch.compile failed" in record.msg for record in caplog.records)


def test_a_compiled_model_trains_the_same_under_the_same_names(monkeypatch):
    # Traced and differentiated as ever, but not translated to C++, which takes half a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    settings = TrainSettings(steps=4, batch_size=4, learning_rate=0.01)
    plain, compiled = plain_network(), plain_network()
    train(plain, regression_loss, Numbers(), settings)
    train(compiled, regression_loss, Numbers(), dataclasses.replace(settings, compile=True))
    assert close(weights(plain), weights(compiled))
    assert list(plain.state_dict()) == list(compiled.state_dict())


def test_what_will_be_done_is_said_before_it_is(caplog):
    caplog.set_level("INFO")
    settings = TrainSettings(steps=9, batch_size=10, micro_batch=4)
    train(plain_network(), regression_loss, Numbers(), settings, label="toy")
    size, batch, duration = [r.getMessage() for r in caplog.records][-3:]
    # 2·(8 + 8) FLOP forward; backward the weights' gradients, and the hidden layer's.
    cost = (2 * 16 + 2 * 16 + 2 * 8) / 1e9
    assert "2.5e-05 M of" in size and f"{cost:.3g} GFLOP" in size and "cpu in fp32" in size
    assert "9 steps of 10 images, 90 in all; a step is 4 × 3 × 1 images" in batch
    assert "images/s" in duration and not math.isnan(float(duration.split()[5].replace(",", "")))
