import numpy as np
import pytest

from c2lst.evaluation import embedding
from c2lst.evaluation.embedding import embed
from c2lst.evaluation.embedding_figure import draw_embeddings
from c2lst.evaluation.gallery import draw_gallery, nearest


def normal(n, d=20, shift=0.0, seed=0):
    return shift + np.random.default_rng(seed).standard_normal((n, d))


def test_sets_that_differ_lie_apart_on_the_map():
    (found,) = embed(normal(40), normal(60, shift=8, seed=1), umap=False)
    assert (
        found.name == "t-SNE" and found.real.shape == (40, 2) and found.synthetic.shape == (60, 2)
    )
    middle = found.real.mean(axis=0), found.synthetic.mean(axis=0)
    own = np.linalg.norm(found.real - middle[0], axis=1)
    assert (own < np.linalg.norm(found.real - middle[1], axis=1)).all()


def test_a_map_is_the_same_again_and_of_an_even_choice(monkeypatch):
    monkeypatch.setattr(embedding, "MOST", 50)
    first, second = (embed(normal(60), normal(140), umap=False, seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first.real, second.real)
    assert len(first.real_rows) == 15 and len(first.synthetic_rows) == 35
    assert first.synthetic_rows[[0, -1]].tolist() == [0, 139]


def test_umap_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: None)
    assert [each.name for each in embed(normal(20), normal(20, seed=1))] == ["t-SNE"]


def test_umap_stands_below_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(embedding, "_umap", lambda points, seed: points[:, :2] + seed)
    maps = embed(normal(20), normal(30, seed=1), seed=2)
    assert [each.name for each in maps] == ["t-SNE", "UMAP"]
    figure = draw_embeddings(maps, np.arange(20) % 3 - 1, np.arange(30) % 2, "features")
    panels = [axes for axes in figure.axes if axes.collections]
    assert len(panels) == 6
    shown = {len(points.get_offsets()) for axes in panels for points in axes.collections}
    assert shown == {20, 30}
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["real", "synthetic", "held-out spot", "cluster 1", "cluster 2"]


def test_the_nearest_is_the_most_alike_whatever_its_length():
    real = np.array([[1.0, 0], [0, 1], [1, 1]])
    found = nearest(np.array([[10.0, 1], [2, 2.1]]), real)
    assert found.rows.tolist() == [[0, 2], [2, 1]]
    np.testing.assert_allclose(found.cosine[0], [10, 11 / 2**0.5] / np.sqrt(101))


@pytest.mark.parametrize("number", [1, 2])
def test_a_gallery_says_what_each_patch_is_and_which_is_its_own(number):
    patches = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    features = normal(5)
    found = nearest(features[:2], features, number)
    names = np.array(list("abcde"))
    figure = draw_gallery(
        patches[:2], patches[:2], patches, found, names, names[:2], "features", 112.0
    )
    assert sum(bool(axes.images) for axes in figure.axes) == 2 * (number + 2)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "a (own)\n1.00" in labels and "b (own)\n1.00" in labels
