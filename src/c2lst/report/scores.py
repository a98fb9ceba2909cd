"""The tables of an evaluation, as the report reads them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.evaluation.expression.names import HELD_OUT

_METRIC_COLUMNS = (
    "method",
    "spots",
    "genes",
    "mae",
    "mae_low",
    "mae_high",
    "rmse",
    "pearson",
    "pearson_low",
    "pearson_high",
    "skill",
    "skill_low",
    "skill_high",
)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN stands for what was not given."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class MethodScore:
    """One row of ``metrics.csv``: a method on the spots that were ``judged`` (log1p CP10k).

    ``floor`` is the error that counting noise leaves to the best possible prediction.
    """

    method: str
    spots: int
    genes: int
    mae: Estimate
    rmse: float
    pearson: Estimate
    skill: Estimate
    explained: Estimate = Estimate(math.nan)
    floor: float = math.nan
    judged: str = HELD_OUT


@dataclass(frozen=True)
class Comparison:
    """One row of ``comparisons.csv``: MAE of ``method`` minus MAE of ``against``."""

    method: str
    against: str
    difference: Estimate


@dataclass(frozen=True)
class Coverage:
    """One row of ``coverage.csv``: how many values of a group of spots lie in their interval.

    ``nearest`` and ``farthest`` are distances to the nearest training spot, in pitches.
    """

    group: str
    spots: int
    nearest: float
    farthest: float
    level: float
    share: Estimate
    width: float


@dataclass(frozen=True)
class GeneScore:
    """One row of ``gene_metrics.csv``: a method on one gene."""

    method: str
    gene: str
    mae: float
    pearson: float


def _read_rows(path: Path, required: Iterable[str]) -> tuple[list[dict[str, str]], list[str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        try:
            reader = csv.DictReader(handle, restval="")
            rows = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(path, f"is not a readable CSV table ({error})") from error
    columns = [column for column in reader.fieldnames or [] if column]
    missing = [column for column in required if column not in columns]
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", found=", ".join(columns))
    return rows, columns


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    text = row.get(column, "").strip()
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise InputError(
            path, f"column {column!r} holds no number", found=repr(text), expected="a number"
        ) from error


def _estimate(path: Path, row: Mapping[str, str], column: str) -> Estimate:
    return Estimate(
        _number(path, row, column),
        _number(path, row, f"{column}_low"),
        _number(path, row, f"{column}_high"),
    )


def _count(path: Path, row: Mapping[str, str], column: str) -> int:
    value = _number(path, row, column)
    return int(value) if math.isfinite(value) else 0


def read_scores(path: Path) -> tuple[tuple[MethodScore, ...], tuple[str, ...]]:
    """Read the scores of all methods, and the names of the columns that the report leaves out."""
    rows, columns = _read_rows(path, _METRIC_COLUMNS)
    scores = tuple(
        MethodScore(
            method=row["method"],
            spots=_count(path, row, "spots"),
            genes=_count(path, row, "genes"),
            mae=_estimate(path, row, "mae"),
            rmse=_number(path, row, "rmse"),
            pearson=_estimate(path, row, "pearson"),
            skill=_estimate(path, row, "skill"),
            explained=_estimate(path, row, "explained_share")
            if "explained_share" in columns
            else Estimate(math.nan),
            floor=_number(path, row, "noise_floor"),
            judged=row.get("judged") or HELD_OUT,
        )
        for row in rows
    )
    methods = [score.method for score in scores]
    if DEFAULT_METHOD not in methods:
        raise InputError(
            path,
            "has no row of the default predictor",
            found=", ".join(methods) or "no rows",
            expected=repr(DEFAULT_METHOD),
            remedy="evaluate again",
        )
    if len(set(methods)) < len(methods):
        raise InputError(path, "has two rows of the same method", found=", ".join(methods))
    shown = {*_METRIC_COLUMNS, "judged", "noise_floor", "explained_share"}
    other = (c for c in columns if c not in shown and not c.endswith(("_low", "_high")))
    return scores, tuple(other)


def read_comparisons(path: Path) -> tuple[Comparison, ...]:
    """Read paired comparisons; none where there is no such file."""
    if not path.is_file():
        return ()
    rows, _ = _read_rows(path, ("method", "against", "mae_difference", "low", "high"))
    return tuple(
        Comparison(
            row["method"],
            row["against"],
            Estimate(*(_number(path, row, key) for key in ("mae_difference", "low", "high"))),
        )
        for row in rows
    )


def read_gene_scores(path: Path, panel: set[str]) -> tuple[GeneScore, ...]:
    """Read the scores of genes, all of which have to be of the ``panel``."""
    # A table without a method column speaks of the default predictor alone.
    rows, _ = _read_rows(path, ("gene", "mae", "pearson"))
    unknown = [row["gene"] for row in rows if row["gene"] not in panel]
    if unknown:
        raise InputError(
            path,
            "names a gene that predictions.h5ad lacks",
            found=repr(unknown[0]),
            remedy="evaluate again",
        )
    return tuple(
        GeneScore(
            row.get("method", DEFAULT_METHOD),
            row["gene"],
            _number(path, row, "mae"),
            _number(path, row, "pearson"),
        )
        for row in rows
    )


def read_coverage(path: Path) -> tuple[Coverage, ...]:
    """Read coverage in all and by distance; none where there is no such file."""
    if not path.is_file():
        return ()
    numbers = ("distance_from", "distance_to", "level", "coverage", "width")
    rows, _ = _read_rows(path, ("group", "spots", *numbers))
    return tuple(
        Coverage(
            group=row["group"],
            spots=_count(path, row, "spots"),
            nearest=_number(path, row, "distance_from"),
            farthest=_number(path, row, "distance_to"),
            level=_number(path, row, "level"),
            share=_estimate(path, row, "coverage"),
            width=_number(path, row, "width"),
        )
        for row in rows
    )
