"""Expression profiles to draw synthetic patches for, made from the training spots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from c2lst.data.synthetic import PARENT_SEPARATOR
from c2lst.storage import hash_arrays, hash_strings

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section

Policy = Literal["real", "jitter", "mixup"]
Closeness = Literal["expression", "space"]

NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Profiles:
    """Expression profiles, one for each image to draw.

    Parameters
    ----------
    scaled
        float32 (m, G), scaled as by the adapter's preprocessing; NaN for a gene that was not
        measured.
    sources
        Where each comes from, str (m,): the barcode of a spot, or two joined by ``+``; or the
        name of a row of a file.
    library_size
        Counts over all genes of a spot with this profile, float64 (m,).
    origin
        How they were made, as JSON values.
    """

    scaled: np.ndarray
    sources: np.ndarray
    library_size: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scaled)

    @property
    def hash(self) -> str:
        """SHA-256 of values and sources."""
        return hash_strings([hash_arrays({"scaled": self.scaled}), *self.sources.tolist()])


def draw_profiles(
    training: Section,
    preprocessing: Preprocessing,
    policy: Policy = "real",
    *,
    per_spot: int = 1,
    mixup_by: Closeness = "expression",
    seed: int = 0,
) -> Profiles:
    """Make the profile of each image to draw.

    Parameters
    ----------
    training
        The training spots.
    preprocessing
        Fitted to them.
    policy
        ``real``: the spots' own profiles (paper). ``jitter``: what a second sequencing of the
        same spot could have given (:func:`resequenced`). ``mixup``: on the line between the
        scaled profiles of a spot and of one of the five closest to it, at a share of the other
        drawn from Beta(1, 2), which fills the gaps between sampled profiles.
    per_spot
        Images for each spot.
    mixup_by
        Whether close is meant in expression or in space.
    seed
        Seed of the draws.
    """
    rows = np.repeat(np.arange(len(training)), per_spot)
    origin = {"policy": policy, "per_spot": per_spot, "seed": seed}
    scaled, library = preprocessing.expression(training), training.library_size
    if policy == "real":
        return Profiles(scaled[rows], training.barcodes[rows], library[rows], origin)
    if policy == "jitter":
        counts = training.counts[:, preprocessing.panel.columns(training)].toarray()[rows]
        rng = np.random.default_rng((seed, 4))
        again, libraries = resequenced(counts, library[rows], rng)
        jittered = preprocessing.scaler.scale(
            np.log1p(again / libraries[:, None] * preprocessing.scaler.target_sum)
        )
        return Profiles(jittered, training.barcodes[rows], library[rows], origin)
    rng = np.random.default_rng((seed, 3))
    partners = _neighbours(scaled if mixup_by == "expression" else training.centres_um)
    partner = partners[rows, rng.integers(partners.shape[1], size=len(rows))]
    share = rng.beta(1.0, 2.0, size=len(rows))
    names = [
        f"{a}{PARENT_SEPARATOR}{b}"
        for a, b in zip(training.barcodes[rows], training.barcodes[partner], strict=True)
    ]
    return Profiles(
        _between(scaled[rows], scaled[partner], share[:, None].astype(np.float32)),
        np.array(names),
        _between(library[rows], library[partner], share),
        origin | {"mixup_by": mixup_by},
    )


def resequenced(
    counts: np.ndarray, library_size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw counts that a second sequencing of the same spots at the same depth could give.

    Each count is drawn anew from a Poisson distribution whose mean is the count that was found,
    and so are the counts outside the panel together. A drawn count so has the mean *and* the
    variance of what was found; one that was 0 stays 0. What was found is itself one such
    reading of the tissue, so a drawn one lies about the tissue's own level with twice the
    variance of a reading.

    Parameters
    ----------
    counts
        Raw counts of the panel, (m, G).
    library_size
        Counts over all genes, (m,).

    Returns
    -------
    counts, library_size
        Drawn, int64 (m, G) and (m,); a library has at least one count.
    """
    drawn = rng.poisson(counts)
    rest = rng.poisson(np.maximum(library_size - counts.sum(axis=1), 0))
    return drawn, np.maximum(drawn.sum(axis=1) + rest, 1)


def _between(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = (1 - share) * one + share * other
    return mixed


def _neighbours(places: np.ndarray) -> np.ndarray:
    """Return for each spot the rows of those closest to it, itself left out."""
    from sklearn.neighbors import NearestNeighbors

    number = min(NEIGHBOURS, len(places) - 1)
    found = NearestNeighbors(n_neighbors=number).fit(places).kneighbors(return_distance=False)
    return np.asarray(found)
