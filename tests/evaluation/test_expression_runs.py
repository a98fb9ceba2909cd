from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from c2lst.errors import InputError
from c2lst.evaluation.expression import (
    DEFAULT_METHOD,
    combine,
    compare,
    evaluate,
    write_evaluation,
)
from toy_predictions import median, predictions


def run(seed: int):
    rng = np.random.default_rng(seed)
    observed = rng.exponential(1, (80, 5))
    layers = {
        "predicted": observed + rng.normal(size=observed.shape),
        "baseline_train_median": median(observed),
        "lower": observed - 1,
        "upper": observed + 1,
    }
    return predictions(layers, observed, seed=seed)


def test_means_and_intervals_over_runs():
    tables = [evaluate(run(seed), resamples=20)[0] for seed in range(4)]
    combined = combine(tables).set_index("method")
    maes = np.array([table.set_index("method").loc[DEFAULT_METHOD, "mae"] for table in tables])
    row = combined.loc[DEFAULT_METHOD]
    assert row["runs"] == 4
    assert row["mae"] == pytest.approx(maes.mean())
    interval = ttest_1samp(maes, 0).confidence_interval(0.95)
    assert (row["mae_low"], row["mae_high"]) == pytest.approx((interval.low, interval.high))
    assert row["spots"] == 70
    assert "spots_low" not in combined
    assert not [name for name in combined if name.endswith(("_low_low", "_high_high"))]


def test_files_tables_and_predictions_are_alike(tmp_path):
    written, tables = [], []
    for seed in range(2):
        path = tmp_path / f"{seed}.h5ad"
        run(seed).write_h5ad(path)
        tables.append(write_evaluation(path, tmp_path / str(seed)))
        written.append(tmp_path / str(seed) / "metrics.csv")
    expected = combine(tables)
    pd.testing.assert_frame_equal(combine([tmp_path / "0.h5ad", tmp_path / "1.h5ad"]), expected)
    pd.testing.assert_frame_equal(combine(written), expected, rtol=1e-4, check_dtype=False)
    names = {path.name for path in (tmp_path / "0").iterdir()}
    assert names == {"metrics.csv", "gene_metrics.csv", "comparisons.csv", "coverage.csv"}


def test_paired_differences_over_runs():
    tables = [compare(run(seed), resamples=20) for seed in range(3)]
    combined = combine(tables, by=("method", "against"))
    assert len(combined) == len(tables[0])
    row = combined.iloc[0]
    assert row["mae_difference"] == pytest.approx(np.mean([t["mae_difference"][0] for t in tables]))
    assert row["mae_difference_low"] < row["mae_difference"] < row["mae_difference_high"]


def test_a_single_run_and_a_missing_method_are_said(caplog):
    one, two = (evaluate(run(seed), resamples=5)[0] for seed in range(2))
    combined = combine([one, two.iloc[:1]]).set_index("method")
    assert combined["runs"].to_dict() == {DEFAULT_METHOD: 2, "train_median": 1}
    assert combined.loc["train_median", "mae"] == one.set_index("method").loc["train_median", "mae"]
    assert np.isnan(combined.loc["train_median", "mae_low"])
    assert "1 of 2 rows are of one run" in caplog.text


def test_nothing_to_combine_is_refused(tmp_path):
    with pytest.raises(InputError, match="none to combine"):
        combine([])
    with pytest.raises(InputError, match="lacks a column"):
        combine([pd.DataFrame({"mae": [1.0]})])
    with pytest.raises(InputError, match="no such file"):
        combine([tmp_path / "metrics.csv"])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"a,b\n1,2\n1,2,3,4\n"])
def test_a_damaged_table_is_refused_by_file(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.csv: is no readable CSV file"):
        combine([path])


def test_rows_of_one_run_do_not_pass_for_runs():
    """Genes of one run, averaged by method: their number is no number of runs."""
    genes = evaluate(run(0), resamples=5)[1]
    with pytest.raises(InputError, match="several rows of one method"):
        combine([genes, genes])
    assert set(combine([genes, genes], by=("method", "gene"))["runs"]) == {2}
