"""``docs/outputs.md`` names all that a run writes."""

import json
import re
from pathlib import Path

import anndata
import h5py
import pandas as pd
import pytest

from c2lst import workflow
from c2lst.evaluation.expression.names import COTRAINED, NETWORK, NETWORK_TWIN, TWIN
from toy import toy_settings

PAGE = Path(__file__).parents[2] / "docs" / "outputs.md"


@pytest.fixture(scope="module")
def run(small_legacy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return workflow.run(small_legacy, folder / "run", toy_settings(folder))


@pytest.fixture(scope="module")
def told() -> set[str]:
    """All that the page sets as code, and what stands in its brackets."""
    spans = re.findall(r"`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    keys = re.findall(r'\["([^"]+)"\]', " ".join(spans))
    return {*spans, *(span.rstrip("/") for span in spans), *keys}


def test_every_file_and_folder_is_told(run, told):
    assert {path.name for path in run.iterdir()} <= told
    for folder in ("central", "adapter"):
        files = [p.relative_to(run / folder) for p in (run / folder).rglob("*") if p.is_file()]
        assert {path.as_posix() for path in files} <= told, folder


def test_every_key_of_the_predictions_is_told(run, told):
    table = anndata.read_h5ad(run / "predictions.h5ad")
    baselines = {name for name in table.layers if name.startswith("baseline_")}
    assert {name.removeprefix("baseline_") for name in baselines} <= told
    for keys in (set(table.layers) - baselines, table.obs, table.obsm, table.uns):
        assert set(keys) <= told
    assert set(table.uns["c2lst"]) <= told


@pytest.mark.parametrize(
    "name", ["metrics.csv", "gene_metrics.csv", "comparisons.csv", "coverage.csv"]
)
def test_every_column_of_a_table_is_told_where_that_table_is(run, name):
    text = PAGE.read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", re.search(rf"^`{name}`\n: (.*?)\n\n", text, re.M | re.S)[1]))
    columns = set(pd.read_csv(run / name).columns)
    bounds = {f"{column}_{end}" for column in told for end in ("low", "high")}
    assert columns <= told | bounds, columns - told - bounds
    assert told <= columns, told - columns


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "advice.json",
        "split.json",
        "preprocessing.json",
        "adapter/adapter_config.json",
        "central/central.json",
    ],
)
def test_every_key_of_a_json_file_is_told(run, told, name):
    keys = set(json.loads((run / name).read_text()))
    assert keys <= told, keys - told


def test_every_key_of_the_patches_and_pairs_is_told(run, told):
    for folder in ("section", "synthetic"):
        with h5py.File(next((run / folder / "patches").glob("*.h5"))) as file:
            assert set(file) <= told and set(file["img"].attrs) <= told
    pairs = anndata.read_h5ad(next((run / "synthetic" / "st").glob("*.h5ad")))
    assert {*pairs.obs, *pairs.layers} <= told


def test_nothing_is_told_that_is_not_there(run):
    """Layers and columns of obs that the page names as such."""
    text = PAGE.read_text(encoding="utf-8").split("## Tables")[0]
    table = anndata.read_h5ad(run / "predictions.h5ad")
    layers = set(re.findall(r'layers\["(\w+)"\]', text))
    # Which of the candidates are layers of their own depends on which was chosen.
    known = {*table.layers, NETWORK, NETWORK_TWIN, TWIN, COTRAINED}
    assert layers <= known, layers - known
    columns = set(re.findall(r'obs\["(\w+)"\]', text))
    assert columns <= set(table.obs), columns - set(table.obs)
