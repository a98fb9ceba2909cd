"""A plan of sampling: the spots or regions of a slide in the order of what they would tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from c2lst.errors import InputError
from c2lst.planning.design import Design, choose_regions, choose_spots, unknown_after
from c2lst.planning.prior import fitted_covariance, prior_covariance, views_of
from c2lst.progress import logger

Shape = Literal["spots", "roi"]

MOST_SPOTS = 6000
"""Most spots that are weighed against one another: their covariance takes 4 bytes a pair."""

RANDOM_DRAWS = 20


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
        If nothing can be chosen.
    """
    n, given = len(centres_um), list(given)
    if not 1 <= budget < n - len(given):
        raise InputError(
            "plan",
            "budget",
            found=budget,
            expected=f"at least 1 and fewer than the {n - len(given)} spots that are left",
        )
    kept = _thinned(n, given, seed)
    if budget >= len(kept) - len(given):
        raise InputError("plan", "budget", found=budget, expected=f"below {MOST_SPOTS}")
    position = {row: number for number, row in enumerate(kept.tolist())}
    seen = [position[row] for row in given]
    views = views_of(features[kept], centres_um[kept])
    if expression is not None and len(given) > 1:
        covariance, noise = fitted_covariance(views, np.array(seen), expression)
    else:
        covariance, noise = prior_covariance(views)
    rng = np.random.default_rng((seed, 11))
    left = np.setdiff1d(np.arange(len(kept)), seen)
    if shape == "spots":
        regions = np.empty((0, 4))
        design = choose_spots(covariance, noise, budget, seen)
        draws = [
            rng.choice(left, size=len(design.order), replace=False) for _ in range(RANDOM_DRAWS)
        ]
    else:
        boxes, members = _windows(centres_um[kept], region_um)
        chosen, design = choose_regions(covariance, noise, budget, members, seen)
        if not chosen:
            raise InputError(
                "plan",
                "no region fits the budget",
                found=f"{budget} spots, regions of {region_um:g} µm",
                expected="a budget of the spots of one region at least",
                remedy="raise --budget or lower --roi-um",
            )
        regions = boxes[chosen]
        draws = [_random_regions(members, budget, set(seen), rng) for _ in range(RANDOM_DRAWS)]
    random = [unknown_after(covariance, noise, draw.tolist(), seen) for draw in draws]
    design = Design(kept[design.order], design.unknown, design.before)
    return SamplingPlan(design, regions, np.array(random), expression is not None)


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

    low, high = centres_um.min(axis=0), centres_um.max(axis=0)
    starts = [
        np.arange(a, max(a, b - side) + side / 4, side / 4) for a, b in zip(low, high, strict=True)
    ]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = KDTree(centres_um).query_ball_point(corners + side / 2, side / 2, p=np.inf)
    found = [np.array(sorted(rows), dtype=int) for rows in inside]
    full = [number for number, rows in enumerate(found) if len(rows)]
    boxes = np.column_stack([corners, corners + side])
    return boxes[full], [found[number] for number in full]


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
