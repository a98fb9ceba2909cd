import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.encoders import cache
from c2lst.evaluation.encoders.cache import CachedEncoder, default_folder


class Counting:
    """An encoder that notes how many images it was asked for."""

    name = label = "counting"

    def __init__(self, identity="a", scale=1.0):
        self.identity, self.scale, self.seen = identity, scale, 0

    def encode(self, images):
        self.seen += len(images)
        return (self.scale * images.reshape(len(images), -1)[:, :7]).astype(np.float32)


def images(n=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


def test_an_image_is_encoded_once_wherever_it_turns_up(tmp_path):
    patches = images()
    first = CachedEncoder(Counting(), tmp_path)
    features = first.encode(patches)
    np.testing.assert_array_equal(features, Counting().encode(patches))
    again = Counting()
    order = [3, 1, 8, 3]
    found = CachedEncoder(again, tmp_path).encode(patches[order])
    np.testing.assert_array_equal(found, features[order])
    assert again.seen == 0
    more = CachedEncoder(again, tmp_path).encode(np.concatenate([patches, images(2, 1)]))
    assert again.seen == 2 and len(more) == 11


def test_another_encoder_or_another_pixel_is_another_feature(tmp_path):
    patches = images()
    CachedEncoder(Counting(), tmp_path).encode(patches)
    other = Counting(identity="b", scale=2.0)
    np.testing.assert_array_equal(
        CachedEncoder(other, tmp_path).encode(patches), other.encode(patches)
    )
    changed = patches.copy()
    changed[4, 7, 7, 2] ^= 1
    again = Counting()
    CachedEncoder(again, tmp_path).encode(changed)
    assert again.seen == 1


@given(st.lists(st.integers(0, 8), min_size=1, max_size=30), st.integers(1, 8))
def test_any_order_and_any_portion_gives_each_image_its_own_feature(rows, portion):
    import tempfile
    from pathlib import Path

    patches = images()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", portion)
        encoder = CachedEncoder(Counting(), Path(folder))
        for _ in range(2):
            np.testing.assert_array_equal(
                encoder.encode(patches[rows]), Counting().encode(patches[rows])
            )


def test_a_damaged_or_missing_file_is_encoded_anew(tmp_path):
    patches, encoder = images(), Counting()
    CachedEncoder(encoder, tmp_path).encode(patches)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:40])
    found = CachedEncoder(encoder, tmp_path).encode(patches)
    np.testing.assert_array_equal(found, Counting().encode(patches))
    assert encoder.seen == 18


def test_the_folder_does_not_outgrow_its_limit(tmp_path):
    encoder = CachedEncoder(Counting(), tmp_path, limit_gb=2e-6)
    for seed in range(12):
        encoder.encode(images(seed=seed))
    assert 0 < sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors")) <= 2000
    assert not list(tmp_path.rglob(".*"))


def test_files_that_are_not_features_are_never_removed(tmp_path):
    """``--cache`` names any folder: weights of the user's may lie in it."""
    weights = tmp_path / "my-model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(bytes(5000))
    encoder = CachedEncoder(Counting(), tmp_path, limit_gb=2e-6)
    for seed in range(4):
        encoder.encode(images(seed=seed))
    assert weights.read_bytes() == bytes(5000)
    assert sum(p.stat().st_size for p in encoder._place.iterdir()) <= 2000


def test_the_folder_is_the_users_unless_the_environment_says_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("C2LST_FEATURES", raising=False)
    assert "c2lst" in str(default_folder())
    monkeypatch.setenv("C2LST_FEATURES", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.setenv("C2LST_FEATURES", "")
    assert default_folder() is None
