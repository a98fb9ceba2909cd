from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from c2lst.report import tables
from c2lst.report.artefacts import RunArtefacts, read_artefacts


@pytest.fixture(scope="module")
def artefacts(finished_run: Path) -> RunArtefacts:
    return read_artefacts(finished_run)


def test_coverage_counts_held_out_values_only(artefacts: RunArtefacts) -> None:
    predictions = artefacts.predictions.copy()
    test = artefacts.role == "test"
    observed = np.zeros(predictions.shape)
    observed[test, 0] = 5.0
    observed[~test] = 99.0
    predictions.layers["observed"] = observed
    predictions.layers["lower"] = np.full(predictions.shape, -1.0)
    predictions.layers["upper"] = np.full(predictions.shape, 1.0)
    covered = tables.coverage(dataclasses.replace(artefacts, predictions=predictions))
    assert covered == pytest.approx(1 - 1 / predictions.n_vars)


def test_cards_add_up(artefacts: RunArtefacts) -> None:
    cards = {card.label: card for card in tables.cards(artefacts)}
    total = int(cards["Spots sequenced"].value) + int(cards["Spots predicted"].value)
    assert total == artefacts.predictions.n_obs


def test_default_predictor_is_first_and_alone_highlighted(artefacts: RunArtefacts) -> None:
    rows = tables.method_table(artefacts).rows
    assert [row.highlighted for row in rows] == [True] + [False] * (len(rows) - 1)


def test_method_without_correlation_has_no_dot(artefacts: RunArtefacts) -> None:
    rows = {row.label: row for row in tables.method_table(artefacts).rows}
    assert rows["Median of sampled spots"].pearson.centre is None
    assert rows["Median of sampled spots"].mae.centre is not None
