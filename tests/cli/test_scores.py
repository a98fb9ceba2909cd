from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from toy_predictions import counted, lattice, median, predictions


def write(path: Path, *, counts: bool) -> Path:
    rng = np.random.default_rng(0)
    xy = lattice(12)
    rate = 0.02 * np.exp(np.sin(xy @ rng.uniform(0.002, 0.006, (2, 8))))
    library = np.full(144, 3000.0)
    _, observed = counted(rate, library, rng)
    predicted = np.log1p(1e4 * rate)
    layers = {
        "predicted": predicted,
        "baseline_train_median": median(observed, 40),
        "lower": predicted - 1,
        "upper": predicted + 1,
    }
    known = {"library_size": library} if counts else {}
    predictions(layers, observed, 40, xy=xy, **known).write_h5ad(path)
    return path


@pytest.mark.parametrize("counts", [True, False])
def test_evaluate_prints_every_method_in_100_columns(tmp_path, monkeypatch, counts):
    monkeypatch.setenv("COLUMNS", "100")
    path = write(tmp_path / "predictions.h5ad", counts=counts)
    result = CliRunner().invoke(app, ["evaluate", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    shown = result.stdout
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "Median of sampled spots" in shown
    assert ("noise floor" in shown) == counts
    assert "90% intervals hold" in shown
    assert "nan" not in shown
