"""Does it follow its genes: what is read back, and the look of expression clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from c2lst.evaluation.reader import Reader
from c2lst.workflow.generator.evidence import HELD_OUT, TRAINING, Evidence
from c2lst.workflow.generator.part import Part, named

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.simulate import SimulatedTruth

GENES, PROGRAMMES, COMPOSITION = "genes", "gene programmes", "cell composition"
CLUSTERS = "expression clusters"
_SAME_LIBRARY = 0.1


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
            row |= named(arm, agreements[k].estimate, agreements[k].low, agreements[k].high)
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
