"""Do clusters of expression look different? Clusters of genes against the look of patches.

Paper §5 and Figure 3 show it in pictures; here it is measured. Spots are clustered by expression,
patches by their look (features of an encoder, or measures such as nuclei and stain), and both are
compared. Chance is what remains when the expression clusters are permuted between spots: right for
synthetic patches, which would all be drawn alike if their genes did nothing, and too low a bar for
real ones, whose neighbours look and express alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from c2lst.errors import InputError

COMPONENTS = 10
FEWEST, MOST = 3, 8
SMALLEST = 3
PER_CLUSTER = 8
PERMUTATIONS = 199
FOLDS = 5
MEASURES = ("ARI", "NMI", "accuracy")
_SILHOUETTE_SAMPLE = 2000
_JACKKNIFE_PARTS = 20


@dataclass(frozen=True)
class Agreement:
    """How well the look of patches agrees with the expression clusters of their spots.

    Parameters
    ----------
    measure
        ``ARI``: adjusted Rand index of both clusterings. ``NMI``: their normalised mutual
        information. ``accuracy``: mean over clusters of the share of patches whose cluster is
        named by the nearest centroid, in cross-validation over spots.
    estimate, low, high
        With its 95 % interval, by a jackknife over spots.
    chance, p
        Mean under permuted clusters, and the share of permutations that do as well.
    """

    measure: str
    estimate: float
    low: float
    high: float
    chance: float
    p: float


def expression_clusters(
    scaled: np.ndarray, *, fewest: int = FEWEST, most: int = MOST, seed: int = 0
) -> np.ndarray:
    """Cluster spots by expression: k-means on principal components, k of the best silhouette.

    k-means gives spots unlike all others, such as those of few counts, clusters of their own. They
    say nothing of tissue: clusters of fewer than `SMALLEST` spots go to the nearest of the rest.

    Parameters
    ----------
    scaled
        ``(n, G)`` scaled expression of the training spots; NaN counts as the mean.
    fewest, most
        Limits of k; there are at least `PER_CLUSTER` spots a cluster on average.

    Returns
    -------
    numpy.ndarray
        int ``(n,)``, the largest cluster 0.

    Raises
    ------
    InputError
        If there are too few spots.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.utils import check_random_state

    most = min(most, len(scaled) // PER_CLUSTER)
    if most < fewest:
        raise InputError(
            "training spots",
            "too few to cluster",
            found=len(scaled),
            expected=f"at least {fewest * PER_CLUSTER}",
        )
    points = _components(np.nan_to_num(scaled), standardise=False)
    judged = check_random_state(seed).permutation(len(points))[:_SILHOUETTE_SAMPLE]
    best, score = np.zeros(len(points), dtype=int), -np.inf
    for k in range(fewest, most + 1):
        labels = _without_small(points, _k_means(points, k, seed))
        # A cluster of so few spots that none of them is judged is one of outliers.
        several = np.ptp(labels[judged]) > 0
        found = silhouette_score(points[judged], labels[judged]) if several else -1.0
        if found > score:
            best, score = labels, found
    by_size = np.argsort(-np.bincount(best), kind="stable")
    return np.argsort(by_size)[best]


def _without_small(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give the spots of small clusters to the nearest of the others; two at least stay."""
    sizes = np.bincount(labels)
    kept = np.flatnonzero(sizes >= SMALLEST)
    if len(kept) < 2:
        kept = np.sort(np.argsort(-sizes, kind="stable")[:2])
    centroids = np.stack([points[labels == label].mean(axis=0) for label in kept])
    nearest = np.linalg.norm(points[:, None] - centroids[None], axis=2).argmin(axis=1)
    place = np.full(len(sizes), -1)
    place[kept] = np.arange(len(kept))
    return np.where(place[labels] >= 0, place[labels], nearest)


def correspond(
    clusters: np.ndarray,
    look: np.ndarray,
    spots: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[Agreement]:
    """Compare expression clusters with the look of patches.

    Parameters
    ----------
    clusters
        int ``(m,)``: expression cluster of the spot that each patch belongs to.
    look
        ``(m, d)``: features or measures of the patches.
    spots
        ``(m,)``: the spot of each; its patches are permuted, left out and resampled together.
    permutations, seed
        Of the null and of the clustering. Without permutations, chance and p are NaN.

    Returns
    -------
    list of Agreement
        One for each of `MEASURES`.

    Raises
    ------
    InputError
        If the arrays differ in length, there is a single cluster, or a value is not finite.
    """
    numbers = _checked(clusters, look, spots)
    first = np.unique(numbers, return_index=True)[1]
    rng = np.random.default_rng((seed, 13))
    points = _components(look)
    shapes = _k_means(points, len(np.unique(clusters)), seed)
    folds = (rng.permutation(len(first)) % FOLDS)[numbers]
    parts = (rng.permutation(len(first)) % _JACKKNIFE_PARTS)[numbers]
    permuted = [rng.permutation(clusters[first])[numbers] for _ in range(permutations)]

    def told(measure: str, labels: np.ndarray) -> np.ndarray:
        """Return what the look says of each patch: its cluster, or the one named for it."""
        return _nearest(points, labels, folds) if measure == "accuracy" else shapes

    found = []
    for measure, score in _scores().items():
        look_says = told(measure, clusters)
        value = float(score(clusters, look_says))
        null = np.array([score(labels, told(measure, labels)) for labels in permuted])
        left_out = [score(clusters[kept], look_says[kept]) for kept in _without_each(parts)]
        error = 1.96 * float(np.sqrt((len(left_out) - 1) * np.var(left_out)))
        chance, p = float("nan"), float("nan")
        if permutations:
            chance = float(null.mean())
            p = float((1 + np.count_nonzero(null >= value - 1e-12)) / (1 + permutations))
        found.append(Agreement(measure, value, value - error, value + error, chance, p))
    return found


def _scores() -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    scores = (adjusted_rand_score, normalized_mutual_info_score, _mean_recall)
    return dict(zip(MEASURES, scores, strict=True))


def _mean_recall(labels: np.ndarray, named: np.ndarray) -> float:
    """Share of each cluster's patches that are named rightly, averaged over clusters."""
    hits = np.bincount(labels, weights=labels == named)
    sizes = np.bincount(labels)
    return float((hits[sizes > 0] / sizes[sizes > 0]).mean())


def _nearest(points: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Name each patch's cluster by the nearest centroid of the patches of other folds."""
    named = np.empty_like(labels)
    one_hot = labels[:, None] == np.arange(labels.max() + 1)
    for fold in np.unique(folds):
        held_out = folds == fold
        members = one_hot[~held_out]
        sizes = members.sum(axis=0)
        centroids = members.T @ points[~held_out] / np.maximum(sizes, 1)[:, None]
        distance = ((points[held_out][:, None] - centroids) ** 2).sum(axis=2)
        named[held_out] = np.where(sizes > 0, distance, np.inf).argmin(axis=1)
    return named


def _without_each(parts: np.ndarray) -> list[np.ndarray]:
    return [parts != part for part in np.unique(parts)]


def _components(values: np.ndarray, *, standardise: bool = True) -> np.ndarray:
    """Return the main principal components of ``(n, d)`` values, float64."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    values = np.asarray(values, dtype=float)
    if standardise:
        values = StandardScaler().fit_transform(values)
    number = min(COMPONENTS, len(values) - 1, values.shape[1])
    return np.asarray(PCA(number, random_state=0).fit_transform(values))


def _k_means(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(k, n_init=10, random_state=seed).fit_predict(points))


def _checked(clusters: np.ndarray, look: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Return the number of each patch's spot."""
    if not len(clusters) == len(look) == len(spots):
        raise InputError(
            "patches",
            "clusters, look and spots differ in number",
            found=f"{len(clusters)}, {len(look)} and {len(spots)}",
        )
    if not np.isfinite(look).all():
        raise InputError("look of patches", "is not finite", remedy="look at the patches")
    numbers = np.unique(spots, return_inverse=True)[1]
    if len(np.unique(clusters)) < 2 or numbers.max() < FOLDS:
        raise InputError(
            "patches",
            "too few spots or clusters to compare",
            found=f"{numbers.max() + 1} spots, {len(np.unique(clusters))} clusters",
            expected=f"more than {FOLDS} spots in 2 clusters",
        )
    return np.asarray(numbers)
