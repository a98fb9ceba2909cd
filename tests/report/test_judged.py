"""What the page says of the spots that were judged, of advice, noise and coverage."""

from __future__ import annotations

import csv
from pathlib import Path

import anndata
import pytest

from c2lst.evaluation.expression.names import COTRAINED, LEFT_OUT, NO_NETWORK
from c2lst.prediction.advice import Advice, Difference
from c2lst.report import tables, verdict, write_report
from c2lst.report.artefacts import read_artefacts

FLOOR = 0.31


def add_columns(path: Path, **values: object) -> None:
    rows = list(csv.DictReader(path.open()))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=[*rows[0], *values])
        writer.writeheader()
        writer.writerows(row | values for row in rows)


@pytest.fixture
def noisy(make_run) -> Path:
    """A run that knows its noise floor, its coverage by distance, and advice."""
    run = make_run()
    add_columns(run / "metrics.csv", noise_floor=FLOOR, explained_share=0.25)
    (run / "coverage.csv").write_text(
        "group,spots,distance_from,distance_to,level,coverage,coverage_low,coverage_high,width\n"
        "all,50,1,2.2,0.9,0.91,0.88,0.94,1.4\n"
        "near,30,1,1,0.9,0.92,0.88,0.95,1.3\n"
        "far,20,1.4,2.2,0.9,0.87,0.83,0.92,1.6\n"
    )
    difference = Difference(NO_NETWORK, COTRAINED, -0.02, -0.03, -0.01)
    errors = {COTRAINED: 0.45, NO_NETWORK: 0.43}
    advice = Advice(46, 14, errors, (difference,), COTRAINED, NO_NETWORK)
    advice.save(run / "advice.json")
    return run


@pytest.fixture
def left_out(noisy) -> Path:
    """The same, but every spot was learnt from."""
    add_columns(noisy / "metrics.csv", judged=LEFT_OUT)
    predictions = anndata.read_h5ad(noisy / "predictions.h5ad")
    predictions.obs["split"] = "train"
    predictions.write_h5ad(noisy / "predictions.h5ad")
    between = predictions[:20].copy()
    between.uns["c2lst"] = {"pitch_um": 100.0}
    between.write_h5ad(noisy / "map.h5ad")
    return noisy


def test_advice_stands_on_the_first_screen_with_its_numbers(noisy):
    page = write_report(noisy).read_text()
    first = page[: page.index("</header>")]
    assert "On these 46 training spots" in first
    assert "−0.020, 95 % interval −0.030 to −0.010" in first
    rows = tables.method_table(read_artefacts(noisy)).rows
    assert next(row.sees for row in rows if row.highlighted) == "image + place"


def test_the_noise_floor_is_a_line_of_the_chart_and_explained_share_a_column(noisy):
    artefacts = read_artefacts(noisy)
    table = tables.method_table(artefacts)
    assert table.floor == "0.310"
    assert table.mae_axis.floor is not None
    assert 0 <= table.mae_axis.floor < table.mae_axis.reference
    assert table.pearson_axis.floor is None
    page = write_report(noisy).read_text()
    assert 'class="floor"' in page
    assert "noise floor (0.310)" in page
    assert ">Explained</th>" in page


def test_without_counts_the_page_has_no_floor(make_run):
    run = make_run()
    page = write_report(run).read_text()
    assert 'class="floor"' not in page
    assert ">Explained</th>" not in page
    assert "Do the 90 % intervals hold?" not in page


def test_coverage_is_told_by_distance(noisy):
    rows = tables.coverage_rows(read_artefacts(noisy))
    assert [row.label for row in rows] == ["All", "Near", "Far"]
    assert rows[1].distance == "1.0"
    assert rows[2].distance == "1.4 to 2.2"
    assert rows[2].share.startswith("87.0")
    assert ">Far</th>" in write_report(noisy).read_text()


def test_where_every_spot_was_learnt_from_the_page_says_so(left_out):
    artefacts = read_artefacts(left_out)
    assert artefacts.left_out
    assert artefacts.judged.all()
    page = write_report(left_out).read_text()
    assert "no test spots exist" in page[: page.index("</header>")]
    assert "each left out in turn" in verdict.judge(artefacts).headline
    assert "On held-out spots" not in page
    assert "held out (scored)" not in page
    assert "Between the spots, every 100 µm" in page
    labels = {card.label: card for card in tables.cards(artefacts)}
    assert labels["Places predicted"].value == "20"
