"""The part of a predictions file that is judged: the held-out spots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.expression.names import (
    BASELINE_PREFIX,
    COUNTS,
    DEFAULT_METHOD,
    HELD_OUT,
    LEFT_OUT,
    LIBRARY_SIZE,
    LOWER,
    OBSERVED,
    PREDICTED,
    UPPER,
)

if TYPE_CHECKING:
    from anndata import AnnData

LEVEL = 0.9
"""Level of the intervals, where the file does not say."""

TARGET_SUM = 1e4


@dataclass(frozen=True)
class HeldOut:
    """Held-out spots, as dense float64 arrays (t, G) in log1p of normalised counts.

    A file in which every spot was learnt from has none. Where it says so itself, and every layer
    predicts each spot without its fold (``uns["c2lst"]["judged"]``), those are judged.

    Parameters
    ----------
    genes
        Shape (G,).
    xy, train_xy
        Shapes (t, 2) and (n, 2): centres of held-out and of training spots, in px.
    pitch
        Distance of neighbouring spots of the array, in the same px.
    observed
        What was measured.
    methods
        Method to its prediction, the default predictor first.
    baselines
        Which of them are baselines.
    lower, upper
        Interval of the default predictor; None where the file has none.
    level
        Share of values that the interval is meant to hold.
    scale
        Shape (t,): target sum / library size; None where library sizes are not known.
    judged
        ``HELD_OUT`` or ``LEFT_OUT``.
    """

    genes: np.ndarray
    xy: np.ndarray
    train_xy: np.ndarray
    pitch: float
    observed: np.ndarray
    methods: Mapping[str, np.ndarray]
    baselines: tuple[str, ...]
    lower: np.ndarray | None
    upper: np.ndarray | None
    level: float
    scale: np.ndarray | None
    judged: str = HELD_OUT

    @classmethod
    def of(cls, predictions: AnnData) -> HeldOut:
        """Take the spots of split ``test`` out of ``predictions``.

        Raises
        ------
        InputError
            If there is none, a layer is missing, or a value is not finite or no number.
        """
        from c2lst.data.lattice import nearest_px, pitch_in_px

        _check_parts(predictions)
        split = predictions.obs["split"].astype(str).to_numpy()
        facts = _facts(predictions)
        judged = HELD_OUT if "test" in split else str(facts.get("judged", HELD_OUT))
        test = split == ("train" if judged == LEFT_OUT else "test")
        if not test.any():
            raise InputError(
                "predictions",
                "no held-out spot",
                found=", ".join(sorted(set(split))),
                expected="spots with split 'test'",
            )
        layers = {
            name: _dense(predictions, name, test) for name in predictions.layers if name != COUNTS
        }
        observed = layers.pop(OBSERVED)
        lower, upper = layers.pop(LOWER, None), layers.pop(UPPER, None)
        names = {name: name.removeprefix(BASELINE_PREFIX) for name in layers}
        names[PREDICTED] = DEFAULT_METHOD
        order = sorted(layers, key=lambda name: (name != PREDICTED, name))
        xy = _centres(predictions)
        return cls(
            genes=predictions.var_names.to_numpy().astype(str),
            xy=xy[test],
            # Left out or not, a training spot is no distance away from itself: it has none.
            train_xy=xy[:0] if judged == LEFT_OUT else xy[split == "train"],
            pitch=pitch_in_px(predictions, xy) or nearest_px(xy),
            observed=observed,
            methods={names[name]: layers[name] for name in order},
            baselines=tuple(names[n] for n in order if n.startswith(BASELINE_PREFIX)),
            lower=lower,
            upper=upper,
            level=_number(facts, "interval", LEVEL, "above 0 and below 1", most=1),
            scale=_scale(
                predictions, test, _number(facts, "target_sum", TARGET_SUM, "counts above 0")
            ),
            judged=judged,
        )

    @property
    def inside(self) -> np.ndarray | None:
        """Which observed values lie in their interval, bool (t, G); None without intervals."""
        if self.lower is None or self.upper is None:
            return None
        return (self.lower <= self.observed) & (self.observed <= self.upper)

    @property
    def width(self) -> np.ndarray | None:
        """Widths of the intervals (t, G); None without intervals."""
        return None if self.lower is None or self.upper is None else self.upper - self.lower

    @property
    def counts(self) -> np.ndarray | None:
        """Observed counts (t, G), from the values and library sizes; None where not known.

        ``expm1(observed) / scale`` is whole up to rounding of the stored values; where it is not,
        the values were made in another way, and their counting noise is not known.
        """
        if self.scale is None:
            return None
        with np.errstate(over="ignore"):  # of raw counts there is no exponential
            counts = np.expm1(self.observed) / self.scale[:, None]
        if not np.isfinite(counts).all():
            return None
        whole = np.rint(counts)
        if (np.abs(counts - whole) > 0.01 + 1e-5 * whole).any():
            return None
        return whole


def _check_parts(predictions: AnnData) -> None:
    for place, key in (
        ("obs", "split"),
        ("obsm", "spatial"),
        ("layers", OBSERVED),
        ("layers", PREDICTED),
    ):
        if key not in getattr(predictions, place):
            raise InputError("predictions", f"{place}[{key!r}] is missing")
    if not predictions.n_vars:
        raise InputError("predictions", "hold no gene")


def _facts(predictions: AnnData) -> Mapping[str, Any]:
    facts = predictions.uns.get("c2lst", {})
    if not isinstance(facts, Mapping):
        raise InputError("predictions", "uns['c2lst'] is no mapping", found=type(facts).__name__)
    return facts


def _number(
    facts: Mapping[str, Any], key: str, default: float, expected: str, *, most: float = np.inf
) -> float:
    """Read a number above 0 and below ``most``."""
    try:
        number = float(facts.get(key, default))
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < most:
        raise InputError(
            "predictions", f"uns['c2lst'][{key!r}]", found=facts[key], expected=expected
        )
    return number


def _centres(predictions: AnnData) -> np.ndarray:
    """Centres of all spots in px, float64 (n, 2)."""
    centres = np.asarray(predictions.obsm["spatial"])
    finite = np.issubdtype(centres.dtype, np.number) and np.isfinite(centres).all()
    if centres.ndim != 2 or centres.shape[1] != 2 or not finite:
        raise InputError(
            "predictions",
            "obsm['spatial'] are no centres of spots",
            found=f"{centres.dtype} of shape {centres.shape}" + " with NaN" * (not finite),
            expected="finite numbers (n, 2), in px",
        )
    return centres.astype(np.float64)


def _dense(predictions: AnnData, name: str, test: np.ndarray) -> np.ndarray:
    layer = predictions.layers[name][test]
    dense = np.asarray(layer.toarray() if hasattr(layer, "toarray") else layer, dtype=np.float64)
    bad = ~np.isfinite(dense)
    if bad.any():
        raise InputError(
            "predictions",
            f"layer {name!r} has values that are not finite on held-out spots",
            found=int(bad.sum()),
            remedy="hold out only spots with counts",
        )
    return dense


def _scale(predictions: AnnData, test: np.ndarray, target_sum: float) -> np.ndarray | None:
    if LIBRARY_SIZE not in predictions.obs:
        return None
    import pandas as pd

    column = pd.to_numeric(predictions.obs[LIBRARY_SIZE], errors="coerce")
    library = column.to_numpy(dtype=np.float64)[test]
    bad = ~(np.isfinite(library) & (library > 0))
    if bad.any():
        raise InputError(
            "predictions",
            f"obs[{LIBRARY_SIZE!r}] is not above 0 on every held-out spot",
            found=predictions.obs[LIBRARY_SIZE].to_numpy()[test][bad][0],
            expected="counts over all genes",
        )
    return target_sum / library
