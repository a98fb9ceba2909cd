"""Write docs/evidence.md: every sentence and number is computed from what the parts left."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evidence_pairs import pairs_lines
from evidence_parts import part_lines
from evidence_tables import grid, shown, standing_grid
from evidence_words import Evidence, findings

from c2lst.central.hub import model_folder
from c2lst.storage import read_json, whole_file
from c2lst.study.page import write_study_page
from c2lst.study.record import is_study, read_record, shared_seconds
from c2lst.study.regimes import standings
from c2lst.study.results import (
    BLOCK_TABLE,
    COMPARISON_TABLE,
    finished_cells,
    read_means,
    read_table,
)
from c2lst.study.tables import (
    SCORE_NAMES,
    difference_table,
    ratio_tables,
    score_lines,
    standing_table,
)

PICTURES = {
    "fractions": (
        "Error by fraction, and what synthetic pairs change",
        "The share of the train median's error that each method removes, means over seeds with "
        "95 % intervals; where networks were trained, also the paired change of error by each "
        "ratio and control against real pairs alone at equal steps.",
    ),
    "regimes": (
        "Which method, where",
        "Rows: thirds of each section's genes by Moran's I of the observed expression. The wide "
        "stripe of a tile is the method of least error; further stripes are tied with it.",
    ),
    "genes": (
        "Gene by gene",
        "A dot is a gene: mean absolute error on held-out spots, mean over seeds. Below the line "
        "is better.",
    ),
}
MAPS = (
    "Observed and predicted expression of three genes, chosen by Moran's I of the observed alone: "
    "the two strongest and one in the middle. Ringed spots are sequenced; error is predicted less "
    "observed, red is too high."
)


KEPT = (
    "What they computed is kept in `benchmarks/results`. From there the page is written again in a "
    "minute, without data, and gone on from by any of them with `--results benchmarks/results`:"
)
REWRITE = "python benchmarks/evidence.py -o OUT --results benchmarks/results --parts"


def write_evidence(
    output: Path,
    docs: Path,
    commands: Sequence[str],
    central: Path | None,
    *,
    kept: bool = False,
) -> Path:
    """Write ``evidence.md`` and its figures from what is done.

    Parameters
    ----------
    output
        Folder of the evidence: the study in ``study``, and what the other parts have printed.
    docs
        Folder of the pages; figures go to ``evidence`` in it.
    commands
        How to repeat it.
    central
        Folder or name of the central model, whose card says what it has seen; None where each
        split has its own.
    kept
        Whether the results are in the repository, as the page then says.
    """
    study, pictures = output / "study", docs / "evidence"
    lines = [
        "# Evidence", "",
        "No number or sentence of this page is written by hand: it is written by", "",
        *fenced("\n".join(commands)),
        *([KEPT, "", *fenced(REWRITE)] if kept else []),
    ]  # fmt: skip
    if is_study(study):
        write_study_page(study)
        shutil.rmtree(pictures, ignore_errors=True)
        shutil.copytree(study / "figures", pictures)
        lines += study_lines(study, central, sorted(pictures.glob("*.png")))
    lines += part_lines(output)
    with whole_file(docs / "evidence.md") as partial:
        partial.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return docs / "evidence.md"


def study_lines(study: Path, central: Path | None, pictures: Sequence[Path]) -> Iterator[str]:
    """Yield what a study shows, line by line."""
    record, means = read_record(study), read_means(study)
    comparisons = read_table(study, COMPARISON_TABLE)
    standing = standings(read_table(study, BLOCK_TABLE))
    asked = sum(len(of_split) for of_split in record["cells"].values())
    undone = asked - len(finished_cells(study))
    for heading, sentences in findings(Evidence(undone, means, standing)):
        yield from (f"## {heading}", "")
        yield from (f"- {sentence}" for sentence in sentences)
        yield ""
    yield from pairs_lines(read_table(study), comparisons)
    yield from _standings(standing_table(standing))
    for table in ratio_tables(means, comparisons):
        yield from _ratios(table)
    yield from _scores(score_lines(means))
    yield from _differences(difference_table(comparisons))
    yield from _figures(pictures)
    yield from _made(study, record, central)


def fenced(text: str) -> list[str]:
    """Return a block of code."""
    return ["```bash", text, "```", ""]


def _standings(table: dict[str, Any]) -> Iterator[str]:
    yield from ("## Where c2lst is best, tied or behind", "")
    yield (
        "Against every baseline, by the 95 % interval of the paired difference in mean absolute "
        "error over seeds and spatial blocks; in brackets the baselines "
        "that decide it and that difference, negative where c2lst errs less."
    )
    yield ""
    yield from standing_grid(table)


def _ratios(table: dict[str, Any]) -> Iterator[str]:
    yield from (f"## Error by ratio: {table['name']}", "")
    yield (
        "Mean absolute error, means over seeds with 95 % intervals over them; every arm takes the "
        "same number of optimiser steps. Drop: of the largest ratio below real only, with its "
        "interval over seeds and blocks; beside it the least and the largest drop of the paper's "
        "slides at that fraction and ratio, where it has them, at fixed epochs."
    )
    yield ""
    heads = ["section", "spots", "steps", "drop, %", "paper's drop, %", *table["arms"]]
    rows = (
        [
            *(line["place"], line["fraction"], str(line["steps"])),
            *(shown(line["drop"]), line["paper"], *map(shown, line["errors"])),
        ]
        for line in table["lines"]
    )
    yield from grid(heads, rows)


def _scores(places: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield from ("## Scores, with the noise floor", "")
    yield (
        "Means over seeds with 95 % intervals over them. The noise floor is the error that "
        "counting leaves to the best possible prediction (count splitting); explained: the share "
        "of what lies between the train median and that floor. See [what is measured](metrics.md)."
    )
    yield ""
    heads = ["section", "spots", "noise floor", "method", *SCORE_NAMES]
    rows = (
        [
            *(place["place"], place["fraction"], place["floor"][0]),
            f"**{method['title']}**" if method["least"] else method["title"],
            *map(shown, method["scores"]),
        ]
        for place in places
        for method in place["methods"]
    )
    yield from grid(heads, rows)


def _differences(table: dict[str, Any]) -> Iterator[str]:
    yield from ("## Paired differences from every baseline", "")
    yield "In mean absolute error, with 95 % intervals over seeds and blocks; bold: 0 is left out."
    yield ""
    rows = (
        [
            *(line["place"], line["fraction"], line["method"]),
            *(_difference(difference) for difference in line["differences"]),
        ]
        for line in table["lines"]
    )
    yield from grid(["section", "spots", "method", *table["baselines"]], rows)


def _difference(difference: dict[str, Any]) -> str:
    value = f"**{difference['value']}**" if difference["sign"] else difference["value"]
    return shown((value, difference["interval"]))


def _figures(pictures: Sequence[Path]) -> Iterator[str]:
    known = {picture.stem: f"evidence/{picture.name}" for picture in pictures}
    for name, (heading, words) in PICTURES.items():
        if name in known:
            yield from (f"## {heading}", "", f"![{heading}. {words}]({known[name]})", "", words, "")
    maps = [name for name in known if name.startswith("maps-")]
    if maps:
        yield from ("## Maps", "", MAPS, "")
    for name in maps:
        yield from (f"![Maps of {name.removeprefix('maps-')}. {MAPS}]({known[name]})", "")


def _made(study: Path, record: dict[str, Any], central: Path | None) -> Iterator[str]:
    """Say what it was made on, with and from."""
    from c2lst.report.wording import duration

    cells = [read_json(cell / "cell.json") for cell in finished_cells(study)]
    asked = sum(len(of_split) for of_split in record["cells"].values())
    shared = sum(shared_seconds(study, record).values())
    machine, grid_ = record["machine"], record["request"]["grid"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    yield from ("## How it was made", "")
    facts = {
        "Sections": ", ".join(record["sections"].values()),
        "Splits": f"seeds 0 to {grid_['seeds'] - 1}; {', '.join(grid_['schemes'])} spots; "
        + ", ".join(f"{fraction:.0%}" for fraction in grid_["fractions"]),
        "Central model": _about(record, central),
        "Cells": f"{len(cells)} of {asked} done, {len(record['failed'])} failed",
        "Processor time, about": f"{duration(sum(cell['seconds'] for cell in cells))} in cells, "
        f"{duration(shared)} in what they share",
        "Machine": f"{machine['cores']} cores, {machine['device']}; {machine['system']}",
        "Versions": f"c2lst {', '.join(sorted({cell['c2lst'] for cell in cells}))}; "
        f"Python {machine['python']}; {packages}",
        "Intervals": "95 %, Student's t; over seeds for means, over seeds and spatial blocks at "
        "once for paired differences",
    }
    yield from grid(["", ""], facts.items())
    yield (
        "Splits of one section share spots, and sections of one patient or laboratory are alike: "
        "intervals are too narrow for another slide. Many comparisons are made here: one in twenty "
        "intervals misses 0 by chance."
    )
    yield ""


def _about(record: dict[str, Any], central: Path | None) -> str:
    if central is None:
        return "pretrained for each split on its section's tissue outside its test spots"
    card = read_json(model_folder(central, "a central model") / "central.json")
    patches = card.get("provenance", {}).get("patches", {})
    seen = (
        f"; seen: {patches['source']}" if isinstance(patches, dict) and "source" in patches else ""
    )
    return f"hash `{record['request']['central_hash']}`, {card['size']} px{seen}"
