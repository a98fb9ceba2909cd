"""The page of a study: one HTML file, offline, with its figures beside it as PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.storage import whole_file
from c2lst.study.record import is_study, read_record
from c2lst.study.results import BLOCK_TABLE, COMPARISON_TABLE, GENE_TABLE, collect, read_table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

FILE_NAME = "study.html"
FIGURES = "figures"

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
    page = fill("study.html.j2", content(study, record))
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def content(study: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Gather everything that the template shows; write the figures on the way."""
    from c2lst.report.wording import flatten
    from c2lst.study import tables
    from c2lst.study.comparisons import sentences
    from c2lst.study.generators import HEADS, generator_lines
    from c2lst.study.regimes import regimes, standings
    from c2lst.study.results import read_means

    table, blocks = read_table(study), read_table(study, BLOCK_TABLE)
    averaged, comparisons = read_means(study), read_table(study, COMPARISON_TABLE)
    found = regimes(blocks)
    request = record["request"]
    asked = sum(len(cells) for cells in record["cells"].values())
    return {
        "sections": list(record["sections"].values()),
        "seeds": int(table["seed"].nunique()),
        "verdicts": sentences(comparisons, table),
        "standings": tables.standing_table(standings(blocks)),
        "ratio_tables": tables.ratio_tables(averaged, comparisons),
        "score_names": tables.SCORE_NAMES,
        "scores": list(tables.score_lines(averaged)),
        "differences": tables.difference_table(comparisons),
        "generator_heads": HEADS,
        "generators": list(generator_lines(study)),
        "pictures": {
            name: _kept(image, study, name) for name, image in drawn(study, averaged, found)
        },
        "regimes": tables.regime_lines(found),
        "missing": asked - _finished(study),
        "failed": record["failed"],
        "commands": record["commands"],
        "version": record["c2lst"],
        "settings": flatten(request["grid"]) + flatten(request["settings"]),
        "central": request["central"],
        "central_hash": request["central_hash"] or "",
        "mixing": _mixing(request),
        "study": study.name,
    }


def drawn(study: Path, averaged: DataFrame, found: list[Any]) -> Iterator[tuple[str, Image]]:
    """Draw the figures of a study that has tables: name and image, maps one a section."""
    from c2lst.study import figures
    from c2lst.study.results import read_maps

    yield "fractions", figures.fraction_curves(averaged, read_table(study, COMPARISON_TABLE))
    yield "genes", figures.gene_scatters(read_table(study, GENE_TABLE))
    yield "regimes", figures.regime_map(found)
    maps = read_maps(study)
    if len(maps):
        for section, scheme in dict.fromkeys(zip(maps["section"], maps["scheme"], strict=True)):
            yield f"maps-{section}-{scheme}", figures.gene_maps(maps, section, scheme)


def _finished(study: Path) -> int:
    from c2lst.study.results import finished_cells

    return len(finished_cells(study))


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


def _kept(image: Image, study: Path, name: str) -> str:
    """Write a figure as PNG, and return it for the page."""
    from c2lst.report.figures import few_colours, png

    (study / FIGURES).mkdir(exist_ok=True)
    with whole_file(study / FIGURES / f"{name}.png") as partial:
        few_colours(image).save(partial, format="PNG", optimize=True)
    return png(few_colours(image))
