import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.evaluation.encoders import ENCODERS, get_encoder, protocol, registry


def images(n=5, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request):
    if request.param == "imagenet":
        pytest.importorskip("efficientnet_lite_pytorch")
    return get_encoder(request.param)


def test_features_belong_to_the_image_not_to_its_batch(encoder, monkeypatch):
    together = encoder.encode(images())
    monkeypatch.setattr(protocol, "BATCH", 2)
    np.testing.assert_allclose(encoder.encode(images()), together, atol=1e-4)
    assert together.dtype == np.float32 and together.ndim == 2
    assert np.isfinite(together).all()
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_the_same_encoder_comes_again(encoder):
    again = get_encoder(encoder.name)
    np.testing.assert_array_equal(again.encode(images(2)), encoder.encode(images(2)))


def test_labels_say_what_the_features_are(encoder):
    assert {"imagenet": "ImageNet", "random": "random"}[encoder.name] in encoder.label


def test_imagenet_features_know_what_a_turned_image_is():
    """A network that knows images finds an image nearer to itself turned than to another."""
    pytest.importorskip("efficientnet_lite_pytorch")
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(images(2, 64).astype(float), (0, 3, 3, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    first, other = smooth.astype(np.uint8)
    other = other // 3
    features = get_encoder("imagenet").encode(np.stack([first, first[::-1], other]))
    apart = np.linalg.norm(features - features[0], axis=1)
    assert apart[1] < apart[2]


def test_without_the_extra_random_features_are_taken_and_imagenet_refused(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert get_encoder().name == "random"
    with pytest.raises(InputError, match=r"c2lst\[imagenet\]"):
        get_encoder("imagenet")


def test_an_unknown_encoder_is_refused_with_the_names_that_there_are():
    with pytest.raises(InputError, match=r"imagenet, random, conch, uni, .*phikon-v2, timm:NAME"):
        get_encoder("inception")


def test_encoders_that_are_quick_keep_nothing_unless_told(tmp_path, monkeypatch):
    monkeypatch.setenv("C2LST_FEATURES", str(tmp_path / "default"))
    get_encoder("random").encode(images())
    assert not list(tmp_path.iterdir())
    kept = get_encoder("random", cache=tmp_path / "kept")
    np.testing.assert_array_equal(kept.encode(images()), get_encoder("random").encode(images()))
    assert len(list((tmp_path / "kept").rglob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    "wrong", [images()[:0], images() / 255, images()[0]], ids=["none", "in [0, 1]", "one image"]
)
def test_what_are_no_patches_is_refused(wrong, tmp_path):
    for cache in (None, tmp_path):
        with pytest.raises(InputError, match=r"patches: cannot be encoded, found .* of shape"):
            get_encoder("random", cache=cache).encode(wrong)
