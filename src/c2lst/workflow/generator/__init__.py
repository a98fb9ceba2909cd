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
from c2lst.evaluation.correspondence import expression_clusters
from c2lst.storage import whole_file, write_json
from c2lst.workflow.generator.brief import judge_pairs
from c2lst.workflow.generator.distances import distribution, likeness
from c2lst.workflow.generator.evidence import TRAINING, Evidence, GeneratorSettings, gather
from c2lst.workflow.generator.part import Part
from c2lst.workflow.generator.parts import composition, correspondence, round_trip
from c2lst.workflow.generator.pictures import MISSING_CSV, MISSING_PNG, draw_all
from c2lst.workflow.generator.tissue import count_nuclei, nuclear_classes, nuclei, nuclei_table

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from c2lst.data.section import Section
    from c2lst.data.simulate import SimulatedTruth
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel

__all__ = ["GeneratorSettings", "Part", "evaluate_generator", "judge_pairs"]

FORMAT = 2
GENERATOR_JSON, GENERATOR_CSV = "generator.json", "generator.csv"
NUCLEI_CSV = "nuclei.csv"
_FEW = 12
_PROFILES, _TRIALS = 8, 3


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
    cache: Path | None = None,
) -> list[Part]:
    """Judge an adapter, and write what came of it.

    Parameters
    ----------
    local
        Adapter and central model.
    section, split
        Those that the adapter was trained on.
    output
        Folder of tables and figures (docs/generators.md). The pictures show real patches: they
        are for where the data may be kept.
    settings
        How.
    held_out
        Another section of the same tissue, to train the reader on; by default the test spots of
        ``section``. Either serves this evaluation alone.
    truth
        Of a simulated section, for its cell composition.
    directory
        Where drawn patches are kept, so that an interrupted evaluation continues.
    cache
        Where features are kept, as in :func:`~c2lst.evaluation.encoders.get_encoder`.

    Returns
    -------
    list of Part
        All that was judged, in the order of the table.

    Raises
    ------
    InputError
        If an input does not belong to the adapter, or there are too few spots.
    """
    evidence = gather(
        local, section, split, settings, held_out=held_out, directory=directory, cache=cache
    )
    followed = [each for look in evidence.looks for each in round_trip(evidence, look)]
    if truth is not None:
        followed += [composition(evidence, truth, look) for look in evidence.looks]
    clusters = expression_clusters(evidence.scaled, seed=evidence.seed)
    parts = [Part(each.what, each.by, each.table, each.verdict) for each in followed]
    parts += [correspondence(evidence, clusters, look) for look in evidence.looks]
    parts += [distribution(evidence), likeness(evidence)]
    found = count_nuclei(evidence)
    parts += [nuclei(evidence, found), nuclear_classes(evidence, found)]
    _write(output, parts, evidence, settings, local)
    _write_table(output / NUCLEI_CSV, nuclei_table(evidence, found))
    draw_all(output, evidence, clusters, followed, umap=settings.umap)
    if settings.drop_genes:
        _leave_out_genes(output, local, evidence, settings, directory)
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
    _write_table(output / GENERATOR_CSV, pd.concat(tables, ignore_index=True))
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
            "nuclei": evidence.nuclei.label,
            "parts": [
                {
                    "part": part.name,
                    "by": part.by,
                    "verdict": part.verdict,
                    "rows": [_plain(row) for _, row in part.table.head(_FEW).iterrows()],
                }
                for part in parts
            ],
        },
    )


def _plain(row: Series) -> dict[str, Any]:
    """Return a row of a table as JSON values."""
    values = {str(key): value for key, value in row.items()}
    return {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in values.items()}


def _write_table(path: Path, table: DataFrame) -> None:
    with whole_file(path) as written:
        table.to_csv(written, index=False, float_format="%.5g")


def _leave_out_genes(
    output: Path,
    local: LocalModel,
    evidence: Evidence,
    settings: GeneratorSettings,
    directory: Path | None,
) -> None:
    """Draw a few spots with more and more genes missing (paper Figure 12)."""
    import pandas as pd

    from c2lst.local import SynthesisSettings
    from c2lst.local.figures import draw_missing
    from c2lst.local.missing import drop_genes

    rng = np.random.default_rng((settings.seed, 24))
    spots = np.sort(rng.permutation(len(evidence.training))[:_PROFILES])
    found = drop_genes(
        local,
        evidence.scaled[spots],
        evidence.images[TRAINING],
        SynthesisSettings(guidance=settings.guidance, sampler=settings.sampler, seed=settings.seed),
        number=min(settings.drop_genes, len(evidence.genes)),
        trials=_TRIALS,
        encoder=evidence.encoder,
        directory=None if directory is None else directory / "missing",
    )
    _write_table(output / MISSING_CSV, pd.DataFrame(found.rows()))
    draw_missing(found, evidence.training.barcodes[spots].tolist(), output / MISSING_PNG)
