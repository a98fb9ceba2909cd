"""A plan of sampling: the spots or regions of a slide in the order of what they would tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from c2lst.errors import InputError
from c2lst.planning.design import Design, choose_regions, choose_spots, unknown_in_turn
from c2lst.planning.prior import PLACE, Prior, views_of
from c2lst.progress import logger

Shape = Literal["spots", "roi"]

MOST_SPOTS = 6000
"""Most spots that are weighed against one another: their covariance takes 4 bytes a pair."""

RANDOM_DRAWS = 20

_SPACING = 0.99  # centres in whole pixels are not exactly the pitch apart


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """What to sequence, in order, and what it would leave unknown.

    Parameters
    ----------
    design
        The chosen spots, as rows of the slide's spots.
    regions
        Chosen regions as (left, top, right, bottom) in µm, float64 (r, 4); empty for spots.
    random
        What random choices of as many spots would leave unknown, (draws,).
    fitted
        Whether a first round of sequencing told how alike spots are.
    """

    design: Design
    regions: np.ndarray
    random: np.ndarray
    fitted: bool

    @property
    def unknown(self) -> float:
        """Share of the explainable variance of the slide that would stay unknown."""
        return float(self.design.unknown[-1])


def plan_spots(
    centres_um: np.ndarray,
    features: np.ndarray,
    budget: int,
    *,
    given: Sequence[int] = (),
    expression: np.ndarray | None = None,
    shape: Shape = "spots",
    region_um: float = 1000.0,
    seed: int = 0,
) -> SamplingPlan:
    """Choose where to sample a slide.

    Parameters
    ----------
    centres_um
        Centres of all spots that could be sequenced, (n, 2).
    features
        Their image features, (n, d).
    budget
        Number of spots that can be paid for, beyond ``given``.
    given
        Rows of the spots of a first round.
    expression
        Theirs, log1p of normalised counts (len(given), G): it tells how much image and place say.
    shape
        ``spots``: each on its own. ``roi``: square regions with all spots inside.
    region_um
        Side of a region.
    seed
        Of the random choices that the plan is compared with.

    Raises
    ------
    InputError
        If nothing can be chosen, a region is narrower than the spots are apart, or the seed is
        below 0.
    """
    given = [int(row) for row in given]
    check_budget(len(centres_um), len(given), budget, seed)
    slide = _Slide.of(centres_um, features, given, expression, seed)
    rng = np.random.default_rng((seed, 11))
    covariance = slide.covariance
    if shape == "spots":
        regions = np.empty((0, 4))
        seen = np.searchsorted(slide.kept, given)
        design = choose_spots(covariance, slide.prior.noise, budget, seen.tolist())
        design = replace(design, order=slide.kept[design.order])
        free = np.setdiff1d(slide.kept, given)
        draws = [rng.choice(free, size=budget, replace=False) for _ in range(RANDOM_DRAWS)]
    else:
        boxes, members = _windows(centres_um, region_um)
        chosen, design = choose_regions(
            covariance, slide.prior.noise, budget, members, given, slide.weighed
        )
        if not chosen:
            raise InputError(
                "plan",
                "no region fits the budget",
                found=f"{budget} spots, regions of {region_um:g} µm",
                expected="a budget of the spots of one region at least",
                remedy="raise --budget or lower --roi-um",
            )
        regions = boxes[chosen]
        if len(slide.kept) < len(centres_um):  # a region also has spots that were not weighed
            design = replace(design, unknown=slide.unknown_after(design.order))
        draws = [_random_regions(members, budget, set(given), rng) for _ in range(RANDOM_DRAWS)]
    random = np.array([slide.unknown_after(draw)[-1] for draw in draws])
    return SamplingPlan(design, regions, random, expression is not None)


@dataclass(frozen=True, eq=False)
class _Slide:
    """What is expected of the spots of a slide, and which of them are weighed.

    Parameters
    ----------
    views
        Of all spots.
    kept
        Rows of those that are weighed, sorted.
    given
        Rows of the first round, all of them kept.
    prior
        How alike spots are.
    """

    views: Mapping[str, np.ndarray]
    kept: np.ndarray
    given: list[int]
    prior: Prior

    @classmethod
    def of(
        cls,
        centres_um: np.ndarray,
        features: np.ndarray,
        given: list[int],
        expression: np.ndarray | None,
        seed: int,
    ) -> _Slide:
        kept = _thinned(len(centres_um), given, seed)
        views = views_of(features, centres_um, kept)
        prior = None
        if expression is not None and len(given) > 1:
            prior = Prior.fit(_of(views, np.array(given)), expression)
        return cls(views, kept, given, prior or Prior.believed(_of(views, kept)))

    @cached_property
    def covariance(self) -> np.ndarray:
        """Between the spots that are weighed, float32 (N, N)."""
        kept = _of(self.views, self.kept)
        return self.prior(kept, kept)

    @property
    def weighed(self) -> np.ndarray:
        """Row of each spot in ``covariance``, -1 where it has none."""
        rows = np.full(len(self.views[PLACE]), -1)
        rows[self.kept] = np.arange(len(self.kept))
        return rows

    def unknown_after(self, rows: np.ndarray) -> np.ndarray:
        """V of the weighed spots after each of some, weighed or not, beyond the first round."""
        taken = _of(self.views, np.array([*self.given, *rows.tolist()], dtype=int))
        own, across = self.prior(taken, taken), self.prior(taken, _of(self.views, self.kept))
        before = float(np.diag(self.covariance).mean(dtype=np.float64))
        after = unknown_in_turn(own, across, before, self.prior.noise)
        return after[len(self.given) :]


def _of(views: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: x[rows] for name, x in views.items()}


def check_budget(n: int, given: int, budget: int, seed: int = 0) -> None:
    """See that there is something to choose, before anyone looks at ``n`` patches for it.

    Parameters
    ----------
    n, given
        Number of spots, and of those of a first round.
    budget, seed
        As of :func:`plan_spots`.

    Raises
    ------
    InputError
        If the budget is of no spot or of all that are weighed, or the seed is below 0.
    """
    if seed < 0:
        raise InputError("plan", "seed", found=seed, expected="0 or more", remedy="correct --seed")
    if not 1 <= budget < n - given:
        raise InputError(
            "plan",
            "budget",
            found=budget,
            expected=f"at least 1 and fewer than the {n - given} spots that are left",
        )
    left = min(n, max(MOST_SPOTS, given)) - given
    if budget >= left:
        raise InputError(
            "plan",
            "budget",
            found=budget,
            expected=f"fewer than the {left} spots that are weighed beside those of a first round"
            if left
            else f"a first round of fewer than {MOST_SPOTS:,} spots, as many as are weighed",
        )


def _thinned(n: int, given: Sequence[int], seed: int) -> np.ndarray:
    """Return the rows that are weighed: all, or a random choice with ``given`` among them."""
    if n <= MOST_SPOTS:
        return np.arange(n)
    logger.info("plan: %d of %d spots are weighed, chosen at random", MOST_SPOTS, n)
    others = np.setdiff1d(np.arange(n), given)
    rng = np.random.default_rng((seed, 12))
    some = rng.choice(others, size=max(0, MOST_SPOTS - len(given)), replace=False)
    return np.sort(np.concatenate([np.array(given, dtype=int), some]))


def _windows(centres_um: np.ndarray, side: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return windows of ``side`` µm, a quarter of it apart, and the spots inside each."""
    from scipy.spatial import KDTree

    tree = KDTree(centres_um)
    _check_side(side, float(np.median(tree.query(centres_um, k=2)[0][:, 1])))
    low, high = centres_um.min(axis=0), centres_um.max(axis=0)
    starts = [
        np.arange(a, max(a, b - side) + side / 4, side / 4) for a, b in zip(low, high, strict=True)
    ]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = tree.query_ball_point(corners + side / 2, side / 2, p=np.inf)
    found = [np.array(sorted(rows), dtype=int) for rows in inside]
    full = [number for number, rows in enumerate(found) if len(rows)]
    boxes = np.column_stack([corners, corners + side])
    return boxes[full], [found[number] for number in full]


def _check_side(side: float, spacing: float) -> None:
    """Refuse windows narrower than the spots are apart, of which there could be billions."""
    if not _SPACING * spacing <= side < np.inf:
        raise InputError(
            "plan",
            "a region is narrower than the spots are apart",
            found=f"{side:g} µm",
            expected=f"at least {spacing:.0f} µm",
            remedy="raise --roi-um",
        )


def _random_regions(
    members: Sequence[np.ndarray], budget: int, taken: set[int], rng: np.random.Generator
) -> np.ndarray:
    """Take regions at random as long as they fit the budget and share no spot."""
    taken, rows = set(taken), np.empty(0, dtype=int)
    for number in rng.permutation(len(members)):
        region = members[number]
        if len(region) <= budget - len(rows) and taken.isdisjoint(region.tolist()):
            rows = np.concatenate([rows, region])
            taken.update(region.tolist())
    return rows
