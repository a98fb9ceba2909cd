"""Expression of a simulated tissue: a part that the image shows, a part only in space, noise.

For spot i and gene g the log rate is ::

    η_ig = b_g + σ_g·(√a_g·I_ig + √s_g·S_ig + √(1 - a_g - s_g)·ε_ig)

with I, S and ε of zero mean and unit variance over the spots, so that a_g and s_g are the shares of
the biological variance that the image shows and that only the place tells. Counts are Poisson:
X_ig ~ Poisson(L_i·exp(η_ig)/Σ_h exp(η_ih)), with a log-normal library size L_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.simulate.fields import fields_at_points
from c2lst.data.simulate.structures import CELL_TYPES

KINDS = ("image", "space", "mixed", "noise")
"""What moves a gene: the cells in view, the place, both, or neither."""

MOST_EXPLAINED = 0.8
"""Largest mean share that image and space may have together."""

TARGET_SUM = 1e4
"""Log-normalised values are log1p(counts / library · TARGET_SUM)."""

_NOISE_GENES = 0.15
_MIXED_GENES = 0.30
_LENGTH_SCALES_UM = (400.0, 530.0, 660.0, 800.0)
_RNA_PER_CELL = np.array([1.0, 1.6, 0.7, 0.6, 1.2])
# RNA of the matrix around the cells, in cells: a spot without nuclei still has counts, and the
# number of cells matters, not only their mixture.
_AMBIENT_CELLS = 6.0
_LIBRARY_SPREAD = 0.35


@dataclass(frozen=True)
class GeneTable:
    """What is true of each gene; every array is (G,).

    Attributes
    ----------
    names
        Such as ``EPI-001`` (marker of a cell type), ``G2-001`` (programme in space only),
        ``IMM.G1-001`` (both), ``HKG-001`` (neither).
    kinds
        One of ``KINDS``.
    cell_types
        Index into ``CELL_TYPES`` of the type it marks, -1 where none.
    programmes
        Index of its programme in space, -1 where none.
    image_share, space_share
        Shares a_g and s_g of the biological variance of the log rate; the rest is noise.
    baseline, spread
        b_g and σ_g, natural logarithms.
    """

    names: np.ndarray
    kinds: np.ndarray
    cell_types: np.ndarray
    programmes: np.ndarray
    image_share: np.ndarray
    space_share: np.ndarray
    baseline: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Expression:
    """Counts of a simulated tissue and the parts they are made of; every matrix is (n, G).

    Attributes
    ----------
    counts
        int64.
    library_size
        (n,) expected total counts L_i.
    log_rate
        η: all of the biology, without counting noise.
    image_part, space_part
        σ_g·√a_g·I and σ_g·√s_g·S: the two predictable parts of η.
    expected_lognorm
        Mean of log1p(counts/library·10⁴) over the counting noise alone.
    predictable_lognorm
        Its mean over the counting noise and ε, at this library size: given the image and the
        place, the best prediction by squared error.
    """

    counts: np.ndarray
    library_size: np.ndarray
    log_rate: np.ndarray
    image_part: np.ndarray
    space_part: np.ndarray
    expected_lognorm: np.ndarray
    predictable_lognorm: np.ndarray


def draw_genes(
    rng: np.random.Generator, genes: int, image_share: float, space_share: float
) -> GeneTable:
    """Draw the gene table; the mean shares over all genes are those asked for, up to rounding."""
    explained = image_share + space_share
    balance = image_share / explained if explained else 0.0
    kinds = _kinds(genes, balance) if explained else np.full(genes, "noise")
    noise = kinds == "noise"
    # Of the variance of a gene that is not of the noise kind, so much is explained on average.
    level = explained * genes / max(1, int(np.count_nonzero(~noise)))
    width = min(0.12, 0.95 - level, level)
    explained_by_gene = np.zeros(genes)
    # Mixed genes take up what rounding to whole genes left of the balance.
    count = {kind: int(np.count_nonzero(kinds == kind)) for kind in KINDS}
    left = balance * (genes - count["noise"]) - count["image"]
    of_mixed = min(max(left / max(1, count["mixed"]), 0.0), 1.0)
    of_image = np.select([kinds == "image", kinds == "mixed"], [1.0, of_mixed], 0.0)
    for kind in KINDS[:3]:
        members = np.flatnonzero(kinds == kind)
        offset = np.linspace(-1, 1, len(members)) if len(members) > 1 else 0.0
        explained_by_gene[members] = level + width * offset
    shares = explained_by_gene * of_image, explained_by_gene * (1 - of_image)
    cell_types = np.where(shares[0] > 0, np.arange(genes) % len(CELL_TYPES), -1)
    programmes = np.where(shares[1] > 0, np.arange(genes) // 3 % len(_LENGTH_SCALES_UM), -1)
    return GeneTable(
        names=_names(cell_types, programmes),
        kinds=kinds,
        cell_types=cell_types,
        programmes=programmes,
        image_share=shares[0],
        space_share=shares[1],
        baseline=rng.normal(0.0, 0.8, genes) + np.where(noise, 0.4, 0.0),
        spread=np.where(noise, 0.25, rng.uniform(0.45, 0.85, genes)),
    )


def draw_expression(
    rng: np.random.Generator,
    table: GeneTable,
    cell_counts: np.ndarray,
    centres_um: np.ndarray,
    median_library_size: float,
) -> Expression:
    """Draw the expression of spots with ``cell_counts`` (n, types) at ``centres_um`` (n, 2)."""
    spots, genes = len(centres_um), len(table.names)
    image = _visible(rng, table, cell_counts)
    space = _spatial(rng, table, centres_um, image)
    noise = _standardised(rng.standard_normal((spots, genes)))
    image_part = table.spread * np.sqrt(table.image_share) * image
    space_part = table.spread * np.sqrt(table.space_share) * space
    noise_share = np.clip(1 - table.image_share - table.space_share, 0, 1)
    noise_spread = table.spread * np.sqrt(noise_share)
    log_rate = table.baseline + image_part + space_part + noise_spread * noise
    library = median_library_size * np.exp(_LIBRARY_SPREAD * rng.standard_normal(spots))
    log_total = np.log(np.exp(log_rate).sum(axis=1, keepdims=True))
    mean_counts = library[:, None] * np.exp(log_rate - log_total)
    predictable = table.baseline + image_part + space_part
    predictable -= np.log(np.exp(predictable + noise_spread**2 / 2).sum(axis=1, keepdims=True))
    return Expression(
        counts=rng.poisson(mean_counts),
        library_size=library,
        log_rate=log_rate,
        image_part=image_part,
        space_part=space_part,
        expected_lognorm=_expected_lognorm(np.log(mean_counts), library),
        predictable_lognorm=_expected_lognorm(
            predictable + np.log(library)[:, None], library, noise_spread
        ),
    )


def _kinds(genes: int, balance: float) -> np.ndarray:
    noise = round(_NOISE_GENES * genes)
    mixed = round(_MIXED_GENES * genes) if 0 < balance < 1 else 0
    image = round((genes - noise - mixed) * balance)
    space = genes - noise - mixed - image
    return np.repeat(KINDS, [image, space, mixed, noise])


def _names(cell_types: np.ndarray, programmes: np.ndarray) -> np.ndarray:
    seen: dict[str, int] = {}
    names = []
    for cell_type, programme in zip(cell_types, programmes, strict=True):
        parts = [CELL_TYPES[cell_type]] if cell_type >= 0 else []
        parts += [f"G{programme + 1}"] if programme >= 0 else []
        stem = ".".join(parts) or "HKG"
        seen[stem] = seen.get(stem, 0) + 1
        names.append(f"{stem}-{seen[stem]:03d}")
    return np.array(names)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance over the spots; a column without variance becomes zero."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)


def _visible(rng: np.random.Generator, table: GeneTable, cell_counts: np.ndarray) -> np.ndarray:
    """Standardised log rate of each gene in the mixture of the spot's cells; (n, G).

    The same cells give the same value anywhere on the slide.
    """
    genes = len(table.names)
    profiles = np.exp(rng.normal(0.0, 0.25, (len(CELL_TYPES), genes)))
    marked = np.flatnonzero(table.cell_types >= 0)
    profiles[table.cell_types[marked], marked] *= np.exp(rng.uniform(2.0, 3.2, len(marked)))
    ambient = np.ones(genes)
    rna = cell_counts * _RNA_PER_CELL
    rate = rna @ profiles + _AMBIENT_CELLS * ambient
    return _standardised(np.log(rate / (rna.sum(axis=1, keepdims=True) + _AMBIENT_CELLS)))


def _spatial(
    rng: np.random.Generator, table: GeneTable, centres_um: np.ndarray, image: np.ndarray
) -> np.ndarray:
    """Standardised smooth field of each gene's programme; (n, G).

    A programme is a combination of independent smooth fields with weights in the null space of
    their covariance with the visible parts: as smooth as they are, and by no chance to be read
    off the cells of these spots.
    """
    left, singular, _ = np.linalg.svd(image, full_matrices=False)
    # Few spots have few directions in all: most of them must be left to the place.
    rank = np.count_nonzero(singular > 1e-6 * max(singular[0], 1e-12))
    visible = left[:, : min(8, len(centres_um) // 4, rank)]
    programmes = np.empty((len(centres_um), len(_LENGTH_SCALES_UM)))
    for p, scale_um in enumerate(_LENGTH_SCALES_UM):
        fields = fields_at_points(rng, centres_um, scale_um, 24)
        fields -= fields.mean(axis=0)
        basis = np.linalg.svd(visible.T @ fields, full_matrices=True)[2][visible.shape[1] :]
        programmes[:, p] = fields @ (basis.T @ rng.standard_normal(len(basis)))
    # A gene follows its programme mostly, the next one a little, and with either sign.
    weights = 0.25 * rng.standard_normal((len(_LENGTH_SCALES_UM), len(table.names)))
    followed = np.flatnonzero(table.programmes >= 0)
    weights[table.programmes[followed], followed] = rng.choice([-1.0, 1.0], len(followed))
    return _standardised(_standardised(programmes) @ weights)


def _expected_lognorm(
    log_mean: np.ndarray, library: np.ndarray, spread: np.ndarray | None = None
) -> np.ndarray:
    """Mean of log1p(TARGET_SUM·X/L) for X ~ Poisson(exp(log_mean)); (n, G).

    With ``spread`` (G,) it is the mean over a normal deviation of ``log_mean`` as well. Not
    log1p of the mean: for a few counts the two differ by more than many a method's gain.
    """
    from scipy.stats import poisson

    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    if spread is None:
        spread, nodes, weights = np.zeros(log_mean.shape[1]), np.zeros(1), np.ones(1)
    low, high = log_mean.min() - 5 * spread.max(), log_mean.max() + 5 * spread.max()
    # A library of a million counts needs no sum over each of them: above this mean the Poisson
    # law is so narrow that the second-order term of the logarithm is exact enough.
    exact_below = np.log(400.0)
    grid = np.linspace(low, min(max(high, low + 1e-3), exact_below), 240)
    most = int(np.exp(grid[-1]) + 10 * np.exp(grid[-1] / 2) + 12)
    number = np.arange(most + 1)
    chance = poisson.pmf(number, np.exp(grid)[:, None])
    expected = np.zeros_like(log_mean)
    for spot, size in enumerate(library):
        per_count = TARGET_SUM / size
        table = chance @ np.log1p(per_count * number)
        for node, weight in zip(nodes, weights, strict=True):
            place = log_mean[spot] + node * spread
            mean = np.exp(np.maximum(place, exact_below))
            many = np.log1p(per_count * mean) - mean * (per_count / (1 + per_count * mean)) ** 2 / 2
            few = np.interp(place, grid, table)
            expected[spot] += weight * np.where(place <= grid[-1], few, many)
    return expected
