from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.report.scores import Comparison, Estimate, MethodScore
from c2lst.report.verdict import best_baseline, central_sentence, contrast, judge

OPENING = {"better": "Yes", "tied": "Not shown", "worse": "No:"}


@pytest.fixture(scope="module")
def artefacts(finished_run: Path) -> RunArtefacts:
    return read_artefacts(finished_run)


def scored(artefacts: RunArtefacts, **maes: Estimate) -> RunArtefacts:
    """Keep two methods, with the errors given: ours and kriging."""
    names = {"ours": DEFAULT_METHOD, "kriging": "kriging"}
    empty = Estimate(math.nan)
    rows = tuple(
        MethodScore(names[key], 100, 10, value, math.nan, empty, empty)
        for key, value in maes.items()
    )
    return dataclasses.replace(artefacts, scores=rows, comparisons=())


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("outcome", ["better", "tied", "worse"])
def test_headline_follows_the_numbers(
    make_run: Callable[..., Path], outcome: str, paired: bool
) -> None:
    verdict = judge(read_artefacts(make_run(outcome=outcome, paired=paired, genes=2)))
    assert verdict.outcome == outcome
    assert verdict.headline.startswith(OPENING[outcome])
    assert "kriging" in verdict.headline
    assert ("paired" in verdict.basis) == paired


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ("better", "helped the image network"),
        ("tied", "made no clear difference to the image network"),
        ("worse", "harmed the image network"),
    ],
)
def test_effect_of_synthetic_pairs_is_said_either_way(
    make_run: Callable[..., Path], effect: str, words: str
) -> None:
    assert words in judge(read_artefacts(make_run(effect=effect, genes=2))).synthetic


def test_effects_that_differ_are_both_said(artefacts: RunArtefacts) -> None:
    changed = tuple(
        dataclasses.replace(row, difference=Estimate(0.03, 0.02, 0.04))
        if (row.method, row.against) == (DEFAULT_METHOD, "predicted_real_only")
        else row
        for row in artefacts.comparisons
    )
    sentence = judge(dataclasses.replace(artefacts, comparisons=changed)).synthetic
    assert "no clear difference to the image network" in sentence
    assert "and harmed the full predictor" in sentence


def test_missing_twin_is_said(make_run: Callable[..., Path]) -> None:
    assert "not known" in judge(read_artefacts(make_run(twin=False, genes=2))).synthetic


def test_small_gain_is_called_small(artefacts: RunArtefacts) -> None:
    close = scored(
        artefacts, ours=Estimate(0.499, 0.4985, 0.4995), kriging=Estimate(0.5, 0.4998, 0.5002)
    )
    assert judge(close).headline.startswith("Yes, by a small margin")


def test_missing_interval_is_no_verdict(artefacts: RunArtefacts) -> None:
    assert judge(scored(artefacts, ours=Estimate(0.4), kriging=Estimate(0.5))).outcome == "unknown"
    assert judge(scored(artefacts, ours=Estimate(0.4, 0.3, 0.5))).outcome == "unknown"


def test_best_baseline_has_the_lowest_error(artefacts: RunArtefacts) -> None:
    best = best_baseline(artefacts)
    assert best is not None
    assert best.method == "kriging"


def test_a_trained_network_is_called_no_simple_baseline(artefacts: RunArtefacts) -> None:
    kriging = scored(artefacts, ours=Estimate(0.4, 0.39, 0.41), kriging=Estimate(0.5, 0.49, 0.51))
    rows = (kriging.scores[0], dataclasses.replace(kriging.scores[1], method="resnet_50"))
    assert "the best simple baseline (kriging)" in judge(kriging).headline
    told = judge(dataclasses.replace(kriging, scores=rows)).headline
    assert "the best baseline (ResNet-50, real only)" in told


widths = st.floats(0, 0.2)
errors = st.floats(0.1, 1)


@given(a=errors, wa=widths, b=errors, wb=widths)
def test_unpaired_contrast_is_antisymmetric(
    artefacts: RunArtefacts, a: float, wa: float, b: float, wb: float
) -> None:
    pair = scored(artefacts, ours=Estimate(a, a - wa, a + wa), kriging=Estimate(b, b - wb, b + wb))
    one = contrast(pair, DEFAULT_METHOD, "kriging")
    other = contrast(pair, "kriging", DEFAULT_METHOD)
    assert one is not None and other is not None
    flipped = {"better": "worse", "worse": "better", "tied": "tied"}
    assert flipped[one.outcome] == other.outcome
    if one.outcome == "better":
        assert a + wa < b - wb


@given(d=st.floats(-1, 1), below=widths, above=widths)
def test_paired_contrast_reads_either_direction(
    artefacts: RunArtefacts, d: float, below: float, above: float
) -> None:
    def compared(method: str, against: str) -> RunArtefacts:
        row = Comparison(method, against, Estimate(d, d - below, d + above))
        return dataclasses.replace(artefacts, comparisons=(row,))

    forward = contrast(compared(DEFAULT_METHOD, "knn"), DEFAULT_METHOD, "knn")
    backward = contrast(compared("knn", DEFAULT_METHOD), DEFAULT_METHOD, "knn")
    assert forward is not None and backward is not None
    assert backward.difference == -forward.difference
    expected = "better" if d + above < 0 else "worse" if d - below > 0 else "tied"
    assert forward.outcome == expected
    assert backward.outcome == {"better": "worse", "worse": "better", "tied": "tied"}[expected]


def test_origin_of_the_central_model(artefacts: RunArtefacts) -> None:
    def told(summary: object, notes: list[str]) -> str:
        manifest = {"stages": {"central": {"summary": summary}}, "notes": notes}
        return central_sentence(dataclasses.replace(artefacts, manifest=manifest))

    assert told({"origin": "loaded from skin"}, []) == "Loaded from skin."
    assert told({}, ["x", "The central model is tiny."]) == "The central model is tiny."
    assert "does not say" in told(None, [])
