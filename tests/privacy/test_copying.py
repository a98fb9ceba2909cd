import numpy as np
import pytest
import torch

from c2lst.diffusion.noise import dihedral
from c2lst.privacy.copying import compare, pixels
from c2lst.privacy.gallery import copy_gallery

N = 60


def smooth(count, seed):
    """Random images of a few random waves each, uint8 (count, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (count, 4, 4, 3)).astype(np.float32)
    return np.kron(small, np.ones((1, 4, 4, 1))).astype(np.uint8)


def blurred(images, seed, amount):
    rng = np.random.default_rng(seed)
    return np.clip(images + rng.normal(0, amount, images.shape), 0, 255).astype(np.uint8)


def turned(images):
    ways = torch.arange(len(images)) % 8
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    return dihedral(channels_first, ways).permute(0, 2, 3, 1).contiguous().numpy()


def compared(synthetic, training, held_out, **options):
    vectors = pixels(synthetic, turns=False)
    references = (pixels(images, turns=True) for images in (training, held_out))
    sources = np.arange(len(synthetic)) % N
    return compare(vectors, *references, sources, space="pixels", **options)


TRAINING, HELD_OUT = smooth(N, 1), smooth(2 * N, 2)


def test_a_generator_that_returns_training_images_fails():
    copying, nearest = compared(turned(TRAINING), TRAINING, HELD_OUT)
    assert copying.verdict == "fail" and copying.near_copies == N
    assert copying.nearer.value == 1 and copying.authentic == 0
    np.testing.assert_array_equal(nearest.training, np.arange(N))


def test_one_copy_among_many_is_found():
    images = np.concatenate([smooth(N - 1, 3), blurred(turned(TRAINING)[7:8], 4, 5)])
    copying, nearest = compared(images, TRAINING, HELD_OUT)
    assert copying.near_copies == 1 and copying.verdict == "fail"
    assert nearest.suspicion.argmax() == N - 1 and nearest.training[-1] == 7


def test_leaning_on_training_images_fails_without_a_copy():
    """Images half-way between a training image and noise."""
    images = (0.5 * TRAINING + 0.5 * smooth(N, 5)).astype(np.uint8)
    copying, _ = compared(images, TRAINING, HELD_OUT)
    assert copying.near_copies == 0
    assert copying.nearer.low > 0.55 and copying.verdict == "fail"


def test_images_of_the_same_kind_pass():
    verdicts = [
        compared(smooth(4 * N, 100 + s), smooth(2 * N, 200 + s), smooth(2 * N, 300 + s))[0]
        for s in range(8)
    ]
    assert sum(c.nearer.low <= 0.5 <= c.nearer.high for c in verdicts) >= 7
    assert all(c.verdict != "fail" for c in verdicts)
    assert all(c.near_copies == 0 for c in verdicts)
    assert sum(c.verdict == "pass" for c in verdicts) >= 6
    assert np.mean([c.nearer.value for c in verdicts]) == pytest.approx(0.5, abs=0.04)


def test_sets_of_unlike_size_do_not_tip_the_balance():
    copying, _ = compared(smooth(4 * N, 3), smooth(N, 8), smooth(10 * N, 9))
    assert copying.nearer.value == pytest.approx(0.5, abs=0.1)


def test_authenticity_is_that_of_real_images_for_real_images():
    copying, _ = compared(HELD_OUT, TRAINING, HELD_OUT)
    assert copying.authentic == copying.authentic_real > 0


def test_the_gallery_shows_the_most_suspicious_first():
    images = np.concatenate([smooth(N - 1, 3), TRAINING[7:8]])
    _, nearest = compared(images, TRAINING, HELD_OUT)
    picture = copy_gallery(images, TRAINING, HELD_OUT, nearest)
    np.testing.assert_array_equal(picture[2:18, 2:18], TRAINING[7])
    np.testing.assert_array_equal(picture[2:18, 20:36], TRAINING[7])
