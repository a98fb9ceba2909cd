"""Nuclei of synthetic and real patches: how many, how large, in which classes (paper Table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.cells import (
    NuclearClasses,
    Nuclei,
    divergence,
    shares,
)
from c2lst.evaluation.conditioning import ARMS, REAL, SYNTHETIC
from c2lst.evaluation.distribution import Estimate, mean_estimate
from c2lst.workflow.generator.evidence import HELD_OUT, TRAINING, Evidence
from c2lst.workflow.generator.part import Part, named

if TYPE_CHECKING:
    from pandas import DataFrame

NUCLEI, CLASSES = "nuclei", "nuclear classes"
DIVERGENCE = "divergence"
MEASURES = {
    "nuclei_per_mm2": "per mm²",
    "nuclei": "per patch",
    "nuclear_area": "area, µm²",
    "eccentricity": "eccentricity",
    "nuclear_share": "share of the area",
}


def count_nuclei(evidence: Evidence) -> dict[str, Nuclei]:
    """Find the nuclei of all patches."""
    return {key: evidence.nuclei.nuclei(key) for key in evidence.images}


def nuclei(evidence: Evidence, found: dict[str, Nuclei]) -> Part:
    """Compare count, size and shape; ``real`` are the real patches of the same spots."""
    import pandas as pd

    rows = []
    for measure, name in MEASURES.items():
        row: dict[str, float | str] = {"name": name}
        for arm, key, spots in _arms(evidence):
            values = found[key].per_patch()[measure]
            each = mean_estimate(values, spots, seed=evidence.seed)
            row |= named(arm, each.value, each.low, each.high)
        rows.append(row)
    table = pd.DataFrame(rows)
    count, area = table.iloc[0], table.iloc[2]
    verdict = (
        f"synthetic patches show {count['estimate']:,.0f} nuclei per mm² ({count['low']:,.0f} to "
        f"{count['high']:,.0f}) of {area['estimate']:.0f} µm², real ones of the same spots "
        f"{count[REAL]:,.0f} ({count['real_low']:,.0f} to {count['real_high']:,.0f}) of "
        f"{area[REAL]:.0f} µm², found by {evidence.nuclei.label}"
    )
    return Part(NUCLEI, evidence.nuclei.label, table, verdict)


def nuclear_classes(evidence: Evidence, found: dict[str, Nuclei]) -> Part:
    """Compare the shares of classes of nuclei, and their divergence from held-out patches."""
    import pandas as pd

    classes, seed = NuclearClasses.fit(found[HELD_OUT]), evidence.seed
    counts = {key: classes.counts(each) for key, each in found.items()}
    apart: dict[str, Estimate] = {}
    rows: list[dict[str, float | str]] = [{"name": DIVERGENCE}]
    rows += [{"name": name} for name in classes.names]
    for arm, key, spots in _arms(evidence):
        both = (spots, None)
        apart[arm] = divergence(counts[key], counts[HELD_OUT], groups=both, seed=seed)
        estimates = [apart[arm], *shares(counts[key], spots, seed=seed)]
        for row, each in zip(rows, estimates, strict=True):
            row |= named(arm, each.value, each.low, each.high)
    mine, floor = apart[SYNTHETIC], apart[REAL]
    verdict = (
        f"shares of {len(classes.names)} classes of nuclei lie {mine.value:.3f} bit "
        f"({mine.low:.3f} to {mine.high:.3f}) from held-out real patches, other real ones "
        f"{floor.value:.3f} ({floor.low:.3f} to {floor.high:.3f}), found by {evidence.nuclei.label}"
    )
    return Part(CLASSES, evidence.nuclei.label, pd.DataFrame(rows), verdict)


def nuclei_table(evidence: Evidence, found: dict[str, Nuclei]) -> DataFrame:
    """One row a patch: which set, which spot, and the measures of its nuclei."""
    import pandas as pd

    barcodes = {TRAINING: evidence.training.barcodes, HELD_OUT: evidence.held_out.barcodes}
    synthetic = evidence.training.barcodes[evidence.rows]
    tables = []
    for key, each in found.items():
        table = pd.DataFrame(each.per_patch())
        table.insert(0, "patches", key)
        table.insert(1, "barcode", barcodes.get(key, synthetic))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _arms(evidence: Evidence) -> list[tuple[str, str, np.ndarray]]:
    """Each arm, the key of its patches, and the spot of each."""
    spots = np.arange(len(evidence.training))
    return [*((arm, arm, evidence.rows) for arm in ARMS), (REAL, TRAINING, spots)]
