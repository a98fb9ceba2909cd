"""The grid of a study: which splits there are, and what is learnt on each of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from c2lst.data.split import HELD_OUT_SCHEMES as SCHEMES
from c2lst.data.split import Scheme
from c2lst.errors import InputError
from c2lst.prediction.network_baselines import NETWORKS, once_each
from c2lst.rules import hold, one_of, share, whole

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
ADVISED = "advised"
"""What ``c2lst run`` uses: with pairs, real only or without a network, chosen in training spots."""

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
    names = {NO_NETWORK: "No network", ADVISED: "As advised", BASELINE: "Baseline"}
    return names.get(arm) or CONTROLS[arm]


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
    """What is learnt on a split.

    Parameters
    ----------
    name
        ``ratio-<r>``, ``no-network``, ``advised``, ``baseline-<network>``, or a control of
        :data:`CONTROLS`.
    ratio
        Synthetic pairs, or those of the control, for each real one.
    network
        What is trained on them; empty where nothing is.
    """

    name: str
    ratio: int
    network: str = ""

    @property
    def title(self) -> str:
        """Name of its folder, before what tells settings apart."""
        return "-".join(filter(None, (self.name, self.network)))

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline that has a cell of its own."""
        return self.name.startswith(f"{BASELINE}-")


@dataclass(frozen=True)
class Cell:
    """One arm on one split: the unit of work that is done once."""

    split: SplitKey
    arm: Arm


@dataclass(frozen=True)
class StudySettings:
    """What a study compares.

    The default shows in 48 cells a section what synthetic pairs do to one network: few enough for
    a day on a small machine. The full grid is a matter of options.

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
    networks
        What is trained in every arm; None for the network of the settings, empty for none: then
        the Gaussian process over place and image features is compared with the baselines.
    baselines
        Of :data:`~c2lst.prediction.network_baselines.NETWORKS`, each a cell of its own on every
        split; the baselines that are no networks are always run.
    advised
        Whether what ``c2lst run`` would use is an arm too: the largest ratio, real only, or no
        network, whichever is advised inside the training spots of each split.
    generator
        Whether the generator of each split that has a pool of pairs is judged, too.
    union
        Whether mini-batches hold real and synthetic pairs in their ratio (C2L-ST trains on the
        union of both), instead of in the predictor's own share at every ratio.

    Raises
    ------
    InputError
        If a value is unknown, out of range, or missing.
    """

    fractions: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5)
    ratios: tuple[int, ...] = (0, 5)
    schemes: tuple[Scheme, ...] = ("random",)
    controls: tuple[str, ...] = ("shuffled",)
    seeds: int = 3
    networks: tuple[str, ...] | None = None
    baselines: tuple[str, ...] = ()
    advised: bool = False
    generator: bool = False
    union: bool = False

    def __post_init__(self) -> None:
        if self.networks == ():  # nothing learns from pairs
            object.__setattr__(self, "ratios", (0,))
            object.__setattr__(self, "controls", ())
        hold(
            self,
            "study",
            fractions=share(none=False, all_=False).each(least=1),
            ratios=whole().each(least=1),
            controls=one_of(CONTROLS).each(),
            seeds=whole(1),
            schemes=one_of(SCHEMES).each(least=1),
        )

        def once(name: str, values: Iterable[Any]) -> None:
            object.__setattr__(self, name, tuple(values))

        once("fractions", sorted(set(self.fractions)))
        once("ratios", sorted({0, *self.ratios}))
        once("schemes", [s for s in SCHEMES if s in self.schemes])
        once("controls", [c for c in CONTROLS if c in self.controls])
        once("baselines", once_each(self.baselines, "study"))
        if self.networks is not None:
            once("networks", dict.fromkeys(self.networks))
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
        epochs fixed) and synthetic only, beside the networks of the field. The step-matched twin
        and shuffled genes are ours: a table without them is no evidence.
        """
        chosen: dict[str, Any] = {}
        if preset == "paper":
            controls = ("same-epochs", "shuffled", "synthetic-only")
            chosen = {"ratios": tuple(range(11)), "controls": controls, "union": True, "seeds": 5}
            chosen["baselines"] = NETWORKS
        chosen |= {k: v for k, v in given.items() if v is not None}
        if not max(chosen.get("ratios", (1,))) and given.get("controls") is None:
            chosen["controls"] = ()
        return cls(**chosen)

    @property
    def largest(self) -> int:
        """The largest ratio: size of the synthetic pool, and of every control."""
        return max(self.ratios)

    def arms(self) -> list[Arm]:
        """Return what is learnt on every split, the baselines' companion first."""
        trained = [
            *(Arm(ratio_name(ratio), ratio) for ratio in self.ratios),
            *(Arm(name, 0 if name == "same-epochs" else self.largest) for name in self.controls),
            *([Arm(ADVISED, self.largest)] if self.advised else []),
        ]
        return [
            Arm(NO_NETWORK, 0),
            *(replace(arm, network=network) for network in self.networks or () for arm in trained),
            *(Arm(f"{BASELINE}-{name}", 0) for name in self.baselines),
        ]

    def splits(self, sections: Sequence[str]) -> list[SplitKey]:
        """Return every split of every section; a seed is finished before the next."""
        every = itertools.product(range(self.seeds), sections, self.schemes, self.fractions)
        return [SplitKey(section, scheme, share, seed) for seed, section, scheme, share in every]

    def cells(self, split: SplitKey, asked: StudySettings | None = None) -> list[Cell]:
        """Return the cells of a split; of a larger grid than is ``asked`` for, only those asked."""
        wanted = {arm.title for arm in (asked or self).arms()}
        return [Cell(split, arm) for arm in self.arms() if arm.title in wanted]

    def merged(self, other: StudySettings) -> StudySettings:
        """Return the grid that holds this one and another.

        Raises
        ------
        InputError
            If they mix mini-batches in different ways.
        """
        if self.union != other.union:
            raise InputError(
                "study",
                "mini-batches are mixed in another way than in what is done",
                found="--union" if other.union else "--share",
                expected="--union" if self.union else "--share",
                remedy="choose a new folder with -o, or mix them as before",
            )
        both: dict[str, Any] = {
            name: (*(getattr(self, name) or ()), *(getattr(other, name) or ()))
            for name in ("fractions", "ratios", "schemes", "controls", "networks", "baselines")
        }
        return StudySettings(
            **both,
            seeds=max(self.seeds, other.seeds),
            advised=self.advised or other.advised,
            generator=self.generator or other.generator,
            union=self.union,
        )
