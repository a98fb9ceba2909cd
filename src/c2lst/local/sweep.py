"""A gene moved from low to high under the same noise: what it does to the tissue.

Every image of a row starts from one noise, so that the genes alone make the difference. Any gene
moves a few pixels; whether this one moves them more is judged against random genes under the very
same noises.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.diffusion.draws import mix_seed
from c2lst.errors import InputError
from c2lst.evaluation.ruler import SHIFT
from c2lst.local.drawing import draw_kept

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.evaluation.ruler import Ruler
    from c2lst.local.model import LocalModel
    from c2lst.local.synthesis import SynthesisSettings

LEVEL = 0.95


@dataclass(frozen=True)
class Effect:
    """What a move by one standard deviation of expression does to one measure.

    Parameters
    ----------
    measure
        Its name; ``shift`` is the distance from the unmoved image, in distances between two real
        patches.
    slope, low, high
        Mean over noises of the least-squares slope over all steps, and its 95 % t interval.
    spread
        Standard deviation of the measure over real patches.
    ends
        Mean slope between the two ends of the sweep alone: what the null is compared by.
    null
        The same of random genes under the same noises.
    """

    measure: str
    slope: float
    low: float
    high: float
    spread: float
    ends: float
    null: tuple[float, ...]

    @property
    def p(self) -> float:
        """Share of random genes that move the measure as much: (r + 1) / (n + 1); NaN without."""
        if not self.null:
            return math.nan
        as_much = sum(abs(other) >= abs(self.ends) for other in self.null)
        return (as_much + 1) / (len(self.null) + 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not defined is None."""
        values = {**asdict(self), "p": self.p}
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Images and measures of a sweep: N noises, K steps, M random directions.

    Parameters
    ----------
    values
        (K,) steps in standard deviations of scaled expression; 0 is among them.
    seeds
        (N,) the noises.
    images
        uint8 (N, K, S, S, 3).
    measures
        Each (N, K); ``shift`` is the distance from the unmoved image of the same noise.
    null
        Of each measure, the mean slope between the ends of each random direction, (M,).
    spread
        Of each measure, its standard deviation over real patches.
    """

    values: np.ndarray
    seeds: np.ndarray
    images: np.ndarray
    measures: dict[str, np.ndarray]
    null: dict[str, np.ndarray]
    spread: dict[str, float]

    def effects(self) -> list[Effect]:
        """Return what a move by one standard deviation does, one entry a measure."""
        return [self._effect(name) for name in self.measures]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a noise and step, for a table."""
        noises, count = len(self.seeds), len(self.values)
        columns = {
            "noise": np.repeat(np.arange(noises), count),
            "seed": np.repeat(self.seeds, count),
            "sd": np.tile(self.values, noises),
            **{name: found.ravel() for name, found in self.measures.items()},
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _effect(self, name: str) -> Effect:
        from scipy.stats import t

        values, found = self.values, self.measures[name]
        if name == SHIFT:  # a distance: it grows to both sides, from 0
            slopes = found @ abs(values) / (values @ values)
        else:
            centred = values - values.mean()
            slopes = found @ centred / (centred @ centred)
        count, slope, half = len(slopes), float(slopes.mean()), math.nan
        if count > 1:
            quantile = float(t.ppf((1 + LEVEL) / 2, count - 1))
            half = quantile * float(slopes.std(ddof=1)) / math.sqrt(count)
        ends = float(_between_ends(name, values, found[:, [0, -1]]))
        null = tuple(float(value) for value in self.null[name])
        return Effect(name, slope, slope - half, slope + half, self.spread[name], ends, null)


def steps(low: float, high: float, number: int) -> np.ndarray:
    """Return even steps from ``low`` to ``high``, and 0 if it is not one of them.

    Raises
    ------
    InputError
        If 0 does not lie between, or there are fewer than two.
    """
    if not (low <= 0 <= high and low < high and number >= 2):
        raise InputError(
            "sweep",
            "the steps cannot be taken",
            found=f"{number} from {low:g} to {high:g}",
            expected="two or more, around the spot's own profile at 0",
        )
    even = np.linspace(low, high, number)
    even[np.isclose(even, 0, atol=1e-9 * (high - low))] = 0
    return np.union1d(even, [0.0])


def sweep(
    model: LocalModel,
    profile: np.ndarray,
    change: np.ndarray,
    values: np.ndarray,
    noises: int,
    settings: SynthesisSettings,
    *,
    ruler: Ruler,
    nulls: np.ndarray | None = None,
    directory: Path | None = None,
) -> SweepResult:
    """Move a profile along a direction under the same noises, and measure what comes of it.

    Parameters
    ----------
    model
        The local model.
    profile
        (G,) scaled expression to start from.
    change
        (G,) standard deviations by which each gene moves in a step of 1.
    values
        (K,) increasing steps, 0 among them (:func:`steps`).
    noises
        How many noises; noise *j* depends on (``settings.seed``, j) alone.
    settings
        Guidance and sampler.
    ruler
        Fitted to real patches of the section.
    nulls
        (M, G) random directions to compare with (:func:`~c2lst.local.directions.at_random`).
        Of each, the two ends alone are drawn, under the same noises: as many random genes as can
        be afforded say more than their steps between.
    directory
        Where images are kept as they are drawn, so that an interrupted sweep continues.

    Raises
    ------
    InputError
        If 0 is not among the values, or there is no noise.
    """
    values = np.asarray(values, dtype=np.float64)
    if 0 not in values or (np.diff(values) <= 0).any() or len(values) < 2 or noises < 1:
        raise InputError(
            "sweep",
            "needs a noise, and increasing steps with 0 among them",
            found=f"{noises} noises, steps {values.tolist()}",
        )
    seeds = [mix_seed(settings.seed, number) for number in range(noises)]
    middle = int(np.flatnonzero(values == 0)[0])

    def drawn(directions: np.ndarray, at: np.ndarray, kept: str) -> np.ndarray:
        """Images (directions, N, steps, S, S, 3)."""
        grid = (len(directions), noises, len(at))
        moved = profile + directions[:, None, None] * at[:, None]
        profiles = np.broadcast_to(moved, (*grid, len(profile))).reshape(-1, len(profile))
        each = np.broadcast_to(np.array(seeds)[:, None], grid).ravel().tolist()
        place = None if directory is None else directory / kept
        images = draw_kept(model, profiles.astype(np.float32), each, settings, place)
        return images.reshape(*grid, *images.shape[1:])

    images = drawn(change[None], values, "sweep")[0]
    features = _features(images, ruler)
    unmoved = features[:, middle]
    measures = _measured(images, features, unmoved, ruler)
    null = {name: np.empty(0) for name in measures}
    if nulls is not None and len(nulls):
        ends = drawn(np.asarray(nulls), values[[0, -1]], "null")
        others = _measured(ends, _features(ends, ruler), unmoved, ruler)
        null = {name: _between_ends(name, values, found) for name, found in others.items()}
    return SweepResult(values, np.array(seeds), images, measures, null, ruler.spread)


def mean_spot(section: Section, split: SpotSplit, preprocessing: Preprocessing) -> str:
    """Return the barcode of the training spot whose profile is nearest to the mean profile."""
    training = split.training(section)
    scaled = preprocessing.expression(training)  # the mean profile is 0
    return str(training.barcodes[int(np.linalg.norm(scaled, axis=1).argmin())])


def spot_profile(
    section: Section, split: SpotSplit, preprocessing: Preprocessing, barcode: str
) -> np.ndarray:
    """Return the scaled profile (G,) of a training spot.

    Raises
    ------
    InputError
        If there is no such spot, or it is not one of the training spots.
    """
    if barcode not in split.train:
        known = barcode in set(section.barcodes.tolist())
        raise InputError(
            f"spot {barcode!r}",
            "is not a training spot" if known else f"is not on section {section.name!r}",
            expected=f"one of {len(split.train)} training spots, such as {split.train[0]!r}",
        )
    return np.asarray(preprocessing.expression(section.subset([barcode]))[0])


def _features(images: np.ndarray, ruler: Ruler) -> np.ndarray:
    """Features (..., d) of images (..., S, S, 3)."""
    features = ruler.features(images.reshape(-1, *images.shape[-3:]))
    return features.reshape(*images.shape[:-3], -1)


def _measured(
    images: np.ndarray, features: np.ndarray, unmoved: np.ndarray, ruler: Ruler
) -> dict[str, np.ndarray]:
    """Measures (..., N, K) of images (..., N, K, S, S, 3); ``unmoved`` are features (N, d)."""
    grid = images.shape[:-3]
    measures = ruler.measure(images.reshape(-1, *images.shape[-3:]))
    shift = ruler.shift(features, unmoved[:, None])
    return {**{name: values.reshape(grid) for name, values in measures.items()}, SHIFT: shift}


def _between_ends(name: str, values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Mean slope over noises between both ends, of measures (..., N, 2)."""
    low, high = found[..., 0], found[..., 1]
    moved = low + high if name == SHIFT else high - low
    mean: np.ndarray = (moved / (values[-1] - values[0])).mean(axis=-1)
    return mean
