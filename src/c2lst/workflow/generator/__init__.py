"""Judge a generator: whether it listens to genes, and how far it is from real tissue.

Patches are drawn for the training spots' genes, for other spots' genes and for none, all from the
same noise, and compared with held-out real patches. Each quantity comes from a function on arrays
in :mod:`c2lst.evaluation`; here they get their arrays, and their results one table.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst import __version__
from c2lst.evaluation.conditioning import SYNTHETIC, Followed
from c2lst.evaluation.correspondence import expression_clusters
from c2lst.storage import whole_file, write_json
from c2lst.workflow.generator.evidence import TRAINING, Evidence, GeneratorSettings, gather
from c2lst.workflow.generator.parts import (
    Part,
    composition,
    correspondence,
    distance,
    round_trip,
)

if TYPE_CHECKING:
    from pandas import DataFrame

    from c2lst.data.section import Section
    from c2lst.data.simulate import SimulatedTruth
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel

__all__ = ["GeneratorSettings", "Part", "evaluate_generator"]

FORMAT = 1
GENERATOR_JSON, GENERATOR_CSV = "generator.json", "generator.csv"
CLUSTERS_PNG, ROUND_TRIP_PNG = "clusters.png", "round_trip.png"


def evaluate_generator(
    local: LocalModel,
    section: Section,
    split: SpotSplit,
    output: Path,
    settings: GeneratorSettings,
    *,
    held_out: Section | None = None,
    truth: SimulatedTruth | None = None,
    directory: Path | None = None,
) -> list[Part]:
    """Judge an adapter, and write what came of it.

    Parameters
    ----------
    local
        Adapter and central model.
    section, split
        Those that the adapter was trained on.
    output
        Folder of ``generator.json``, ``generator.csv``, ``clusters.png`` and ``round_trip.png``.
        The pictures show real patches: they are for where the data may be kept.
    settings
        How.
    held_out
        Another section of the same tissue, to train the reader on; by default the test spots of
        ``section``. Either serves this evaluation alone.
    truth
        Of a simulated section, for its cell composition.
    directory
        Where drawn patches are kept, so that an interrupted evaluation continues.

    Returns
    -------
    list of Part
        All that was judged, in the order of the table.

    Raises
    ------
    InputError
        If an input does not belong to the adapter, or there are too few spots.
    """
    evidence = gather(local, section, split, settings, held_out=held_out, directory=directory)
    followed = [each for look in evidence.looks for each in round_trip(evidence, look)]
    if truth is not None:
        followed += [composition(evidence, truth, look) for look in evidence.looks]
    clusters = expression_clusters(evidence.scaled, seed=evidence.seed)
    parts = [Part(each.what, each.by, each.table, each.verdict) for each in followed]
    parts += [correspondence(evidence, clusters, look) for look in evidence.looks]
    parts.append(distance(evidence))
    _write(output, parts, evidence, settings, local)
    _draw(output, evidence, clusters, followed)
    return parts


def _write(
    output: Path,
    parts: list[Part],
    evidence: Evidence,
    settings: GeneratorSettings,
    local: LocalModel,
) -> None:
    import pandas as pd

    tables = []
    for part in parts:
        table = part.table.copy()
        table.insert(0, "part", part.name)
        table.insert(1, "by", part.by)
        tables.append(table)
    with whole_file(output / GENERATOR_CSV) as written:
        pd.concat(tables, ignore_index=True).to_csv(written, index=False, float_format="%.5g")
    write_json(
        output / GENERATOR_JSON,
        {
            "format": FORMAT,
            "kind": "generator_evaluation",
            "c2lst": __version__,
            "adapter_hash": local.hash,
            "section": evidence.training.name,
            "settings": asdict(settings),
            "training_spots": len(evidence.training),
            "patches_of_each_arm": len(evidence.rows),
            "held_out": {
                "section": evidence.held_out.name,
                "spots": len(evidence.held_out),
                "use": "never seen by the generator; trains the readers of this evaluation, and "
                "nothing else",
            },
            "parts": [
                {"part": part.name, "by": part.by, "verdict": part.verdict, **_first(part.table)}
                for part in parts
            ],
        },
    )


def _first(table: DataFrame) -> dict[str, Any]:
    """Return the first row of a table as JSON values."""
    row = {str(key): value for key, value in table.iloc[0].items()}
    return {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in row.items()}


def _draw(output: Path, evidence: Evidence, clusters: np.ndarray, followed: list[Followed]) -> None:
    from c2lst.evaluation.cluster_sheets import cluster_rows, draw_sheet, write_figure
    from c2lst.evaluation.conditioning_figure import draw_round_trip

    rows = cluster_rows(
        clusters,
        evidence.scaled,
        evidence.genes,
        evidence.images[TRAINING],
        evidence.images[SYNTHETIC],
        evidence.rows,
        seed=evidence.seed,
    )
    write_figure(output / CLUSTERS_PNG, draw_sheet(rows, evidence.patch_um))
    write_figure(output / ROUND_TRIP_PNG, draw_round_trip(followed))
