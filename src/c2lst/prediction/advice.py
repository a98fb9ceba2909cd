"""Advice on a slide, from its training spots alone: on the predictor, and on synthetic pairs.

Every candidate predicts each training spot without having seen it. Candidates are compared spot by
spot with a default, the simplest of them, and advice departs from the default only where the
difference is clear: the simpler predictor wins ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.expression.blocks import RESAMPLES, SpatialBlocks
from c2lst.evaluation.expression.names import (
    COTRAINED,
    NETWORK,
    NETWORK_TWIN,
    NO_NETWORK,
    TWIN,
)
from c2lst.prediction.baselines import REGISTRY
from c2lst.storage import read_json, write_json

Outcome = Literal["better", "worse", "undecided"]

FORMAT = 1
RULE = 2
"""How advice is taken; 1 was a predictor with a network as the default."""

LIMITS = (
    "Judged on the training spots alone, each predicted without itself. The intervals hold the "
    "spread over places of this tissue, not over other draws of training spots; the local model "
    "that drew the synthetic pairs saw all training spots."
)

_RATIO = "predicted_ratio_"
_PAIRS = ((NETWORK, NETWORK_TWIN), (COTRAINED, TWIN))
_LABELS: Mapping[str, str] = {
    NO_NETWORK: "place and image features without a network",
    TWIN: "place, image features and a network of real pairs",
    COTRAINED: "place, image features and a network of real and synthetic pairs",
    NETWORK: "the network of real and synthetic pairs alone",
    NETWORK_TWIN: "the network of real pairs alone",
}


@dataclass(frozen=True)
class Difference:
    """Mean absolute error of one candidate minus that of another, over the same spots.

    Parameters
    ----------
    method, against
        The candidates.
    value, low, high
        The difference and its 95 % interval, log1p units; negative: ``method`` errs less.
    """

    method: str
    against: str
    value: float
    low: float
    high: float

    @property
    def outcome(self) -> Outcome:
        """Which way it falls, where the interval allows to say."""
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "undecided"

    @property
    def text(self) -> str:
        """The numbers, as a sentence has them."""
        numbers = (f"{x:+.3f}".replace("-", "−") for x in (self.value, self.low, self.high))
        value, low, high = numbers
        return f"{value}, 95 % interval {low} to {high}"


@dataclass(frozen=True)
class Advice:
    """What cross-validation inside the training spots says; from :func:`weigh`.

    Parameters
    ----------
    spots, genes
        How many there were.
    errors
        Candidate to its mean absolute error.
    differences
        Of every candidate from the default, and of networks with and without synthetic pairs.
    default
        What is used unless something else is clearly better.
    chosen
        What is used.
    """

    spots: int
    genes: int
    errors: Mapping[str, float]
    differences: tuple[Difference, ...]
    default: str
    chosen: str

    def difference(self, method: str, against: str) -> Difference | None:
        """Return a comparison, whichever way round it was made; None where it was not."""
        for row in self.differences:
            if (row.method, row.against) == (method, against):
                return row
            if (row.method, row.against) == (against, method):
                return Difference(method, against, -row.value, -row.high, -row.low)
        return None

    @property
    def best_baseline(self) -> str | None:
        """The baseline of least error, None without one."""
        found = [name for name in self.errors if name in REGISTRY]
        return min(found, key=lambda name: self.errors[name], default=None)

    @property
    def sentence(self) -> str:
        """One sentence with its evidence."""
        parts = (self._predictor(), self._synthetic(), self._baseline())
        said = "; ".join(part for part in parts if part)
        return f"On these {self.spots:,} training spots, each predicted without itself: {said}."

    def _predictor(self) -> str:
        used = f"use {label(self.chosen)} (error {self.errors[self.chosen]:.3f})"
        if self.chosen != self.default:
            found = self.difference(self.chosen, self.default)
            assert found is not None
            return f"{used}, which errs less than {label(self.default)} ({found.text})"
        rivals = [name for name in self.errors if _is_predictor(name) and name != self.default]
        if not rivals:
            return used
        best = min(rivals, key=lambda name: self.errors[name])
        found = self.difference(best, self.default)
        assert found is not None
        if found.outcome == "worse":
            return f"{used}; {label(best)} err more ({found.text})"
        why = "the simplest" if self.default == NO_NETWORK else "the default"
        return f"{used}, {why}: {label(best)} cannot be told apart from it ({found.text})"

    def _synthetic(self) -> str:
        found = next(filter(None, (self.difference(*pair) for pair in _PAIRS)), None)
        if found is None:
            return ""
        whom = "the network" if found.method == NETWORK else "the predictor"
        effect = {
            "better": f"synthetic pairs help {whom}",
            "worse": f"synthetic pairs harm {whom}",
            "undecided": f"with and without synthetic pairs, {whom} cannot be told apart",
        }[found.outcome]
        tried = [name for name in self.errors if name.startswith(_RATIO)]
        if not tried:
            return f"{effect} ({found.text})"
        each = ", ".join(f"{self.errors[name]:.3f} with {ratio_of(name)}" for name in tried)
        return f"{effect} ({found.text}; error {self.errors[TWIN]:.3f} without, {each} a spot)"

    def _baseline(self) -> str:
        name = self.best_baseline
        found = None if name is None else self.difference(name, self.chosen)
        if name is None or found is None:
            return ""
        effect = {
            "better": "errs less: prefer it",
            "worse": "errs more",
            "undecided": "cannot be told apart",
        }[found.outcome]
        return f"the best simple baseline, {label(name)}, {effect} ({found.text})"

    def save(self, path: Path) -> None:
        """Write the advice as JSON, with its sentence."""
        write_json(
            path,
            {
                "format": FORMAT,
                "kind": "advice",
                "sentence": self.sentence,
                "limits": LIMITS,
                **asdict(self),
                "differences": [asdict(d) | {"outcome": d.outcome} for d in self.differences],
            },
        )

    @classmethod
    def load(cls, path: Path) -> Advice:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If it is missing, damaged or of another format.
        """
        fields = ("spots", "genes", "errors", "differences", "default", "chosen")
        value: dict[str, Any] = read_json(path, required=("format", *fields))
        if value["format"] != FORMAT:
            raise InputError(path, "unknown format", found=value["format"], expected=FORMAT)
        try:
            rows = tuple(
                Difference(*(row[key] for key in ("method", "against", "value", "low", "high")))
                for row in value["differences"]
            )
        except (KeyError, TypeError) as error:
            raise InputError(path, f"holds no differences ({error!r})") from error
        return cls(**{name: value[name] for name in fields} | {"differences": rows})


def label(name: str) -> str:
    """Return what a candidate is called in a sentence."""
    if name in REGISTRY:
        title = REGISTRY[name].title
        return title[:1].lower() + title[1:]
    if name.startswith(_RATIO):
        return f"place, image features and a network with {ratio_of(name)} synthetic pairs a spot"
    return _LABELS.get(name, name.replace("_", " "))


def at_ratio(ratio: int) -> str:
    """Name the predictor with ``ratio`` synthetic pairs for each real one."""
    return f"{_RATIO}{ratio}"


def _is_predictor(name: str) -> bool:
    """Whether a candidate is a whole predictor: no baseline, and no network alone."""
    return name in (NO_NETWORK, TWIN, COTRAINED) or name.startswith(_RATIO)


def ratio_of(name: str) -> int:
    """Return the ratio of a name that :func:`at_ratio` gave."""
    return int(name.removeprefix(_RATIO))


def weigh(
    observed: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    xy: np.ndarray,
    *,
    default: str,
    choices: Iterable[str],
    seed: int = 0,
) -> Advice:
    """Compare candidates on the training spots.

    Parameters
    ----------
    observed
        Training expression (n, G).
    predicted
        Candidate to its predictions (n, G), each of a spot that it has not seen.
    xy
        Places (n, 2): whole blocks of neighbours are resampled, since they err alike.
    default
        The candidate that is used unless another is clearly better: the simplest.
    choices
        Candidates that may be used in its place.
    seed
        Of the bootstrap.

    Returns
    -------
    Advice
        It departs from the default where the 95 % interval of the difference lies below zero, and
        then takes the candidate of least error: those with a network are all equally complex.
    """
    errors = {name: np.abs(x - observed).mean(axis=1) for name, x in predicted.items()}
    sampler = SpatialBlocks.of(xy, RESAMPLES, seed)
    pairs = [(name, default) for name in errors if name != default]
    pairs += [pair for pair in _PAIRS if set(pair) <= set(errors) and pair[1] != default]
    baselines = [name for name in errors if name in REGISTRY]
    found = {pair: _difference(*pair, errors, sampler) for pair in dict.fromkeys(pairs)}
    better = [
        name
        for name in choices
        if (name, default) in found and found[name, default].outcome == "better"
    ]
    chosen = min(better, key=lambda name: float(errors[name].mean()), default=default)
    if chosen != default:
        found |= {(name, chosen): _difference(name, chosen, errors, sampler) for name in baselines}
    means = {name: float(error.mean()) for name, error in errors.items()}
    spots, genes = observed.shape
    return Advice(spots, genes, means, tuple(found.values()), default, chosen)


def _difference(
    method: str, against: str, errors: Mapping[str, np.ndarray], sampler: SpatialBlocks
) -> Difference:
    from scipy.stats import t

    each = errors[method] - errors[against]
    blocks = len(sampler.members)
    # Of few blocks a bootstrap is too sure: Student's quantile, and the variance of a sample.
    reach = t.ppf(0.975, blocks - 1) * np.sqrt(blocks / (blocks - 1))
    half = float(reach * sampler.mean(each).std())
    value = float(each.mean())
    return Difference(method, against, value, value - half, value + half)
