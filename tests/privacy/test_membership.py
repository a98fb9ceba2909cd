import numpy as np
import pytest
import torch

from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, to_unit_range
from c2lst.privacy.membership import Attack, denoising_losses, low_loss, profile_attack

PROCESS = NoiseProcess(prediction="v_prediction")
N = 40


def images(count=2 * N, seed=0):
    """Patches of one colour each, alike however they are turned."""
    colours = np.random.default_rng(seed).integers(0, 255, (count, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (count, 8, 8, 3)).copy()


def denoiser(known):
    """One that knows some images by heart, and takes the others for grey."""
    clean = to_unit_range(torch.from_numpy(known))
    objective = DenoisingLoss(PROCESS)

    def predict(noisy, timesteps, rows):
        alpha, sigma = objective._at(timesteps, noisy)
        guess = torch.zeros_like(noisy)
        inside = torch.from_numpy(rows < len(clean))
        guess[inside] = 0.7 * clean[torch.from_numpy(rows[rows < len(clean)])]
        noise = (noisy - alpha * guess) / sigma
        return alpha * noise - sigma * guess

    return predict


def attacked(known):
    losses = denoising_losses(PROCESS, images(), denoiser(known), draws=8)
    assert losses.shape == (2 * N, 8) and np.isfinite(losses).all()
    scores = low_loss(losses)
    return Attack.of("loss", scores[:N], scores[N:])


def test_what_was_learnt_by_heart_is_told():
    attack = attacked(images()[:N])
    assert attack.auc.low > 0.6 and attack.verdict == "fail"
    assert attack.at_1_percent is None and attack.at_10_percent > 0.3


def test_a_model_that_learnt_nothing_tells_nothing():
    attack = attacked(images()[:0])
    assert attack.auc.low < 0.55 and attack.verdict != "fail"


def test_losses_do_not_depend_on_the_batch(monkeypatch):
    whole = denoising_losses(PROCESS, images(10), denoiser(images(5)), draws=4)
    monkeypatch.setattr("c2lst.privacy.membership.BATCH", 3)
    parts = denoising_losses(PROCESS, images(10), denoiser(images(5)), draws=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_losses_are_the_same_where_memory_is_short():
    known = denoiser(images(5))

    def scarce(noisy, timesteps, rows):
        if len(noisy) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return known(noisy, timesteps, rows)

    whole = denoising_losses(PROCESS, images(10), known, draws=4)
    parts = denoising_losses(PROCESS, images(10), scarce, draws=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_no_noise_level_drowns_the_others():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(30, 4))
    np.testing.assert_allclose(low_loss(losses), low_loss(losses * [1, 10, 100, 1000]))
    assert (low_loss(np.ones((30, 4))) == 0).all()


def test_profiles_that_were_measured_are_carried():
    rng = np.random.default_rng(0)
    training, held_out = rng.normal(size=(N, 9)), rng.normal(size=(N, 9))
    attack, carried = profile_attack(np.repeat(training[:20], 2, axis=0), training, held_out)
    assert carried == 0.5 and attack.auc.value > 0.6
    near, none_carried = profile_attack(training + 0.05, training, held_out)
    assert none_carried == 0 and near.verdict == "fail"
    apart, none = profile_attack(rng.normal(size=(100, 9)), training, held_out)
    assert none == 0 and apart.auc.value == pytest.approx(0.5, abs=0.15)
