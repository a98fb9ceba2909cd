"""What the numbers of the page cannot tell, and what has to be known before they are read."""

from __future__ import annotations

import math

from c2lst.report.artefacts import RunArtefacts
from c2lst.report.choices import share_with_neighbour
from c2lst.report.origin import stage_rows
from c2lst.report.wording import percent, span


def limits(artefacts: RunArtefacts) -> list[str]:
    """Say what this page cannot tell, with the numbers of this run where they matter."""
    role = artefacts.role
    near = share_with_neighbour(artefacts.centres, role == "test", role == "train")
    found = [
        f"It speaks of section {artefacts.name} alone. Another section, patient, stain or scanner "
        "can behave differently.",
        "Predicted expression is an estimate from histology, place and a few sampled spots. It is "
        "for research, not for diagnosis, and a surprising map needs measurement.",
        "Only the genes of the panel are predicted. A good mean over genes says little of one "
        "gene: look at its own score, and at the worst ones shown here.",
    ]
    if math.isfinite(near):
        found.append(
            f"{percent(near)} of the held-out spots have a sequenced spot as a direct neighbour. "
            "Scores hold for spots that near; tissue farther from any sampled spot is predicted "
            "less well."
        )
    found.extend(_misses(artefacts))
    found.append(
        "95 % intervals come from resampling spatial blocks of one section under one split. They "
        "do not hold the spread over other splits, seeds or slides."
    )
    return found


def _misses(artefacts: RunArtefacts) -> list[str]:
    """Say whether the intervals are shown to be off, or that nothing here can show it."""
    if artefacts.left_out:
        told = (
            "The 90 % intervals were calibrated on these very spots, each left out in turn, so "
            "that nothing here checks them."
        )
        return [told] if artefacts.layer("lower") is not None else []
    row = next((row for row in artefacts.coverage if row.group == "all"), None)
    if row is None or not (row.share.high < row.level or row.share.low > row.level):
        return []
    word = "narrow" if row.share.high < row.level else "wide"
    interval = span(100 * row.share.low, 100 * row.share.high, 1, unit="%")
    return [
        f"The {percent(row.level)} intervals cover {percent(row.share.value, 1)} of the scored "
        f"values (95 % interval {interval}): they are too {word} on this slide."
    ]


def warnings(artefacts: RunArtefacts) -> list[str]:
    """Say what has to be known before the numbers: how they were got, whether they are current."""
    judged = [
        "Every spot was sequenced and learnt from, so no test spots exist. Each spot is predicted "
        "by a refit that left it out; the local model that drew the synthetic pairs, and choices "
        "of genes and stain, have seen it. Numbers on spots that nothing has seen could be worse."
    ]
    stale = [
        f"The stage “{row.label}” is marked “{row.status}”, so numbers on this page may come from "
        "an earlier run."
        for row in stage_rows(artefacts)
        if not row.settled
    ]
    return (judged if artefacts.left_out else []) + stale
