"""Real and synthetic pairs as training samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2lst.storage import hash_arrays


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some of a set of pairs, of which nothing is copied.

    Parameters
    ----------
    inputs
        What a network reads of each patch of the set, (n, …): its pixels or its features.
    targets
        Standardised expression, float32 (n, G); NaN for a gene that was not measured.
    rows
        Those that are meant: int (m,).
    """

    inputs: Any
    targets: np.ndarray
    rows: np.ndarray

    @classmethod
    def all_of(cls, inputs: Any, targets: np.ndarray) -> Pairs:
        """Take every pair of a set."""
        return cls(inputs, np.asarray(targets, dtype=np.float32), np.arange(len(inputs)))

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, chosen: np.ndarray) -> Pairs:
        """Return those that are ``chosen``: bool (m,)."""
        return replace(self, rows=self.rows[chosen])

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets of ``indices``, counted round and round."""
        rows = self.rows[indices % max(1, len(self))]
        return self.inputs[rows], self.targets[rows]

    @property
    def digest(self) -> str:
        """Hash by which a training that goes on knows its pairs: of targets, and of some pixels."""
        some = self.inputs[self.rows, ::8, ::8]
        return hash_arrays({"inputs": some, "targets": self.targets[self.rows]})


@dataclass(frozen=True, eq=False)
class PairSource:
    """Real and synthetic pairs, of which every batch has the stated mix.

    Parameters
    ----------
    real, synthetic
        The pairs; either may be none.
    share
        Share of a batch that is synthetic, where both kinds are there.
    weight
        Factor on the loss of a synthetic pair.
    curriculum
        Maps the number of an update to its share; None if that stays.
    first
        How many of the next samples are synthetic, where these are a part of a batch; None where
        they are a batch of their own, so that the share decides.
    """

    real: Pairs
    synthetic: Pairs
    share: float = 0.5
    weight: float = 1.0
    curriculum: Callable[[int], float] | None = None
    first: int | None = None

    @classmethod
    def of_real(cls, real: Pairs) -> PairSource:
        """Make a source of real pairs alone."""
        return cls(real, real.where(np.zeros(len(real), dtype=bool)), share=0.0)

    def __len__(self) -> int:
        real, synthetic = len(self.real), len(self.synthetic)
        if not real or not synthetic:
            return real + synthetic
        # One pass meets every synthetic pair, and every real one equally often.
        return real * max(1, -(-synthetic // real))

    @property
    def digest(self) -> str:
        """Hash of the pairs."""
        return f"{self.real.digest}-{self.synthetic.digest}"

    def at(self, step: int) -> PairSource:
        """Return the source as it is in the update with number ``step``."""
        return self if self.curriculum is None else replace(self, share=self.curriculum(step))

    def within(self, positions: np.ndarray, size: int) -> PairSource:
        """Return the source as it is at some positions, ascending, of a batch of ``size``.

        The first positions of a batch are synthetic, however it is split: a share of a micro-batch
        of two would be rounded to none or to a half.
        """
        return replace(self, first=int((positions < self.synthetic_count(size)).sum()))

    def synthetic_count(self, batch: int) -> int:
        """How many of ``batch`` samples are synthetic."""
        if not len(self.synthetic):
            return 0
        return batch if not len(self.real) else round(self.share * batch)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return ``inputs`` (B, …), ``targets`` (B, G) and ``weights`` (B,)."""
        count = self.synthetic_count(len(indices)) if self.first is None else self.first
        drawn, real = self.synthetic.take(indices[:count]), self.real.take(indices[count:])
        weights = np.ones(len(indices), dtype=np.float32)
        weights[:count] = self.weight
        return {
            "inputs": torch.from_numpy(np.concatenate([drawn[0], real[0]])),
            "targets": torch.from_numpy(np.concatenate([drawn[1], real[1]])),
            "weights": torch.from_numpy(weights),
        }
