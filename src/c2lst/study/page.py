"""The page of a study: one HTML file, offline, with its figures beside it as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.storage import whole_file
from c2lst.study.comparisons import NETWORK, Regime, largest_arm, regimes, sentences, title
from c2lst.study.grid import TWIN, arm_title
from c2lst.study.record import is_study, read_record
from c2lst.study.results import GENE_TABLE, collect, read_means, read_table

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from PIL.Image import Image

FILE_NAME = "study.html"
FIGURES = "figures"
Cell = tuple[str, str]
"""A number of a table, and its interval."""

_TABLES = {NETWORK: "Networks alone, as in the paper", DEFAULT_METHOD: "c2lst (image + place)"}

__all__ = ["is_study", "write_study_page"]


def write_study_page(study: Path, output: Path | None = None) -> Path:
    """Draw a study from its cells that are done, finished or not.

    Parameters
    ----------
    study
        Folder of the study.
    output
        Where to write; ``study.html`` in it by default. PNGs go to ``figures`` in the study.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    InputError
        If the folder holds no study, or none of its cells is done.
    """
    from c2lst.report.page import fill

    record = read_record(study)
    if not collect(study):
        raise InputError(study, "no cell of the study is done yet", remedy="let c2lst study run")
    target = study / FILE_NAME if output is None else Path(output)
    if target.is_dir():
        raise InputError(target, "is a folder", expected="a file name such as study.html")
    table = read_table(study)
    page = fill("study.html.j2", content(table, read_table(study, GENE_TABLE), record, study))
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def content(
    table: DataFrame, genes: DataFrame, record: dict[str, Any], study: Path
) -> dict[str, Any]:
    """Gather everything that the template shows; write the figures on the way."""
    from c2lst.report.wording import flatten
    from c2lst.study import figures

    averaged, found = read_means(study), regimes(table)
    pictures = {
        "fractions": figures.fraction_curves(averaged),
        "regimes": figures.regime_map(found),
    }
    if largest_arm(table) != TWIN:
        pictures["genes"] = figures.gene_scatters(genes)
    request = record["request"]
    return {
        "sections": list(record["sections"].values()),
        "seeds": int(table["seed"].nunique()),
        "verdicts": sentences(averaged),
        "tables": [
            (name, ratio_table(averaged, method))
            for method, name in (
                (NETWORK, "Networks alone, as in the paper"),
                (DEFAULT_METHOD, "c2lst (image + place)"),
            )
        ],
        "pictures": {name: _kept(image, study, name) for name, image in pictures.items()},
        "regimes": [_regime_row(regime) for regime in found],
        "failed": record["failed"],
        "command": record["command"],
        "version": record["c2lst"],
        "settings": flatten(request["grid"]) + flatten(request["settings"]),
        "central": request["central"],
        "mixing": _mixing(request),
        "study": study.name,
    }


def ratio_table(averaged: DataFrame, method: str) -> dict[str, Any]:
    """Return the paper's Table 2: MAE by fraction and ratio, and the drop at the largest ratio."""
    rows = averaged[averaged["method"] == method]
    shown = rows["arm"].str.startswith("ratio-") | (rows["arm"] == "same-epochs")
    rows = rows[shown].sort_values(["ratio", "arm"])
    arms = list(dict.fromkeys(rows["arm"]))
    places = rows[["section", "scheme", "fraction"]].drop_duplicates()
    places = places.sort_values(["section", "scheme", "fraction"])
    return {
        "arms": [arm_title(arm) for arm in arms],
        "lines": [_ratio_line(rows.merge(places.iloc[[i]]), arms) for i in range(len(places))],
    }


def _ratio_line(rows: DataFrame, arms: list[str]) -> dict[str, Any]:
    """Return a line of the table from the rows of one section, scheme and fraction."""
    from c2lst.report.wording import percent

    by_arm = {str(row["arm"]): row for _, row in rows.iterrows()}
    first, last = rows.iloc[0], rows.iloc[-1]
    return {
        "place": f"{first['section']}, {first['scheme']}",
        "fraction": percent(first["fraction"]),
        "steps": int(first["steps"]),
        "errors": [_cell(by_arm[arm], "mae") if arm in by_arm else _NOTHING for arm in arms],
        "drop": _cell(last, "mae_drop", 1, 100) if last["arm"] == arms[-1] != TWIN else _NOTHING,
    }


_NOTHING = ("–", "")


def _cell(row: Series, name: str, digits: int = 4, factor: float = 1.0) -> Cell:
    """Write a value of a row, ``factor`` times, with its interval; signed where it has a factor."""
    from c2lst.report.wording import number, span

    value, low, high = (factor * float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    signed = factor != 1
    return number(value, digits, signed=signed), span(low, high, digits, signed=signed)


def _mixing(request: dict[str, Any]) -> str:
    """Say what a mini-batch is made of."""
    from c2lst.report.wording import percent

    if request["grid"]["union"]:
        return "Mini-batches hold real and synthetic pairs in their ratio, as in the paper."
    share = percent(request["settings"]["prediction"]["synthetic_share"])
    return (
        f"At every ratio above 0, {share} of a mini-batch are synthetic: a higher ratio means more "
        "different synthetic pairs, not a larger part of them."
    )


def _regime_row(regime: Regime) -> dict[str, str]:
    from c2lst.report.wording import number, percent

    return {
        "place": f"{regime.section}, {regime.scheme}",
        "fraction": percent(regime.fraction),
        "moran": number(regime.moran, 2),
        "best": title(*regime.best),
        "tied": "; ".join(title(*key) for key in regime.tied) or "none",
    }


def _kept(image: Image, study: Path, name: str) -> str:
    """Write a figure as PNG, and return it for the page."""
    from c2lst.report.figures import few_colours, png

    (study / FIGURES).mkdir(exist_ok=True)
    with whole_file(study / FIGURES / f"{name}.png") as partial:
        image.save(partial, format="PNG")
    return png(few_colours(image))
