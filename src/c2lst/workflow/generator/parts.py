"""The things that a generator is judged by, each a small function of the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.conditioning import (
    ARMS,
    REAL,
    SHUFFLED,
    SYNTHETIC,
    UNCONDITIONAL,
    Followed,
    follow,
    programmes,
)
from c2lst.evaluation.correspondence import correspond
from c2lst.evaluation.distribution import kernel_distance
from c2lst.evaluation.reader import Reader
from c2lst.workflow.generator.evidence import HELD_OUT, TRAINING, Evidence

if TYPE_CHECKING:
    from pandas import DataFrame

    from c2lst.data.section import Section
    from c2lst.data.simulate import SimulatedTruth

GENES, PROGRAMMES, COMPOSITION = "genes", "gene programmes", "cell composition"
CLUSTERS, DISTANCE = "expression clusters", "kernel distance"
_SAME_LIBRARY = 0.1


@dataclass(frozen=True, eq=False)
class Part:
    """One thing that was judged.

    Parameters
    ----------
    name, by
        What, and what of a patch it was judged by.
    table
        ``name, estimate, low, high``, the same for the controls ``shuffled`` and
        ``unconditional`` and for ``real`` patches, and what else the part has; its first row is
        the one to look at.
    verdict
        One sentence.
    """

    name: str
    by: str
    table: DataFrame
    verdict: str


def round_trip(evidence: Evidence, look: str) -> list[Followed]:
    """Read genes and gene programmes back from synthetic patches."""
    loadings, shares = programmes(evidence.scaled)
    features = evidence.looks[look]
    reader = Reader.fit(features[HELD_OUT], evidence.held_out_scaled)
    read = {arm: reader.predict(features[arm]) for arm in (*ARMS, TRAINING)}
    named = [f"PC{k + 1} ({100 * share:.0f} %)" for k, share in enumerate(shares)]

    def followed(
        what: str, names: Sequence[str], seen_as: Callable[[np.ndarray], np.ndarray]
    ) -> Followed:
        return follow(
            what,
            names,
            {arm: seen_as(read[arm]) for arm in ARMS},
            seen_as(evidence.scaled[evidence.rows]),
            evidence.rows,
            real=(seen_as(read[TRAINING]), seen_as(evidence.scaled)),
            held_out=reader.spots,
            by=look,
            seed=evidence.seed,
        )

    return [
        followed(GENES, evidence.genes, lambda values: values),
        followed(PROGRAMMES, named, lambda values: np.nan_to_num(values) @ loadings),
    ]


def composition(evidence: Evidence, truth: SimulatedTruth, look: str) -> Followed:
    """Read the cell composition, which the simulation knows, back from synthetic patches."""
    # The reader learns what images show; synthetic patches were asked for what the genes come from.
    shown = _shares(evidence.held_out, truth, truth.image_cell_counts)
    wanted = _shares(evidence.training, truth, truth.cell_counts)
    features = evidence.looks[look]
    reader = Reader.fit(features[HELD_OUT], shown)
    return follow(
        COMPOSITION,
        truth.cell_types,
        {arm: reader.predict(features[arm]) for arm in ARMS},
        wanted[evidence.rows],
        evidence.rows,
        real=(reader.predict(features[TRAINING]), wanted),
        held_out=reader.spots,
        by=look,
        seed=evidence.seed,
    )


def correspondence(evidence: Evidence, clusters: np.ndarray, look: str) -> Part:
    """Compare clusters of expression with the look of synthetic patches."""
    import pandas as pd

    features, seed = evidence.looks[look], evidence.seed
    asked = clusters[evidence.rows]
    found = {SYNTHETIC: correspond(asked, features[SYNTHETIC], evidence.rows, seed=seed)}
    without_chance = partial(correspond, permutations=0, seed=seed)
    for arm in (SHUFFLED, UNCONDITIONAL):
        found[arm] = without_chance(asked, features[arm], evidence.rows)
    found[REAL] = without_chance(clusters, features[TRAINING], np.arange(len(clusters)))
    rows = []
    for k, best in enumerate(found[SYNTHETIC]):
        row: dict[str, Any] = {"name": best.measure}
        for arm, agreements in found.items():
            row |= _named(arm, agreements[k].estimate, agreements[k].low, agreements[k].high)
        rows.append(row | {"chance": best.chance, "p": best.p})
    # Accuracy first: the only one that does not depend on a second clustering.
    table = pd.DataFrame(rows[::-1])
    first = table.iloc[0]
    differ = "differ" if first["p"] < 0.05 else "do not measurably differ"
    verdict = (
        f"{clusters.max() + 1} expression clusters {differ} in how their synthetic patches look: "
        f"{first['estimate']:.0%} named rightly ({first['low']:.0%} to {first['high']:.0%}), "
        f"chance {first['chance']:.0%}, real {first[REAL]:.0%}, p = {first['p']:.3f}, "
        f"judged by {look}"
    )
    return Part(CLUSTERS, look, table, verdict)


def distance(evidence: Evidence) -> Part:
    """Measure how far synthetic patches are from held-out real ones, beside the real floor."""
    import pandas as pd

    look, features = next(iter(evidence.looks.items()))
    spots, seed = (evidence.rows.tolist(), None), evidence.seed
    found = {
        arm: kernel_distance(features[arm], features[HELD_OUT], groups=spots, seed=seed)
        for arm in ARMS
    }
    found[REAL] = kernel_distance(features[TRAINING], features[HELD_OUT], seed=seed)
    row: dict[str, Any] = {"name": "to held-out patches"}
    for arm, each in found.items():
        row |= _named(arm, each.value, each.low, each.high)
    verdict = (
        f"synthetic patches lie {found[SYNTHETIC]} from held-out real ones, without genes "
        f"{found[UNCONDITIONAL]}; other real ones {found[REAL]}, judged by {look}"
    )
    return Part(DISTANCE, look, pd.DataFrame([row]), verdict)


def _shares(section: Section, truth: SimulatedTruth, cell_counts: np.ndarray) -> np.ndarray:
    """Return the share of each cell type in each spot of a section, ``(n, K)``."""
    row_of = {str(barcode): row for row, barcode in enumerate(truth.barcodes)}
    rows = [row_of.get(str(barcode), -1) for barcode in section.barcodes]
    # Simulated sections share barcodes; how deeply each spot was sequenced tells them apart.
    unlike = np.abs(np.log(section.library_size / truth.library_size[rows]))
    if min(rows) < 0 or np.median(unlike) > _SAME_LIBRARY:
        raise InputError(
            "truth",
            f"is not of section {section.name!r}",
            remedy="give the truth that was written with the section that the adapter learnt from, "
            "and leave --held-out out",
        )
    counts = cell_counts[rows]
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _named(arm: str, value: float, low: float, high: float) -> dict[str, float]:
    """Return the columns of one arm."""
    prefix = "" if arm == SYNTHETIC else f"{arm}_"
    value_column = "estimate" if arm == SYNTHETIC else arm
    return {value_column: value, f"{prefix}low": low, f"{prefix}high": high}
