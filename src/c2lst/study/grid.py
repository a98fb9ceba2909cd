"""The grid of a study: which splits there are, and what is learnt on each of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2lst.data.split import SCHEMES, Scheme
from c2lst.errors import InputError

CONTROLS: Mapping[str, str] = {
    "same-epochs": "Real only, as many epochs",
    "duplicated": "Real pairs repeated",
    "augmented": "Real pairs, strongly augmented",
    "mixup": "Mixtures of neighbours",
    "shuffled": "Synthetic, genes shuffled",
    "unconditional": "Synthetic, unconditional",
    "synthetic-only": "Synthetic only",
}
"""What synthetic pairs have to beat, beside the step-matched twin, which is ratio 0.

Each has as many pairs as the largest ratio. ``same-epochs`` alone takes fewer optimiser steps: as
many passes over the real pairs as the largest ratio makes over all of its pairs, which is how
C2L-ST compares.
"""

NO_NETWORK = "no-network"
BASELINE = "baseline"


def ratio_name(ratio: int) -> str:
    """Name of the arm of a ratio."""
    return f"ratio-{ratio}"


TWIN = ratio_name(0)
"""Real pairs only, at the same number of optimiser steps."""


def arm_title(arm: str) -> str:
    """Name of an arm in plain words."""
    if arm.startswith("ratio-"):
        ratio = arm.removeprefix("ratio-")
        return "Real only, same steps" if arm == TWIN else f"Real + {ratio}× synthetic"
    return {NO_NETWORK: "No network", BASELINE: "Baseline"}.get(arm) or CONTROLS[arm]


@dataclass(frozen=True)
class SplitKey:
    """One split of one section: what shared work belongs to."""

    section: str
    scheme: Scheme
    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder below that of the section."""
        return f"{self.scheme}-{self.fraction:g}-seed-{self.seed}"


@dataclass(frozen=True)
class Arm:
    """What a predictor is trained on.

    Parameters
    ----------
    name
        ``ratio-<r>``, ``no-network``, or a control of :data:`CONTROLS`.
    ratio
        Synthetic pairs, or those of the control, for each real one.
    """

    name: str
    ratio: int


@dataclass(frozen=True)
class Cell:
    """One arm on one split: the unit of work that is done once."""

    split: SplitKey
    arm: Arm


@dataclass(frozen=True)
class StudySettings:
    """What a study compares.

    Parameters
    ----------
    fractions
        Shares of the spots that count as sequenced.
    ratios
        Synthetic pairs for each real one; 0, the step-matched twin, is always among them.
    schemes
        Ways to choose the sequenced spots.
    controls
        Names of :data:`CONTROLS`; each has as many pairs as the largest ratio.
    seeds
        Splits are drawn, and everything is trained, with seeds 0 to ``seeds`` - 1.
    union
        Whether mini-batches hold real and synthetic pairs in their ratio (C2L-ST trains on the
        union of both), instead of in the predictor's own share at every ratio.

    Raises
    ------
    InputError
        If a value is unknown, out of range, or missing.
    """

    fractions: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5)
    ratios: tuple[int, ...] = tuple(range(11))
    schemes: tuple[Scheme, ...] = SCHEMES
    controls: tuple[str, ...] = tuple(CONTROLS)
    seeds: int = 5
    union: bool = False

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ("fractions", lambda f: 0 < f < 1, "shares between 0 and 1"),
            ("ratios", lambda r: r >= 0, "whole numbers from 0"),
            ("schemes", lambda s: s in SCHEMES, ", ".join(SCHEMES)),
            ("controls", lambda c: c in CONTROLS, f"all, none, or of {', '.join(CONTROLS)}"),
        ):
            values = getattr(self, name)
            if wrong := [value for value in values if not fits(value)]:
                raise InputError("study", name, found=wrong[0], expected=expected)
            if not values and name != "controls":
                raise InputError("study", f"{name}: there is none", expected=expected)
        if self.seeds < 1:
            raise InputError("study", "seeds", found=self.seeds, expected="at least 1")

        def once(name: str, values: Sequence[Any]) -> None:
            object.__setattr__(self, name, tuple(values))

        once("fractions", sorted(set(self.fractions)))
        once("ratios", sorted({0, *self.ratios}))
        once("schemes", [s for s in SCHEMES if s in self.schemes])
        once("controls", [c for c in CONTROLS if c in self.controls])
        if self.controls and not self.largest:
            raise InputError(
                "study",
                "controls have as many pairs as the largest ratio, which is 0",
                remedy="ask for a ratio above 0, or for no controls",
            )

    @classmethod
    def of_preset(cls, preset: str, **given: Any) -> StudySettings:
        """Start from the study of a preset; what is given, and not None, wins.

        ``paper`` is the protocol of C2L-ST as far as it is stated: random spots, 5, 10, 25 and
        50 % of them, ratios 1 to 10 on the union of real and synthetic pairs, real only (with
        epochs fixed) and synthetic only. The step-matched twin and shuffled genes are ours: a
        table without them is no evidence.
        """
        chosen: dict[str, Any] = {}
        if preset == "paper":
            controls = ("same-epochs", "shuffled", "synthetic-only")
            chosen = {"schemes": ("random",), "controls": controls, "union": True}
        return cls(**chosen | {k: v for k, v in given.items() if v is not None})

    @property
    def largest(self) -> int:
        """The largest ratio: size of the synthetic pool, and of every control."""
        return max(self.ratios)

    def arms(self) -> list[Arm]:
        """Return what is learnt on every split, the baselines' companion first."""
        return [
            Arm(NO_NETWORK, 0),
            *(Arm(ratio_name(ratio), ratio) for ratio in self.ratios),
            *(Arm(name, 0 if name == "same-epochs" else self.largest) for name in self.controls),
        ]

    def splits(self, sections: Sequence[str]) -> list[SplitKey]:
        """Return every split of every section."""
        seeds = range(self.seeds)
        every = itertools.product(sections, self.schemes, self.fractions, seeds)
        return [SplitKey(*key) for key in every]

    def cells(self, split: SplitKey) -> list[Cell]:
        """Return the cells of a split."""
        return [Cell(split, arm) for arm in self.arms()]
