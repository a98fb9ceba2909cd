"""Real and synthetic patches on one map: features brought to two dimensions, together.

t-SNE (van der Maaten and Hinton 2008; the paper's choice) and, where umap-learn is installed, UMAP
(McInnes et al. 2018). Both keep neighbours, not distances: a gap says that the sets differ, its
width says nothing.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

COMPONENTS = 50
MOST = 4000
"""Patches on a map; of more, an even choice is shown."""

NEIGHBOURS = 30


@dataclass(frozen=True, eq=False)
class Embedding:
    """A map of two sets of patches.

    Parameters
    ----------
    name
        Of the method.
    real, synthetic
        ``(n, 2)`` and ``(m, 2)``: places.
    real_rows, synthetic_rows
        int ``(n,)`` and ``(m,)``: which patches these are.
    """

    name: str
    real: np.ndarray
    synthetic: np.ndarray
    real_rows: np.ndarray
    synthetic_rows: np.ndarray


def embed(
    real: np.ndarray, synthetic: np.ndarray, *, umap: bool = True, seed: int = 0
) -> list[Embedding]:
    """Map two sets of features together, by each method that is installed.

    Parameters
    ----------
    real, synthetic
        Features ``(n, d)`` and ``(m, d)``, at least four in all.
    umap
        Whether UMAP is wanted, too, where umap-learn is installed.
    seed
        Of both.
    """
    shares = MOST / max(MOST, len(real) + len(synthetic))
    rows = [_even(len(part), shares) for part in (real, synthetic)]
    points = _components(np.concatenate([real[rows[0]], synthetic[rows[1]]]))
    maps = {"t-SNE": _t_sne(points, seed)}
    if umap and importlib.util.find_spec("umap"):
        maps["UMAP"] = _umap(points, seed)
    first = len(rows[0])
    return [
        Embedding(name, places[:first], places[first:], rows[0], rows[1])
        for name, places in maps.items()
    ]


def _even(count: int, share: float) -> np.ndarray:
    return np.linspace(0, count - 1, max(1, int(count * share))).round().astype(int)


def _components(features: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    number = min(COMPONENTS, len(features) - 1, features.shape[1])
    return np.asarray(PCA(number, random_state=0).fit_transform(features.astype(np.float64)))


def _t_sne(points: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(NEIGHBOURS, (len(points) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed).fit_transform(points))


def _umap(points: np.ndarray, seed: int) -> np.ndarray:
    import warnings

    from umap import UMAP  # type: ignore[import-untyped]

    with warnings.catch_warnings():  # it warns of the single thread that a seed asks for
        warnings.simplefilter("ignore", UserWarning)
        neighbours = min(NEIGHBOURS // 2, len(points) - 1)
        return np.asarray(UMAP(n_neighbors=neighbours, random_state=seed).fit_transform(points))
