"""Genes that were not measured: how much an image changes when they are left out.

The paper (Fig. 12) drops five genes at random and shows that the patches stay as they were. Here
the same noise is drawn with all genes and with more and more of them missing, up to all, and each
is measured against the other and against the real patches.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.diffusion.draws import mix_seed
from c2lst.errors import InputError
from c2lst.evaluation.distribution import KernelDistance, halves, kernel_distance
from c2lst.local.drawing import draw_kept

if TYPE_CHECKING:
    from c2lst.evaluation.encoders import ImageEncoder
    from c2lst.local.model import LocalModel
    from c2lst.local.synthesis import SynthesisSettings

BETWEEN = 25
"""A number of missing genes between the paper's five and half of a panel."""


@dataclass(frozen=True)
class Level:
    """Images with some genes missing, against those of the same noise with all genes.

    Parameters
    ----------
    missing, trials
        Genes that are missing, and how many random choices of them.
    cosine, cosine_sd
        Mean and standard deviation over images of the cosine of the features.
    pixels
        Mean absolute difference of the pixels, in levels of 0 to 255.
    to_real
        Kernel distance to the real patches.
    """

    missing: int
    trials: int
    cosine: float
    cosine_sd: float
    pixels: float
    to_real: KernelDistance


@dataclass(frozen=True, eq=False)
class MissingGenes:
    """What missing genes do to the images of n profiles.

    Parameters
    ----------
    genes
        Genes of the panel.
    levels
        From none to all missing.
    another_noise
        Cosine and pixel difference of a second noise with all genes: how different images of one
        profile are.
    mean_profile
        Cosine and pixel difference between the image of the mean profile and that with all genes
        missing. They are one unless the adapter has learnt what missing means.
    floor
        Kernel distance between two halves of the real patches.
    gallery
        uint8 (n, levels + 1, S, S, 3): the first choice of each level, and the mean profile.
    """

    genes: int
    levels: list[Level]
    another_noise: tuple[float, float]
    mean_profile: tuple[float, float]
    floor: KernelDistance
    gallery: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a number of missing genes, for a table."""
        return [
            {k: v for k, v in asdict(level).items() if k != "to_real"}
            | {f"to_real_{k}": getattr(level.to_real, k) for k in ("value", "low", "high")}
            for level in self.levels
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the images as plain values for JSON."""
        return {
            "genes": self.genes,
            "profiles": len(self.gallery),
            "levels": [asdict(level) for level in self.levels],
            "another_noise": dict(zip(("cosine", "pixels"), self.another_noise, strict=True)),
            "all_missing_to_mean_profile": dict(
                zip(("cosine", "pixels"), self.mean_profile, strict=True)
            ),
            "real_to_real": self.floor.to_dict(),
        }


def numbers_missing(number: int, genes: int) -> list[int]:
    """Return the numbers of missing genes to look at: none, ``number``, 25, half and all.

    Raises
    ------
    InputError
        If there are not as many genes.
    """
    if not 0 < number <= genes:
        raise InputError(
            "genes to drop", "wrong number", found=number, expected=f"1 to the panel's {genes}"
        )
    return sorted({0, number, min(BETWEEN, genes), genes // 2, genes})


def drop_genes(
    model: LocalModel,
    profiles: np.ndarray,
    real: np.ndarray,
    settings: SynthesisSettings,
    *,
    number: int = 5,
    trials: int = 10,
    encoder: ImageEncoder,
    directory: Path | None = None,
) -> MissingGenes:
    """Draw the same noises with all genes and with more and more of them missing.

    Parameters
    ----------
    model
        The local model.
    profiles
        (n, G) scaled profiles of training spots, at least two.
    real
        uint8 (m, S, S, 3) stain-normalised patches of training spots, at least two.
    settings
        Guidance, sampler and seed; profile *i* has the noise of (seed, i).
    number
        Genes to drop; 25, half and all of them are dropped besides.
    trials
        Random choices of the genes at each number, alike for all profiles. None and all are one
        choice each.
    encoder
        Makes the features.
    directory
        Where images are kept as they are drawn, so that interrupted work continues.
    """
    count, genes = profiles.shape
    seeds = [mix_seed(settings.seed, index) for index in range(2 * count)]
    rng = np.random.default_rng((settings.seed, 12))

    def drawn(wanted: np.ndarray, name: str, noises: list[int] = seeds[:count]) -> np.ndarray:
        place = None if directory is None else directory / name
        each = noises * (len(wanted) // count)
        return draw_kept(model, wanted.astype(np.float32), each, settings, place)

    full = drawn(profiles, "full")
    full_features, real_features = encoder.encode(full), encoder.encode(real)
    levels, gallery = [], []
    for missing in numbers_missing(number, genes):
        choices = trials if 0 < missing < genes else 1
        dropped = np.stack([rng.permutation(genes) < missing for _ in range(choices)])
        wanted = np.where(dropped[:, None], np.nan, profiles).reshape(-1, genes)
        images = drawn(wanted, f"missing-{missing}")
        features = encoder.encode(images)
        cosines = _cosines(features.reshape(choices, count, -1), full_features)
        levels.append(
            Level(
                missing,
                choices,
                float(cosines.mean()),
                float(cosines.std()),
                _pixels(images.reshape(choices, *full.shape), full),
                # Images of one spot are alike: the interval is over spots.
                kernel_distance(
                    features, real_features, groups=(list(range(count)) * choices, None)
                ),
            )
        )
        gallery.append(images[:count])
    again = drawn(profiles, "another-noise", seeds[count:])
    mean = drawn(np.zeros_like(profiles), "mean-profile")
    first, second = halves(range(len(real)), seed=settings.seed)
    return MissingGenes(
        genes,
        levels,
        (float(_cosines(encoder.encode(again), full_features).mean()), _pixels(again, full)),
        (
            float(_cosines(encoder.encode(mean), encoder.encode(gallery[-1])).mean()),
            _pixels(mean, gallery[-1]),
        ),
        kernel_distance(real_features[first], real_features[second]),
        np.stack([*gallery, mean], axis=1),
    )


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines over the last axis."""
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosines: np.ndarray = (first * second).sum(axis=-1) / np.maximum(lengths, 1e-12)
    return cosines


def _pixels(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of uint8 images, in levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())
