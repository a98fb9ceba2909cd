"""Choosing spots one after another so that what stays unknown of the whole slide is least.

The spots of a slide are a Gaussian process over image and place with prior covariance K (unit
variance) and observation noise ρ. After the spots S are sequenced, the mean posterior variance of
all N spots is

    V(S) = (1/N) tr(K - K[:, S] (K[S, S] + ρ I)⁻¹ K[S, :]),

which depends on where the spots are and how they look, not on their expression: it is known before
anything is sequenced. The best set is a hard combinatorial problem; each step here takes the spot,
or the region, that lowers V most, given those taken (Krause et al., JMLR 2008, on near-optimal
sensor placement; the criterion is A-optimality).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from c2lst.progress import progress_bar

_TIE = 1e-5
"""Gains that are as near as this are equal: of sums over thousands of spots in float32, no more is
certain."""


@dataclass(frozen=True)
class Design:
    """Spots in the order in which they were chosen.

    Parameters
    ----------
    order
        Rows of the spots, (k,).
    unknown
        V after each of them, (k,): share of the variance that stays unknown.
    before
        V before the first.
    """

    order: np.ndarray
    unknown: np.ndarray
    before: float


class Posterior:
    """What is known of all spots after some were sequenced, in a form that is cheap to extend.

    Parameters
    ----------
    covariance
        Prior covariance K between all spots, float (N, N).
    noise
        Variance ρ of an observation around what image and place can tell.
    """

    def __init__(self, covariance: np.ndarray, noise: float) -> None:
        # Half the memory, and twice the speed, of what float64 would take; sums over N stay exact
        # to far below what tells one spot from another.
        self._prior = np.ascontiguousarray(covariance, dtype=np.float32)
        self.noise = float(noise)
        self.variance = np.diag(self._prior).astype(np.float64)
        # Squared norm of each column of the posterior covariance: the numerator of its gain.
        self._power = np.einsum("ij,ij->j", self._prior, self._prior).astype(np.float64)
        self._factors = np.empty((len(covariance), 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.variance)

    @property
    def unknown(self) -> float:
        """Mean posterior variance V of all spots."""
        return float(self.variance.mean())

    def gains(self) -> np.ndarray:
        """By how much V falls with each one more spot, (N,)."""
        return self._power / (self.variance + self.noise) / len(self)

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Posterior covariance of all spots with some: float32 (N, len(rows))."""
        known: np.ndarray = self._prior[:, rows] - self._factors @ self._factors[rows].T
        return known

    def take(self, row: int) -> None:
        """Condition on one spot; a matrix-vector product, whatever was taken before."""
        factor = self.columns(np.array([row]))[:, 0] / np.sqrt(self.variance[row] + self.noise)
        # With C' = C - u uᵀ, the squared norm of column j becomes |c|² - 2 u_j (C u)_j + u_j² |u|².
        moved = self._prior @ factor - self._factors @ (self._factors.T @ factor)
        u, cu = factor.astype(np.float64), moved.astype(np.float64)
        self._power = np.maximum(self._power - 2 * u * cu + u**2 * (u @ u), 0.0)
        self.variance = np.maximum(self.variance - u**2, 0.0)
        self._factors = np.column_stack([self._factors, factor])

    def gain_together(self, rows: np.ndarray) -> float:
        """By how much V falls with several more spots at once."""
        from scipy.linalg import solve_triangular

        if not len(rows):
            return 0.0
        columns = self.columns(rows).astype(np.float64)
        inner = columns[rows] + self.noise * np.eye(len(rows))
        solved = solve_triangular(np.linalg.cholesky(inner), columns.T, lower=True)
        return float((solved**2).sum() / len(self))


def choose_spots(
    covariance: np.ndarray, noise: float, budget: int, given: Sequence[int] = ()
) -> Design:
    """Choose spots one by one, each the one that lowers what is unknown most.

    Parameters
    ----------
    covariance, noise
        See :class:`Posterior`.
    budget
        How many to choose.
    given
        Rows of spots that are sequenced already.
    """
    posterior = _after(covariance, noise, given)
    before, free = posterior.unknown, np.ones(len(posterior), dtype=bool)
    free[list(given)] = False
    order: list[int] = []
    unknown: list[float] = []
    with progress_bar("plan", budget) as bar:
        for _ in range(min(budget, int(free.sum()))):
            gains = np.where(free, posterior.gains(), -np.inf)
            # The first of equals, so that rounding on another machine does not change the plan.
            best = int(np.flatnonzero(gains >= gains.max() * (1 - _TIE))[0])
            posterior.take(best)
            free[best] = False
            order.append(best)
            unknown.append(posterior.unknown)
            bar.advance()
    return Design(np.array(order, dtype=int), np.array(unknown), before)


def choose_regions(
    covariance: np.ndarray,
    noise: float,
    budget: int,
    regions: Sequence[np.ndarray],
    given: Sequence[int] = (),
    weighed: np.ndarray | None = None,
) -> tuple[list[int], Design]:
    """Choose whole regions, each the one that lowers what is unknown most.

    Parameters
    ----------
    covariance, noise, given
        As for :func:`choose_spots`.
    budget
        Most spots in all regions together.
    regions
        Spots of each region. Those that share a spot with a chosen one, or with ``given``, are
        out.
    weighed
        Row of each spot of the slide in ``covariance``, -1 where it has none, int (n,); by default
        all have one. A region costs all its spots, and is judged by those that have a row.

    Returns
    -------
    chosen, design
        Numbers of the regions in order, and all their spots; what stays unknown is then as far as
        those that have a row tell.
    """
    weighed = np.arange(len(covariance)) if weighed is None else weighed
    # Under a budget neither rule is safe alone: the most for each spot may leave spots unspent,
    # the most in all may spend them where little is left to learn. The better of both is.
    runs = [
        _regions_by(covariance, noise, budget, regions, given, weighed, per_spot=per_spot)
        for per_spot in (True, False)
    ]
    return min(runs, key=lambda run: run[1].unknown[-1] if run[0] else run[1].before)


def _regions_by(
    covariance: np.ndarray,
    noise: float,
    budget: int,
    regions: Sequence[np.ndarray],
    given: Sequence[int],
    weighed: np.ndarray,
    *,
    per_spot: bool,
) -> tuple[list[int], Design]:
    posterior = _after(covariance, noise, weighed[list(given)])
    rows_of = [weighed[region][weighed[region] >= 0] for region in regions]
    before, taken = posterior.unknown, set(given)
    chosen: list[int] = []
    order: list[int] = []
    unknown: list[float] = []
    with progress_bar("plan", budget) as bar:
        while fitting := [
            number
            for number, spots in enumerate(regions)
            if 0 < len(spots) <= budget - len(order) and taken.isdisjoint(spots.tolist())
        ]:
            cost = [len(regions[number]) if per_spot else 1 for number in fitting]
            gains = [posterior.gain_together(rows_of[number]) for number in fitting]
            best = fitting[int(np.argmax(np.array(gains) / cost))]
            for spot in regions[best].tolist():
                if weighed[spot] >= 0:
                    posterior.take(int(weighed[spot]))
                order.append(spot)
                unknown.append(posterior.unknown)
            taken.update(regions[best].tolist())
            chosen.append(best)
            bar.advance(len(regions[best]))
    return chosen, Design(np.array(order, dtype=int), np.array(unknown), before)


def unknown_in_turn(own: np.ndarray, across: np.ndarray, before: float, noise: float) -> np.ndarray:
    """Return V after each of some spots, (k,), whether or not they are among those that V is of.

    Parameters
    ----------
    own
        Prior covariance between the sequenced spots in their order, (k, k).
    across
        Between them and the N spots that V is the mean of, (k, N).
    before
        Mean prior variance of the N.
    noise
        Variance ρ of an observation.
    """
    from scipy.linalg import solve_triangular

    inner = own.astype(np.float64) + noise * np.eye(len(own))
    # Row i of the solution is what spot i tells of the N beyond the spots before it.
    told = solve_triangular(np.linalg.cholesky(inner), across.astype(np.float64), lower=True)
    return before - np.cumsum(np.einsum("ij,ij->i", told, told)) / across.shape[1]


def _after(covariance: np.ndarray, noise: float, given: Sequence[int] | np.ndarray) -> Posterior:
    posterior = Posterior(covariance, noise)
    for row in given:
        posterior.take(int(row))
    return posterior
