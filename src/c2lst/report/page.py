"""Write the report: one HTML page, no external request, the same bytes from the same run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.storage import whole_file

FILE_NAME = "report.html"
LARGEST_MB = 15


def write_report(run: Path, output: Path | None = None) -> Path:
    """Write a run's report as one self-contained HTML page.

    Parameters
    ----------
    run
        A run's folder, evaluated at least.
    output
        Where to write; ``run/report.html`` by default.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is no run, a file is damaged, or a stage that the page needs is not complete.
    """
    artefacts = read_artefacts(Path(run))
    target = Path(output) if output is not None else artefacts.run / FILE_NAME
    if target.is_dir():
        raise InputError(target, "is a folder", expected="a file name such as report.html")
    page = render(artefacts)
    megabytes = len(page.encode("utf-8")) / 1e6
    if megabytes > LARGEST_MB:
        logger.warning("the report is large: %.0f MB", megabytes)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def render(artefacts: RunArtefacts) -> str:
    """Return the page as text."""
    return fill("report.html.j2", content(artefacts))


def fill(template: str, content: Mapping[str, Any]) -> str:
    """Fill a template of this package; a name that is missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("c2lst.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content)


def content(artefacts: RunArtefacts) -> dict[str, Any]:
    """Gather everything that the template shows."""
    from c2lst.report import (
        clusters,
        explorer,
        gene_maps,
        limits,
        origin,
        pictures,
        privacy,
        tables,
        verdict,
    )
    from c2lst.report.choices import GeneChoice, choose_genes
    from c2lst.report.wording import EXPRESSION_UNIT

    choices = choose_genes(
        artefacts.gene_scores, artefacts.genes, artefacts.observed, artefacts.centres
    )
    # One of each kind stands as a picture, for paper and for readers without scripts.
    still: dict[str, GeneChoice] = {}
    for choice in choices:
        still.setdefault(choice.reason, choice)
    return {
        "name": artefacts.name,
        "unit": EXPRESSION_UNIT,
        "judgement": verdict.judge(artefacts),
        "advice": artefacts.advice.sentence if artefacts.advice else "",
        "judged_as": artefacts.judged_as,
        "left_out": artefacts.left_out,
        "central": verdict.central_sentence(artefacts),
        "cards": tables.cards(artefacts),
        "warnings": limits.warnings(artefacts),
        "notes": [str(note) for note in artefacts.manifest.get("notes") or ()],
        "slide": pictures.slide_panel(artefacts),
        "patches": pictures.patch_panel(artefacts),
        "clusters": clusters.cluster_views(artefacts),
        "genes": gene_maps.gene_panels(artefacts, list(still.values())),
        "explorer": explorer.gene_explorer(artefacts, choices),
        "methods": tables.method_table(artefacts),
        "coverage": tables.coverage_rows(artefacts),
        "scatters": pictures.scatters(artefacts),
        "other_columns": artefacts.other_columns,
        "privacy": privacy.privacy_panel(artefacts),
        "privacy_axis": privacy.AXIS,
        "stages": origin.stage_rows(artefacts),
        "provenance": origin.provenance(artefacts),
        "files": origin.file_rows(artefacts),
        "limits": limits.limits(artefacts),
        "run": artefacts.folder,
    }
