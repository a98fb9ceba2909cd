"""What can be moved on a profile: a gene, or a programme of genes that go together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from c2lst.errors import InputError

PROGRAMMES = 5
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Handles:
    """Genes and programmes by name, each a direction in scaled expression.

    Parameters
    ----------
    genes
        Names of the G genes, in the order of the profiles.
    loadings
        (P, G) correlation of each gene with each programme, a principal component of the
        training spots. Moving a programme by one standard deviation of it moves every gene by
        as much as goes along with that.
    """

    genes: tuple[str, ...]
    loadings: np.ndarray

    @classmethod
    def fit(cls, expression: np.ndarray, genes: Sequence[str]) -> Handles:
        """Find the programmes of training spots.

        Parameters
        ----------
        expression
            (n, G) standardised expression of the training spots.
        genes
            Names of the G genes.
        """
        x = np.asarray(expression, dtype=np.float64)
        x = x - x.mean(axis=0)
        number = max(0, min(PROGRAMMES, len(x) - 2, x.shape[1] - 1))
        _, singular, axes = np.linalg.svd(x, full_matrices=False)
        spread = np.maximum(x.std(axis=0), 1e-12)
        loadings = singular[:number, None] / np.sqrt(len(x)) * axes[:number] / spread
        heaviest = np.abs(loadings).argmax(axis=1)
        signs = np.sign(loadings[np.arange(number), heaviest])
        return cls(tuple(genes), (loadings * signs[:, None]).astype(np.float32))

    @cached_property
    def programmes(self) -> dict[str, np.ndarray]:
        """Each programme's direction (G,), named by its heaviest genes; a minus: they fall."""
        return {
            f"programme {number + 1}: {self._heaviest(loading)}": loading
            for number, loading in enumerate(self.loadings)
        }

    @cached_property
    def clearest(self) -> list[str]:
        """Genes by the share of their variance that goes with the programmes, largest first."""
        shared = (self.loadings.astype(np.float64) ** 2).sum(axis=0)
        return [self.genes[k] for k in np.argsort(-shared, kind="stable")]

    @property
    def names(self) -> list[str]:
        """All handles: the programmes, then the genes from the clearest to the noisiest."""
        return [*self.programmes, *self.clearest]

    def direction(self, name: str) -> np.ndarray:
        """Return what one step along a handle adds to a profile, float32 (G,).

        Raises
        ------
        InputError
            If there is no handle of that name.
        """
        if name in self.programmes:
            return self.programmes[name]
        if name not in self.genes:
            like = difflib.get_close_matches(name, self.genes, n=3)
            raise InputError(
                "explorer",
                f"{name!r} is neither a gene of the adapter nor a programme",
                remedy=f"perhaps {' or '.join(like)}" if like else None,
            )
        return (np.array(self.genes) == name).astype(np.float32)

    def move(self, profile: np.ndarray, moves: Mapping[str, float]) -> np.ndarray:
        """Return a profile (G,) moved along handles, each by its number of standard deviations."""
        moved = np.array(profile, dtype=np.float32)
        for name, steps in moves.items():
            moved += np.float32(steps) * self.direction(name)
        return moved

    def _heaviest(self, loading: np.ndarray) -> str:
        order = np.argsort(-np.abs(loading), kind="stable")[:_NAMED]
        return ", ".join(f"{'−' if loading[k] < 0 else ''}{self.genes[k]}" for k in order)
