"""Which method errs least where: by section, fraction, and spatial order of the genes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.study.block_errors import ALL, THIRDS
from c2lst.study.contenders import Contender, competing
from c2lst.study.differences import Difference, Place, places
from c2lst.study.grid import BASELINE

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Regime:
    """Which method errs least in one place of the grid.

    Parameters
    ----------
    section, scheme, fraction
        The place.
    genes
        ``all``, or a third of the panel by Moran's I: ``low``, ``middle``, ``high``.
    moran
        Mean Moran's I of these genes' observed expression over all spots of the section.
    best
        The contender of least mean error, of those that were judged with every seed of the place;
        None where there is a single seed, which decides nothing.
    tied
        Those of the same seeds whose paired difference from the best is not borne out: its 95 %
        interval over seeds and blocks holds 0.
    """

    section: str
    scheme: str
    fraction: float
    genes: str
    moran: float
    best: Contender | None
    tied: tuple[Contender, ...]


def regimes(blocks: DataFrame) -> list[Regime]:
    """Find the best contender in every place, for all genes and for each third of them."""
    found = []
    rivals = competing(blocks)
    for genes in (ALL, *THIRDS):
        rows = blocks[blocks["genes"] == genes]
        moran = rows.groupby(["section", "scheme", "fraction"])["moran"].mean()
        for key, place in places(blocks, genes).items():
            best, tied = _best(place, [rival for rival in rivals if rival in place])
            found.append(Regime(*key, genes, float(moran.loc[key]), best, tied))
    return sorted(found, key=lambda r: (r.section, r.scheme, r.fraction))


def _best(place: Place, rivals: list[Contender]) -> tuple[Contender | None, tuple[Contender, ...]]:
    every = set[int]().union(*(place.seeds(rival) for rival in rivals))
    # Without a seed, a contender would be compared on other splits.
    rivals = [rival for rival in rivals if place.seeds(rival) == every]
    if len(every) < 2 or not rivals:
        return None, ()
    best = min(rivals, key=lambda rival: place.mean(rival, every))
    others = [rival for rival in rivals if rival != best]
    return best, tuple(r for r in others if not place.difference(r, best).sign)


@dataclass(frozen=True)
class Standing:
    """How c2lst stands among the baselines in one place.

    Parameters
    ----------
    section, scheme, fraction
        The place.
    method
        Which c2lst.
    verdict
        ``best``: it errs less than every baseline; ``tied``: less or not distinguishably, and
        not more than any; ``behind``: more than at least one; ``undecided``: a single seed.
    rivals
        The baselines that decide it, with the differences: those that it is tied with, or behind;
        else the nearest.
    """

    section: str
    scheme: str
    fraction: float
    method: Contender
    verdict: str
    rivals: tuple[tuple[Contender, Difference], ...]


def standings(blocks: DataFrame) -> list[Standing]:
    """Judge every c2lst that competes against every baseline, in every place."""
    return list(_standings(blocks))


def _standings(blocks: DataFrame) -> Iterator[Standing]:
    rivals = competing(blocks)
    baselines = [rival for rival in rivals if rival.arm == BASELINE]
    for key, place in places(blocks).items():
        for method in rivals:
            against = [b for b in baselines if b in place]
            if not method.is_ours or method not in place or not against:
                continue
            found = [(b, place.difference(method, b)) for b in against]
            found = [(b, d) for b, d in found if np.isfinite(d.value)]
            if found and max(d.seeds for _, d in found) < 2:
                yield Standing(*key, method, "undecided", (max(found, key=lambda f: f[1].value),))
                continue
            found.sort(key=lambda pair: -pair[1].value)
            by_sign = {s: tuple(pair for pair in found if pair[1].sign == s) for s in (1, 0, -1)}
            if by_sign[1]:
                yield Standing(*key, method, "behind", by_sign[1])
            elif by_sign[0]:
                yield Standing(*key, method, "tied", by_sign[0])
            elif found:
                yield Standing(*key, method, "best", (found[0],))
