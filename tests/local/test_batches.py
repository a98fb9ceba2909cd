import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.local.batches import ImageStore

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3)).astype(np.uint8)
REQUEST = {"adapter": "a" * 64, "seed": 1, "guidance interval": [0.2, 2.0]}


@pytest.fixture
def store(tmp_path):
    store = ImageStore(tmp_path / "work", 9, 4)
    store.open(REQUEST)
    return store


def test_images_are_kept_in_any_order_and_read_as_an_array(store):
    for rows in ([4, 5, 8], [0, 1, 2, 3]):
        store.keep(np.array(rows), IMAGES[rows])
    assert store.missing().tolist() == [6, 7]
    store.keep(store.missing(), IMAGES[6:8])
    assert store.missing().tolist() == []
    assert (len(store), store.shape, store.ndim, store.dtype) == (9, IMAGES.shape, 4, np.uint8)
    np.testing.assert_array_equal(np.asarray(store), IMAGES)
    np.testing.assert_array_equal(store[7], IMAGES[7])
    np.testing.assert_array_equal(store[2:6], IMAGES[2:6])
    seen = np.zeros_like(IMAGES)
    for rows, images in store.batches():
        assert len(rows) <= 4
        seen[rows] = images
    np.testing.assert_array_equal(seen, IMAGES)


@given(rows=st.lists(st.integers(-9, 8), max_size=12))
def test_any_rows_may_be_asked_for(tmp_path_factory, rows):
    store = ImageStore(tmp_path_factory.mktemp("work"), 9, 4)
    store.keep(np.arange(5), IMAGES[:5])
    store.keep(np.arange(5, 9), IMAGES[5:])
    chosen = np.array(rows, dtype=int)
    np.testing.assert_array_equal(store[chosen], IMAGES[chosen])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapter": "b" * 64}, "differs in 'adapter', found aaaaaaaaaaaa, expected bbbbbbbbbbbb;"),
        ({"seed": 2}, "differs in 'seed', found 1, expected 2; choose another output"),
        ({"guidance interval": None}, r"'guidance interval', found \[0.2, 2.0\], expected None"),
        ({"sampler": "fast"}, "differs in 'sampler', found None, expected fast"),
    ],
)
def test_images_of_two_requests_are_not_mixed(store, change, message):
    store.open(REQUEST)
    with pytest.raises(InputError, match=message):
        store.open(REQUEST | change)


def test_a_damaged_batch_is_named(store):
    store.keep(np.arange(9), IMAGES)
    path = store.directory / "images-00000000.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"images-00000000\.safetensors: is damaged .*remove it"):
        store.missing()


def test_images_that_are_not_there_are_not_made_up(store):
    store.keep(np.arange(5), IMAGES[:5])
    np.testing.assert_array_equal(store[2:5], IMAGES[2:5])
    for rows in (slice(None), np.array([4, 5]), 7):
        with pytest.raises(InputError, match="lacks images of this request"):
            store[rows]
    with pytest.raises(InputError, match="found 5 of 9"):
        next(store.batches())
